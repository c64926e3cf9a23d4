//! Names of files and folders that are awkward: no UTF-8, letters that parpy gives a meaning to; and a folder for
//! temporary files that is not there.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::data::*;
use crate::dsl::*;
use crate::formats::json;

#[test]
fn the_demo_needs_no_folder_for_temporary_files() {
    let dir = Dir::new();
    let missing = format!("TMPDIR={}", dir.path("missing").display());
    let whole = "17,185 bytes, equal to the file";
    for ranks in ways() {
        // Only for the ranks: what mpirun does without one is its own affair.
        let mut command = program(if *ranks > 0 { mpirun() } else { "env" });
        if *ranks > 0 {
            command.arg("-n").arg(ranks.to_string()).arg("env");
        }
        command.args([&missing, BINARY]).current_dir(dir.path(""));
        let done = Done::of(&parpy("(the demo)").ranks(*ranks), command.output().unwrap()).succeeds();
        let text = String::from_utf8(done.stdout).unwrap();
        assert!(text.contains(whole) && done.stderr.is_empty(), "{text}{}", done.stderr);
    }
    assert!(dir.names().is_empty());
}

/// mpirun's messages, and what the ranks find, are kept somewhere else.
#[test]
fn nor_does_a_study_over_ranks() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    let run = parpy("scale map --range 0..1000 --patterns mpi -j 1 --repeat 2");
    let run = run.var("TMPDIR", dir.path("missing").to_str().unwrap()).var("PATH", &shim(&dir));
    let text = run.text();
    assert!(text.lines().any(|line| line.starts_with("mpi ")), "{text}");
}

/// `caf\xe9`, in Latin-1, in a folder that looks like an argument.
fn latin(dir: &Dir, name: &[u8]) -> PathBuf {
    let folder = dir.path("pay$1");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(OsStr::from_bytes(name))
}

/// Also where the name is text in TOML, in JSON, or in HDF5.
#[test]
fn names_that_are_not_utf8_are_found_again() {
    let dir = Dir::new();
    let input = latin(&dir, b"caf\xe9\xff.txt");
    std::fs::write(&input, "1\n2\n3\n").unwrap();
    for (ranks, extension) in ways().iter().flat_map(|ranks| ["json", "h5"].map(|format| (*ranks, format))) {
        if extension == "h5" && !cfg!(feature = "hdf5") {
            continue;
        }
        let output = latin(&dir, format!("out.{extension}").as_bytes());
        let output =
            output.with_file_name([&b"\xfe"[..], output.file_name().unwrap().as_bytes()].concat().os());
        let results = |path: &PathBuf| {
            let other = dir.path("other.csv");
            let mut from = path.clone().into_os_string();
            from.push(":/output");
            match extension {
                "json" => json(path)["results"].to_string(),
                _ => {
                    parpy("map -q --from").arg(from).arg("-o").arg(&other).done().succeeds();
                    String::from_utf8(std::fs::read(other).unwrap()).unwrap()
                }
            }
        };
        parpy("map --from").arg(&input).arg("-o").arg(&output).ranks(ranks).done().succeeds();
        let first = results(&output);
        let kept = dir.path(&format!("kept.{extension}"));
        std::fs::rename(&output, &kept).unwrap();
        // From anywhere, to where it was, by the result and by the job that it shows.
        parpy("run").arg(&kept).folder("/").ranks(ranks).done().succeeds();
        assert_eq!(results(&output), first);
        std::fs::remove_file(&output).unwrap();
        let job = dir.write("elsewhere/job.toml", parpy("show --job").arg(&kept).text());
        parpy("run").arg(&job).ranks(ranks).done().succeeds();
        assert_eq!(results(&output), first);
        std::fs::remove_file(&output).unwrap();
        let shown = parpy("show").arg(&kept).text();
        assert!(shown.contains(r"pay$1/caf\xe9\xff.txt"), "{shown}");
    }
}

trait Os {
    fn os(self) -> OsString;
}

