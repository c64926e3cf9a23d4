//! How what was found is told: to people, and as JSON.

use std::fmt::Write as _;

use comfy_table::ContentArrangement;
use serde_json::{Value, json};

use crate::base::fmt::{counted, size};
use crate::base::{escape, table};
use crate::cmd::doctor::check::{by_node, clock_offset, cpus_of_node};
use crate::cmd::doctor::facts::{Facts, PathReport};
use crate::cmd::doctor::{Finding, Level};
use crate::node::cpus::listed;

/// Columns that a page has.
const WIDTH: u16 = 100;

/// For people: what there is, the nodes, the files, and the findings, the worst last.
pub fn text(all: &[Facts], findings: &[Finding]) -> String {
    let Some(first) = all.first() else { return String::new() };
    let mut text = head(first);
    let _ = writeln!(text, "\n{}", nodes(all));
    let _ = writeln!(text, "\n{}", places(first));
    let _ = writeln!(text, "\n{}", told(findings));
    let count = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    let _ = match (count(Level::Problem), count(Level::Warning)) {
        (0, 0) => writeln!(text, "\nNothing stands in the way."),
        (0, warnings) => writeln!(text, "\n{}, no problem.", counted(warnings, "warning")),
        (problems, warnings) => {
            writeln!(text, "\n{}, {}.", counted(problems, "PROBLEM"), counted(warnings, "warning"))
        }
    };
    // Names of files and hosts stand in it.
    escape::lines(&text)
}

fn head(first: &Facts) -> String {
    let versions = &first.versions;
    let or = |version: &Option<String>, fault: &Option<String>| match (version, fault) {
        (Some(version), _) => version.clone(),
        (None, Some(_)) => "that does not start".to_owned(),
        (None, None) => "none (built without)".to_owned(),
    };
    let standard =
        versions.mpi_standard.as_ref().map_or(String::new(), |version| format!(" (MPI {version})"));
    let mpi = match &versions.mpi {
        Some(library) => library.clone() + &standard,
        none => format!("MPI {}", or(none, &versions.mpi_fault)),
    };
    let mut text = format!(
        "parpy {} ({}), {mpi}, HDF5 {}",
        versions.parpy,
        versions.commit,
        or(&versions.hdf5, &versions.hdf5_fault)
    );
    if let Some(slurm) = &versions.slurm {
        let _ = write!(text, ", SLURM {slurm}");
    }
    text + "\n"
}

fn nodes(all: &[Facts]) -> String {
    let first = &all[0];
    let mut table = table::headed(
        &[
            "node",
            "ranks",
            "CPUs",
            "of a rank",
            "memory",
            "available",
            "/dev/shm",
            "clock",
            "kernel",
            "folder on",
        ],
        &[0, 8, 9],
    );
    for (host, ranks) in by_node(all) {
        let facts = ranks[0];
        let bytes = |bytes: Option<u64>| bytes.map_or("-".to_owned(), |bytes| size(bytes as f64));
        let shares = ranks.iter().map(|facts| facts.cpus.affinity.min(cpus_of_node(facts)));
        let (least, most) = (shares.clone().min().unwrap_or(0), shares.max().unwrap_or(0));
        table.add_row(vec![
            host.to_owned(),
            ranks.len().to_string(),
            format!("{} of {}", cpus_of_node(facts), facts.cpus.logical_cpus),
            if least == most { least.to_string() } else { format!("{least} to {most}") },
            bytes(facts.memory.total),
            bytes(facts.memory.available),
            bytes(facts.memory.shared),
            match clock_offset(first, facts) {
                Some(ahead) if ahead.abs() >= 0.1 => format!("{ahead:+.1} s"),
                Some(_) => "< 0.1 s".to_owned(),
                None => "-".to_owned(),
            },
            facts.kernel.trim_start_matches("Linux ").to_owned(),
            facts.folder.file_system.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table::text(&table)
}

/// The current folder and the files, as rank 0 sees them.
fn places(first: &Facts) -> String {
    let mut table = table::headed(&["file", "size", "file system", "free"], &[0, 2]);
    for place in std::iter::once(&first.folder).chain(&first.files) {
        let PathReport { path, found, file_system, source, free, .. } = place;
        let size_of = match found {
            Some(found) => found.bytes.map_or_else(|| found.kind.clone(), |bytes| size(bytes as f64)),
            None => "?".to_owned(),
        };
        let system = match (file_system, source) {
            (Some(kind), Some(source)) if source.contains(['/', ':']) => format!("{kind} ({source})"),
            (Some(kind), _) => kind.clone(),
            (None, _) => "-".to_owned(),
        };
        let free = free.map_or("-".to_owned(), |free| size(free as f64));
        table.add_row(vec![path.clone(), size_of, system, free]);
    }
    table::text(&table)
}

fn told(findings: &[Finding]) -> String {
    let mut table = table::plain();
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    for Finding { level, what, remedy, .. } in findings {
        let level = match level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Problem => "PROBLEM",
        };
        let text = if remedy.is_empty() { what.clone() } else { format!("{what}\n-> {remedy}") };
        table.add_row(vec![level.to_owned(), text]);
    }
    table::align(&mut table, &[0, 1]);
    table::text(&table)
}

/// For programs: one object with the nodes, what every rank has seen, and the findings.
pub fn json(all: &[Facts], findings: &[Finding]) -> String {
    let node = |(host, ranks): (&str, Vec<&Facts>)| -> Value {
        let bound = ranks.iter().flat_map(|facts| listed(&facts.allowed_cpus));
        json!({
            "host": host,
            "ranks": ranks.len(),
            "cpus": cpus_of_node(ranks[0]),
            "cpus_bound": bound.collect::<std::collections::BTreeSet<_>>().len(),
            "clock_offset_seconds": all.first().and_then(|first| clock_offset(first, ranks[0])),
        })
    };
    let problems = findings.iter().filter(|finding| finding.level == Level::Problem).count();
    let said = json!({
        "problems": problems,
        "findings": findings,
        "nodes": by_node(all).into_iter().map(node).collect::<Vec<_>>(),
        "ranks": all,
    });
    // Numbers, texts and lists: nothing that serde_json refuses.
    serde_json::to_string_pretty(&said).unwrap_or_default() + "\n"
}
