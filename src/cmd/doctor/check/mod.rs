//! What the facts mean: a function of the facts alone.

mod cpus;
mod files;
mod launcher;
mod nodes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::cmd::doctor::facts::Facts;
use crate::cmd::doctor::{Finding, Level};

pub use cpus::of_node as cpus_of_node;
pub use nodes::clock_offset;

/// What to do where parpys differ.
const SAME_BUILD: &str = "Start the same build everywhere: from a shared folder, or copied anew to each node";

/// Where the names of nodes go.
const HERE: &str = "{here}";

/// Everything there is to say of what the ranks have seen, rank 0 first; the worst last.
pub fn findings(all: &[Facts]) -> Vec<Finding> {
    let mut found = Vec::new();
    launcher::check(all, &mut found);
    nodes::check(all, &mut found);
    cpus::check(all, &mut found);
    files::check(all, &mut found);
    // A stable sort: within a level in the order of the checks.
    found.sort_by_key(|finding| finding.level);
    found
}

/// What a rank has said that another parpy than ours is, which has other facts.
pub fn stranger(rank: usize, text: &str) -> Finding {
    let known: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let word = |pointer| known.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or("unknown");
    Finding {
        id: "versions".to_owned(),
        level: Level::Problem,
        what: format!(
            "rank {rank} on {} is another parpy ({}, {}) than rank 0, and speaks of other things",
            word("/host"),
            word("/versions/parpy"),
            word("/versions/commit")
        ),
        remedy: SAME_BUILD.to_owned(),
    }
}

/// The ranks of each node, in the order of their first ranks.
pub fn by_node(all: &[Facts]) -> Vec<(&str, Vec<&Facts>)> {
    let mut nodes: Vec<(&str, Vec<&Facts>)> = Vec::new();
    for facts in all {
        match nodes.iter_mut().find(|(host, _)| *host == facts.host) {
            Some((_, ranks)) => ranks.push(facts),
            None => nodes.push((&facts.host, vec![facts])),
        }
    }
    nodes
}

fn find(found: &mut Vec<Finding>, id: &str, level: Level, what: String, remedy: &str) {
    found.push(Finding { id: id.to_owned(), level, what, remedy: remedy.to_owned() });
}

/// What is found on single nodes. Said once of all of them where it is the same.
#[derive(Default)]
struct OnNodes<'a>(Vec<(Finding, Vec<&'a str>)>);

impl<'a> OnNodes<'a> {
    /// On `host`, for which [`HERE`] stands in `what`.
    fn find(&mut self, host: &'a str, id: &str, level: Level, what: String, remedy: String) {
        let finding = Finding { id: id.to_owned(), level, what, remedy };
        match self.0.iter_mut().find(|(known, _)| *known == finding) {
            Some((_, hosts)) => hosts.push(host),
            None => self.0.push((finding, vec![host])),
        }
    }

    fn into_findings(self) -> impl Iterator<Item = Finding> {
        let named = |(finding, hosts): (Finding, Vec<&str>)| Finding {
            what: finding.what.replace(HERE, &names(&hosts)),
            ..finding
        };
        self.0.into_iter().map(named)
    }
}

/// What differs between nodes, and on which: `None` where it is the same for all ranks. The first is rank 0's.
fn differing<'a, T: Ord>(all: &'a [Facts], of: impl Fn(&'a Facts) -> T) -> Option<Vec<(T, Vec<&'a str>)>> {
    let mut kinds: BTreeMap<T, (usize, Vec<&str>)> = BTreeMap::new();
    for facts in all {
        let (_, hosts) = kinds.entry(of(facts)).or_insert((facts.rank, Vec::new()));
        if !hosts.contains(&facts.host.as_str()) {
            hosts.push(&facts.host);
        }
    }
    let mut kinds: Vec<_> = kinds.into_iter().map(|(kind, (rank, hosts))| (rank, kind, hosts)).collect();
    kinds.sort_by_key(|(rank, ..)| *rank);
    (kinds.len() > 1).then(|| kinds.into_iter().map(|(_, kind, hosts)| (kind, hosts)).collect())
}

/// `n1, n2 and n3`; of many only the first.
fn names(hosts: &[&str]) -> String {
    const MOST: usize = 8;
    match hosts {
        [] => String::new(),
        [one] => (*one).to_owned(),
        many if many.len() > MOST => {
            format!("{} and {} more", many[..MOST].join(", "), many.len() - MOST)
        }
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `A on n1, B on n2 and n3`.
fn told<T: std::fmt::Display>(kinds: &[(T, Vec<&str>)]) -> String {
    kinds.iter().map(|(kind, hosts)| format!("{kind} on {}", names(hosts))).collect::<Vec<_>>().join(", ")
}