impl Os for Vec<u8> {
    fn os(self) -> OsString {
        std::os::unix::ffi::OsStringExt::from_vec(self)
    }
}

/// Arguments of job files, columns, parts, and rows of counts.
#[test]
fn names_that_are_not_utf8_are_used_as_they_are() {
    let dir = Dir::new();
    let name = |text: &[u8]| text.to_vec().os();
    std::fs::write(latin(&dir, b"caf\xe9.csv"), "n\n2\n3\n").unwrap();
    let folder = dir.path("pay$1");
    let run = parpy("map --from").arg(name(b"caf\xe9.csv:n")).folder(&folder);
    for ranks in ways() {
        assert_eq!(run.clone().ranks(*ranks).text(), "4\n9\n");
    }
    std::fs::write(dir.path("pay$1").join("job.toml"), "[[task]]\nmap = { from = './$1.csv:n' }\n").unwrap();
    assert_eq!(parpy("run job.toml").arg(name(b"caf\xe9")).folder(&folder).text(), "4\n9\n");
    std::fs::remove_file(folder.join("job.toml")).unwrap();
    let count = parpy("read --do count").arg(name(b"caf\xe9.csv")).folder(&folder);
    count.clone().args("-o c.csv").done().succeeds();
    let rows = std::fs::read(folder.join("c.csv")).unwrap();
    assert!(rows.ends_with(b"\n3,3,6,caf\xe9.csv\n"), "{}", String::from_utf8_lossy(&rows));
    count.clone().args("-o c.json").done().succeeds();
    assert_eq!(json(&folder.join("c.json"))["results"][0]["file"], r"caf\xe9.csv");
    // What is missing of the parts of such a name, and what there is instead.
    run.clone().args("--part 1/2 -o").arg(name(b"p\xff.csv")).done().succeeds();
    let done = run.args("--join 3 -o").arg(name(b"p\xff.csv")).done();
    done.fails(1, &["parts 1-3 of 3 are missing", "there are parts of 2, which --join 2 joins"]);
}

/// A column is meant where there is a file to have it; else the colon is one of the name's own.
#[test]
fn names_with_colons() {
    let dir = Dir::new();
    dir.write("d.csv:v2/n.txt", "2\n3\n");
    dir.write("d.csv:v2/t.csv", "a,n\n1,2\n1,3\n");
    dir.write("d.npy:old/t.csv:new.csv", "a,n\n1,2\n1,3\n");
    dir.write("x.csv:y", "2\n3\n");
    std::fs::create_dir(dir.path("x.csv")).unwrap();
    let from = |name: &str| parpy("map --from").arg(name).folder(dir.path(""));
    for ranks in ways() {
        for name in
            ["d.csv:v2/n.txt", "d.csv:v2/t.csv:n", "d.csv:v2/t.csv:2", "d.npy:old/t.csv:new.csv:n", "x.csv:y"]
        {
            assert_eq!(from(name).ranks(*ranks).text(), "4\n9\n", "{name}");
        }
        from("missing.csv:v2/t.csv:n")
            .ranks(*ranks)
            .done()
            .fails(1, &["cannot open missing.csv: No such file"]);
    }
    // Where there are both, the longest name of a file is meant.
    dir.write("t.csv", "n\n5\n");
    dir.write("t.csv:n", "7\n");
    assert_eq!(from("t.csv:n").text(), "49\n");
    // A job, and what a result says of it, have the same names.
    dir.write("job.toml", "[[task]]\nmap = { from = 'd.csv:v2/t.csv:n' }\noutput = 'out.json'\n");
    parpy("run job.toml").folder(dir.path("")).done().succeeds();
    parpy("run").arg(dir.path("out.json")).args("-o -").folder("/").done().succeeds();
    parpy("map -o text.json --from d.csv:v2/n.txt").folder(dir.path("")).done().succeeds();
    assert_eq!(parpy("run").arg(dir.path("text.json")).args("-o -").folder("/").text(), "4\n9\n");
}
