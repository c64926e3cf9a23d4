//! Do all nodes see the same files?

use crate::base::fmt::{counted, grouped, size};
use crate::cmd::doctor::check::{by_node, differing, find, names, told};
use crate::cmd::doctor::facts::{Facts, FileReport, PathReport};
use crate::cmd::doctor::{Finding, Level};

/// File systems that are of one node and no other: what lies there has other contents elsewhere, or none.
const LOCAL: [&str; 14] = [
    "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "rootfs", "tmpfs",
    "vfat", "xfs", "zfs",
];

/// Bytes below which a file system is nearly full.
const LITTLE: u64 = 1 << 30;

const REMEDY: &str = "Put it into a folder that all nodes share (the home folder, /scratch …), or copy it to every \
                      node before: srun --ntasks-per-node=1 cp …, or sbcast";

pub fn check(all: &[Facts], found: &mut Vec<Finding>) {
    let Some(first) = all.first() else { return };
    folder(all, found);
    for number in 0..first.files.len() {
        file(all, number, found);
    }
}

fn folder(all: &[Facts], found: &mut Vec<Finding>) {
    let Some(first) = all.first() else { return };
    if let Some(kinds) = differing(all, |facts| facts.folder.path.clone()) {
        let what = format!("the current folder is not the same everywhere: {}", told(&kinds));
        let remedy = "It is missing on some node, where the launcher took another; start from a folder that all nodes \
                      share";
        find(found, "folder", Level::Problem, what, remedy);
    } else if let Some(why) = &first.folder.fault {
        let what = format!("the current folder {} cannot be read: {why}", first.folder.path);
        find(found, "folder", Level::Problem, what, "Start from another");
    } else if let Some(kind) = local(&first.folder).filter(|_| by_node(all).len() > 1) {
        let what = format!(
            "the current folder {} is on {kind}, which most probably each node has of its own: results are written by \
             rank 0, on {}",
            first.folder.path, first.host
        );
        find(found, "folder", Level::Note, what, "Start from a folder that all nodes share");
    }
    if let Some(free) = first.folder.free.filter(|free| *free < LITTLE) {
        let what = format!("there is {} left for results in the current folder", size(free as f64));
        find(found, "space", Level::Warning, what, "Make room, or write elsewhere: -o FILE");
    }
}

fn local(place: &PathReport) -> Option<&str> {
    place.file_system.as_deref().filter(|kind| LOCAL.contains(kind))
}

fn file(all: &[Facts], number: usize, found: &mut Vec<Finding>) {
    const ID: &str = "file";
    let place = |facts: &'_ Facts| -> PathReport { facts.files[number].clone() };
    let path = all[0].files[number].path.clone();
    let several = by_node(all).len() > 1;
    let seen = |facts: &Facts| place(facts).fault.unwrap_or_default();
    if let Some(kinds) = differing(all, seen) {
        let there = kinds.iter().find(|(why, _)| why.is_empty());
        let not: Vec<_> = kinds.iter().filter(|(why, _)| !why.is_empty()).collect();
        let not = not.iter().map(|(why, hosts)| format!("{} ({why})", names(hosts))).collect::<Vec<_>>();
        let what = match there {
            Some((_, hosts)) => format!("{path} is on {} and not on {}", names(hosts), not.join(", nor on ")),
            None => format!("{path} can be read nowhere: not on {}", not.join(", nor on ")),
        };
        find(found, ID, Level::Problem, what, REMEDY);
        return;
    }
    let Some(first) = place(&all[0]).found else {
        let where_ = if several { " on any node" } else { "" };
        let what = format!("{path} cannot be read{where_}: {}", seen(&all[0]));
        find(found, ID, Level::Problem, what, "See that its name is right, and that you may read it");
        return;
    };
    let of = |facts: &Facts| -> Option<FileReport> { place(facts).found };
    let bytes = |facts: &Facts| of(facts).and_then(|found| found.bytes);
    let said_bytes = |facts: &Facts| match of(facts) {
        Some(FileReport { bytes: Some(bytes), .. }) => format!("{} bytes", grouped(bytes)),
        Some(found) => format!("a {}", found.kind),
        None => String::new(),
    };
    if differing(all, bytes).is_some() || differing(all, |facts| of(facts).map(|found| found.kind)).is_some()
    {
        let kinds = differing(all, said_bytes).unwrap_or_default();
        find(
            found,
            ID,
            Level::Problem,
            format!("{path} is not the same everywhere: {}", told(&kinds)),
            REMEDY,
        );
        return;
    }
    if let Some(kinds) = differing(all, |facts| of(facts).and_then(|found| found.beginning)) {
        let hosts: Vec<_> = kinds.iter().map(|(_, hosts)| names(hosts)).collect();
        let what = format!("{path} begins with other bytes on {}", hosts.join(" than on "));
        find(found, ID, Level::Problem, what, REMEDY);
        return;
    }
    if differing(all, |facts| of(facts).and_then(|found| found.modified)).is_some() && first.kind == "file" {
        let what = format!("{path} was changed at different times on different nodes: these are copies");
        find(
            found,
            ID,
            Level::Warning,
            what,
            "See that they are the same throughout; only the beginning was compared",
        );
        return;
    }
    let bytes = first.bytes.map_or(String::new(), |bytes| format!(", {}", counted(bytes, "byte")));
    let on = place(&all[0]).file_system.map_or(String::new(), |kind| format!(", on {kind}"));
    if !several {
        find(found, ID, Level::Ok, format!("{path} can be read{bytes}{on}"), "");
    } else if let Some(kind) = local(&place(&all[0])) {
        let what = format!(
            "{path} begins alike on all nodes{bytes}, on {kind}, which most probably each node has of its own: these \
             are copies"
        );
        find(found, ID, Level::Note, what, "See that they stay the same; only the beginning was compared");
    } else {
        find(found, ID, Level::Ok, format!("{path} is the same on all nodes{bytes}{on}"), "");
    }
}
