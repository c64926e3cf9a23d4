//! Every command of the README works, and prints what the README shows.

use std::os::unix::fs::symlink;

use crate::dsl::*;

/// Commands and what is shown below them, from the ```console blocks.
fn examples(readme: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match line.strip_prefix("$ ") {
            _ if line.starts_with("```") => inside = line == "```console",
            Some(command) if inside => examples.push((command.to_owned(), String::new())),
            None if inside => {
                let (_, shown) = examples.last_mut().expect("a block begins with a command");
                shown.push_str(line);
                shown.push('\n');
            }
            _ => {}
        }
    }
    examples
}

/// How lines begin that say on what machine, by which build, or when.
const LOCAL: [&str; 12] = [
    "MPI:",
    "HDF5:",
    "parpy 0.1.0 (",
    "mpi:",
    "parpy_commit:",
    "hosts:",
    "cpus:",
    "cpus_usable:",
    "began:",
    "ended:",
    "output =",
    "seconds:",
];

/// Without what differs from run to run: process numbers, hosts, seconds, and the blanks between columns.
fn lasting(text: &str) -> Vec<String> {
    let word = |(previous, word): (&str, &str)| match previous {
        "(pid" | "on" => "…".to_owned(),
        _ if word.contains('.') && word.trim_matches(['(', ',']).parse::<f64>().is_ok() => "0.0".to_owned(),
        _ if word.ends_with("/s)") => "…/s)".to_owned(),
        _ => word.to_owned(),
    };
    let line = |line: &str| {
        let key = line.trim_start().split_inclusive([':', '(', '=']).next().unwrap_or_default();
        if LOCAL.contains(&key) {
            return format!("{key} …");
        }
        // The process that `--who` names.
        let line = if line.matches('\t').count() == 2 { line.rsplit_once('\t').unwrap().0 } else { line };
        let words: Vec<&str> = line.split_whitespace().collect();
        let previous = std::iter::once("").chain(words.iter().copied());
        previous.zip(words.iter().copied()).map(word).collect::<Vec<_>>().join(" ")
    };
    // A row of the report's table, or of a file's workers, names a process and a host, and shares differ with
    // the number of cores; so does what the report says of them.
    let is_row = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let has_pid = words.len() > 1 && words[..2].iter().all(|word| word.parse::<u64>().is_ok());
        let is_balance = words.first() == Some(&"imbalance");
        is_balance || has_pid && (words.len() == 9 || words.len() == 5 && words[4].contains('.'))
    };
    text.lines().filter(|line| !is_row(line)).map(line).collect()
}

#[test]
fn every_command_of_the_readme_works_as_shown() {
    if !has_mpi() {
        // Its commands are of a parpy with MPI.
        return;
    }
    let root = env!("CARGO_MANIFEST_DIR");
    let readme = std::fs::read_to_string(format!("{root}/README.md")).unwrap();
    let examples = examples(&readme);
    assert!(examples.len() > 5);
    let dir = Dir::new();
    let path = shim(&dir);
    symlink(BINARY, dir.path("parpy")).unwrap();
    symlink(format!("{root}/jobs"), dir.path("jobs")).unwrap();
    for (command, shown) in examples {
        let mut bash = program("bash");
        bash.args(["-o", "pipefail", "-c"]).arg(format!("({command}) 2>&1"));
        let output = bash.current_dir(dir.path("")).env("PATH", &path).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "$ {command}\n{printed}");
        assert_eq!(lasting(&printed), lasting(&shown), "$ {command}");
    }
}

/// Commands that install or build are in ```sh blocks, and run by CI.
#[test]
fn every_script_of_the_readme_is_run_by_ci() {
    let root = env!("CARGO_MANIFEST_DIR");
    let read = |name: &str| std::fs::read_to_string(format!("{root}/{name}")).unwrap();
    let ci = read(".ci/run") + &read("tests/all.sh");
    let (readme, mut inside) = (read("README.md"), false);
    for line in readme.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside {
            let command = line.split(" #").next().unwrap().trim();
            assert!(ci.contains(command), "CI does not run: {command}");
        }
    }
}
