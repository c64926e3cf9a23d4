//! What files hold and are called, and what is typed, reaches the terminal as letters and not as orders to it: in
//! no message, no look and no row, and never by the megabyte.

use std::ffi::OsString;
use std::path::Path;

use crate::data::*;
use crate::dsl::*;

/// Sets the window's title, clears the screen, moves the cursor, turns the direction of what follows, and says
/// something in parpy's name.
const ORDERS: &str = "x\x1b]0;owned\x07\x1b[2J\u{9b}5A\u{202e}\r\nparpy: all is well";

/// The same, as people should see it.
const TOLD: &str = r"x\x1b]0;owned\x07\x1b[2J\x9b5A\u{202e}\r\nparpy: all is well";

/// Neither stream has an order or much to say.
#[track_caller]
fn is_tame(done: &Done) {
    let stdout = String::from_utf8(done.stdout.clone()).unwrap();
    for text in [&stdout, &done.stderr] {
        let order = text.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
        assert!(order.is_none(), "{order:?} in {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("parpy: all is well")), "{text}");
        assert!(text.len() < 8000, "{} bytes: {text:.2000}", text.len());
    }
}

/// Fails with one message that holds `parts`, and that can be printed.
#[track_caller]
fn fails(run: &Run, code: i32, parts: &[&str]) {
    let done = run.done();
    is_tame(&done);
    done.fails(code, parts);
}

#[test]
fn words_that_are_typed() {
    let long = "9".repeat(100_000);
    let with = |args: &str, word: &str| {
        let mut run = parpy("");
        for arg in args.split_whitespace() {
            run = run.arg(arg.replace('@', word));
        }
        run
    };
    for (args, code, part) in [
        ("map @", 2, "is not a whole number"),
        ("map 1 @.", 2, "is not a whole number"),
        ("map 1 -f @", 2, "it has control characters"),
        ("map 1 -p @", 2, "invalid value"),
        ("map 1 --@", 2, "unexpected argument"),
        ("@", 2, "unrecognized subcommand"),
        ("map 1 -j @", 2, "is not a whole number"),
        ("map 1 --retries @", 2, "invalid value"),
        ("map --range 0..@", 2, "--range"),
        ("map 1 --schedule @", 2, "--schedule"),
        ("map 1 --part @", 2, "--part"),
        ("map 1 -o a.@", 2, "no format has the extension"),
        ("map 1 -o a.h5 --compress @", 2, "--compress"),
        ("map 1 --report=@", 2, "--report"),
        ("map --from @.json", 2, "JSON it is lines"),
        ("run nothing.toml @", 2, "nothing.toml"),
        ("scale map 1 --save a.@", 2, "a study is saved as"),
    ] {
        if args.contains(".h5") && !cfg!(feature = "hdf5") {
            continue;
        }
        fails(&with(args, ORDERS), code, &[part]);
        // Names of files that are written have a length of their own, which the system minds first.
        if !args.contains("--save") {
            fails(&with(args, &long), code, &[]);
        }
    }
    fails(&with("map @", ORDERS), 2, &[&format!("'{TOLD}' is not a whole number")]);
    fails(&with("map 1 -p @", ORDERS), 2, &[&format!("'{TOLD}'"), "possible values"]);
    // What is wrong, and what to do, stand at the ends.
    fails(&with("map @", &long), 2, &["'999", " … ", "999' is not a whole number"]);
    if has_mpi() {
        fails(&with("map @", ORDERS).ranks(2), 2, &[TOLD]);
        fails(&with("map 1 -p @", ORDERS).ranks(2), 2, &[TOLD]);
    }
}

#[test]
fn names_of_files() {
    let dir = Dir::new();
    let missing = dir.path(ORDERS);
    for ranks in ways() {
        for args in ["read", "read --do count", "map --from"] {
            let run = parpy(args).arg(&missing).ranks(*ranks);
            fails(&run, 1, &["cannot open", TOLD, "No such file"]);
        }
    }
    for args in ["show", "scale --from"] {
        fails(&parpy(args).arg(dir.path(&format!("{ORDERS}.json"))), 1, &["cannot", TOLD, "No such file"]);
    }
    fails(&parpy("run").arg(&missing), 2, &["cannot open", TOLD]);
    fails(&parpy("map 1 -o").arg(dir.path(&format!("{ORDERS}/out.txt"))), 1, &["cannot write", TOLD]);
    // In the lines that are said besides, too.
    let done = parpy("map 3 3037000500 -o").arg(&missing).done();
    is_tame(&done);
    assert!(done.said().len() == 2 && done.stderr.contains(&format!("{TOLD}.partial")), "{}", done.stderr);
    // Job files name themselves in front of what is wrong in them.
    let job = dir.write(&format!("{ORDERS}.toml"), "[[tsk]]\n");
    fails(&parpy("run").arg(job), 2, &[TOLD, "unknown field", "did you mean `task`?"]);
}

/// A row of counts is one line, as wc's is; what is no UTF-8 stays as it is, but for 8-bit orders.
#[test]
fn a_name_in_a_row_of_counts() {
    use std::os::unix::ffi::OsStringExt;
    let dir = Dir::new();
    let path = dir.write(ORDERS, "a b\n");
    let expected = format!("1 2 4 {}\n", path.display().to_string().replace(ORDERS, TOLD));
    for ranks in ways() {
        assert_eq!(parpy("read --do count").arg(&path).ranks(*ranks).text(), expected);
    }
    parpy("read --do count -o").arg(dir.path("count.txt")).arg(&path).done().succeeds();
    assert_eq!(dir.read("count.txt"), expected.as_bytes());
    for part in ["1/2", "2/2"] {
        parpy("read --do count -o").arg(dir.path("c")).arg(&path).arg("--part").arg(part).done().succeeds();
    }
    parpy("read --do count --join 2 -o").arg(dir.path("c")).arg(&path).done().succeeds();
    assert_eq!(dir.read("c"), expected.as_bytes());
    let path = dir.path("x").with_file_name(OsString::from_vec(b"caf\xe9\x9b2J".to_vec()));
    std::fs::write(&path, "a b\n").unwrap();
    assert!(parpy("read --do count").arg(&path).stdout().ends_with(b"/caf\xe9\\x9b2J\n"));
}

#[test]
fn what_stands_in_files() {
    let dir = Dir::new();
    let quoted = format!("\"{ORDERS}\"");
    let long = "y".repeat(3_000_000);
    let from = |name: &str, part: &str| {
        let mut from = dir.path(name).into_os_string();
        from.push(part);
        parpy("map --from").arg(from)
    };
    for word in [&quoted, &long] {
        dir.write("a.csv", format!("{word},b\n1,2\n"));
        fails(&from("a.csv", ":nope"), 1, &["its columns are"]);
        dir.write("a.csv", format!("a,b\n1,2\n{word},2\n"));
        fails(&from("a.csv", ":a"), 1, &["line 3"]);
        dir.write("a.txt", word.replace("\r\n", " "));
        fails(&from("a.txt", ""), 1, &["a.txt, line 1"]);
    }
    for descr in ["<i8\x1b[2J", &format!("<U{}", "9".repeat(3000))] {
        dir.write("a.npy", npy_header(descr, "(1,)"));
        fails(&from("a.npy", ""), 1, &["a.npy"]);
    }
    let job = |text: &str, parts: &[&str]| {
        dir.write("job.toml", text);
        fails(&parpy("run").arg(dir.path("job.toml")), 2, parts);
    };
    // Written with escapes, which TOML undoes.
    job(
        "[[task]]\n\"x\\u001b[2J\\nparpy: all is well\" = 1\n",
        &[r"unknown field `x\x1b[2J\nparpy: all is well`"],
    );
    job("[[task]]\nmap = { values = [\"\\u001b[2J\"] }\n", &[r"'\x1b[2J' is not"]);
    job("[[task]]\nmap = { function = \"\\u001b[2J\" }\n", &[r"'\x1b[2J': it has control characters"]);
    // And without, which is shown as the place.
    job("[[task]]\nmap = { values = [\"\x1b[2J\"] }\n", &["TOML parse error at line 2", r"\x1b[2J"]);
    job(&format!("[[task]]\nmap = {{ values = {long} }}\n"), &["TOML parse error at line 2"]);
    // The place keeps its lines.
    job("[[task]]\nmap = { valuess = [1] }\n", &["\n2 | map = ", "did you mean `values`?"]);
}

/// All that can be looked into.
#[test]
fn what_is_shown() {
    let dir = Dir::new();
    let quoted = serde_json::to_string(ORDERS).unwrap();
    let shows = |path: &Path, parts: &[&str]| {
        let done = parpy("show").arg(path).done().succeeds();
        is_tame(&done);
        let text = String::from_utf8(done.stdout).unwrap();
        parts.iter().for_each(|part| assert!(text.contains(part), "no {part} in\n{text}"));
    };
    shows(&dir.write(&format!("{ORDERS}.csv"), format!("\"{ORDERS}\",b\n\"{ORDERS}\",2\n")), &[TOLD]);
    shows(&dir.write("long.csv", format!("a,b\n{},2\n", "z".repeat(3_000_000))), &["zzz … zzz"]);
    shows(&dir.write("a.txt", ORDERS.replace("\r\n", " ")), &[r"\x1b]0;owned"]);
    shows(&dir.write("a.jsonl", format!("{{{quoted}:{quoted}}}\n")), &[TOLD]);
    let origin = format!("{{{quoted}:{quoted},\"hosts\":[{quoted}],\"job\":{quoted}}}");
    let json = dir.write("a.json", format!("{{\"results\":[{{{quoted}:{quoted}}}],\"parpy\":{origin}}}"));
    let done = parpy("show").arg(&json).done().succeeds();
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(!text.contains('\x1b') && text.contains(&format!("  hosts: {TOLD}\n")), "{text}");
    // Of a job the lines are kept, behind blanks: it is none of parpy's own words.
    assert!(!text.lines().any(|line| line.starts_with("parpy:")), "{text}");
    // The job file as it is, but for orders, which TOML has none of.
    let job = parpy("show --job").arg(&json).text();
    assert!(!job.contains(['\x1b', '\r', '\u{9b}']) && job.contains('\n'), "{job:?}");
    let values = "12345, ".repeat(2000);
    let text = format!("[[task]]\nmap = {{ values = [{values}] }}\n");
    let whole = serde_json::json!({ "results": [], "parpy": { "job": text } });
    let long = dir.write("long.json", whole.to_string());
    assert_eq!(parpy("show --job").arg(&long).text(), text);
    #[cfg(feature = "hdf5")]
    {
        let path = dir.path("a.h5");
        // No slash and no NUL: anything else is a name.
        let file = ::hdf5::File::create(&path).unwrap();
        for name in [ORDERS, "other"] {
            file.new_dataset_builder().with_data(&[1i64, 2]).create(name).unwrap();
        }
        file.close().unwrap();
        crate::data::settle(&path);
        shows(&path, &[TOLD]);
        fails(&parpy("map --from").arg(&path), 1, &[TOLD]);
        fails(&parpy("map --from").arg(format!("{}:/no\x1bc", path.display())), 1, &[r"no\x1bc"]);
    }
}

/// A study that somebody has saved is shown, and it may be anybody's.
#[test]
fn what_stands_in_a_study() {
    let dir = Dir::new();
    let path = dir.path("study.json");
    parpy("scale map 1 -j 1 --patterns serial --repeat 2 --save").arg(&path).done().succeeds();
    let mut study = crate::formats::json(&path);
    for member in ["title", "unit"] {
        study["studies"][0][member] = ORDERS.into();
    }
    study["studies"][0]["verdict"] = serde_json::json!([ORDERS]);
    let hostile = dir.write("hostile.json", study.to_string());
    for run in [parpy("scale --from").arg(&hostile), parpy("scale --from").arg(&hostile).arg(&hostile)] {
        let done = run.done().succeeds();
        is_tame(&done);
        assert!(String::from_utf8(done.stdout).unwrap().contains(TOLD));
    }
}
