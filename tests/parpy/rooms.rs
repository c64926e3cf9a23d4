//! The rooms of the source, in the order in which they build on each other: each imports only from rooms that stand
//! before it.

use std::fs;
use std::path::{Path, PathBuf};

/// From the first, which imports nothing.
const ROOMS: [&str; 13] =
    ["data", "base", "exec", "node", "mpi", "job", "observe", "input", "op", "output", "sched", "cli", "cmd"];

/// Lines of the longest file, its tests apart.
const LONGEST: usize = 600;

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Its text without unit tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The rooms that code mentions, with what it takes from them.
fn mentioned(code: &str) -> impl Iterator<Item = &str> {
    code.split("crate::")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap())
}

#[test]
fn each_imports_from_those_before_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut count = 0;
    for (number, room) in ROOMS.iter().enumerate() {
        for file in files(&src.join(room)) {
            for other in mentioned(&code(&file)) {
                let place = ROOMS.iter().position(|room| *room == other);
                let place = place.unwrap_or_else(|| panic!("{}: there is no room {other}", file.display()));
                assert!(place <= number, "{} imports from {other}, which builds on {room}", file.display());
                count += 1;
            }
        }
    }
    assert!(count > 500, "only {count} imports were found");
    let folders = fs::read_dir(&src).unwrap().map(|entry| entry.unwrap().path());
    let folders = folders.filter(|path| path.is_dir() && !files(path).is_empty());
    let names = folders.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let others: Vec<String> = names.filter(|name| !ROOMS.contains(&&**name)).collect();
    assert!(others.iter().all(|name| *name == "bin"), "{others:?}");
}

#[test]
fn no_file_is_too_long() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in files(&src) {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.split("#[cfg(test)]\nmod tests").next().unwrap().lines().count();
        assert!(lines <= LONGEST, "{} has {lines} lines", file.display());
    }
}
