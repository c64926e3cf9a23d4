//! Types of what commands answer, in files of columns (`.npy`, `.h5`): said, or as the first answers are.

use std::path::{Path, PathBuf};

use crate::dsl::*;

/// Files of columns that this build writes.
fn extensions() -> &'static [&'static str] {
    if cfg!(feature = "hdf5") { &["npy", "h5"] } else { &["npy"] }
}

/// `parpy map FLAGS -o FILE WAY --exec sh -c SCRIPT`.
fn map(flags: &str, file: &Path, way: &str, script: &str) -> Run {
    parpy("map").args(flags).arg("-o").arg(file).args(way).args("--exec sh -c").arg(script)
}

/// Ways to run it, each with the number of ranks and how these share memory.
fn ways() -> Vec<(&'static str, usize, &'static str)> {
    let mut ways = vec![
        ("-p serial", 0, ""),
        ("-p threads -j 3 --schedule dynamic,1", 0, ""),
        ("-p pool -j 2", 0, ""),
        ("-p process -j 3 --schedule dynamic,20", 0, ""),
    ];
    if has_mpi() {
        ways.extend([
            ("", 1, ""),
            ("", 3, ""),
            ("--schedule static,7", 2, ""),
            ("--schedule dynamic,9", 3, "never"),
        ]);
    }
    ways
}

/// The answers in a file, each on a line: of floats it has a point, and an empty one is missing.
fn answers(file: &Path) -> String {
    let column = if file.extension().unwrap() == "h5" { ":/output" } else { "" };
    let from =
        |column: &str| parpy("map -q -k -f x --from").arg(format!("{}{column}", file.display())).done();
    let done = from(column);
    // With several columns, or with one that says which are missing.
    let done = if done.code == 2 { from(":output") } else { done };
    String::from_utf8(done.stdout).unwrap()
}

fn lines(values: impl Iterator<Item = String>) -> String {
    values.map(|value| value + "\n").collect()
}

/// Runs it in all ways, which must end alike and leave the same answers in `file`.
fn in_all_ways(dir: &Dir, flags: &str, extension: &str, script: &str, check: impl Fn(&Done, &Path)) {
    for (i, (way, ranks, shared)) in ways().into_iter().enumerate() {
        let file = dir.path(&format!("{i}.{extension}"));
        let run = map(flags, &file, way, script).ranks(ranks).var("PARPY_MPI_SHARED", shared);
        check(&run.done(), &file);
    }
}

#[test]
fn the_first_64_answers_say_the_type() {
    let whole = lines((0..90).map(|i| i.to_string()));
    let floats = lines((0..90).map(|i| if i == 63 { "0.5".to_owned() } else { format!("{i}.0") }));
    for extension in extensions() {
        for (script, expected) in [
            ("echo {}", &whole),
            ("echo ' {}  '; echo", &whole),
            ("case {} in 63) echo 0.5;; *) echo {};; esac", &floats),
            ("case {} in 1) echo 1.0;; 63) echo 5e-1;; *) echo {};; esac", &floats),
        ] {
            let dir = Dir::new();
            in_all_ways(&dir, "--range 0..90", extension, script, |done, file| {
                assert_eq!((done.code, &*answers(file)), (0, &**expected), "{script}: {}", done.stderr);
            });
        }
    }
}

#[test]
fn what_does_not_fit_later_is_a_failed_item() {
    let script = "case {} in 64|70) echo 0.5;; 68) exit 3;; 66) echo ;; *) echo {};; esac";
    let why =
        "64: it has printed '0.5', which is no i64, as the first answers are; --answers says another type";
    let fails = [64, 66, 68, 70];
    let passed = lines((0..90).map(|i| if fails.contains(&i) { String::new() } else { i.to_string() }));
    for extension in extensions() {
        let dir = Dir::new();
        in_all_ways(&dir, "--range 0..90", extension, script, |done, file| {
            assert_eq!((done.code, done.stderr.contains(why)), (1, true), "{}", done.stderr);
            // What was before it is kept.
            let mut partial = file.as_os_str().to_owned();
            partial.push(".partial");
            let kept = PathBuf::from(partial);
            assert!(kept.exists() && !file.exists());
            let whole = file.with_file_name(format!("kept.{extension}"));
            std::fs::rename(kept, &whole).unwrap();
            assert_eq!(answers(&whole), lines((0..64).map(|i| i.to_string())));
        });
        let (list, log) = (dir.path("list.csv"), dir.path("log"));
        let flags = format!("--range 0..90 -k --failed {} --joblog {}", list.display(), log.display());
        in_all_ways(&dir, &flags, extension, script, |done, file| {
            assert_eq!(done.code, 1, "{}", done.stderr);
            let said = format!("4 items have no answer and were passed over; the first: {why}");
            assert!(done.stderr.contains(&said), "{}", done.stderr);
            assert_eq!(answers(file), passed);
            let text = String::from_utf8(std::fs::read(&list).unwrap()).unwrap();
            let failed: Vec<&str> = text.lines().collect();
            assert_eq!(failed.len(), 5, "{text}");
            assert_eq!(failed[1], format!("64,64,0,0,\"{why}\""));
            assert!(failed[2].starts_with("66,66,0,0,\"66: it has printed nothing, and no i64"), "{text}");
            assert_eq!(failed[3], "68,68,3,0,68: exit code 3");
            let log = String::from_utf8(std::fs::read(&log).unwrap()).unwrap();
            assert_eq!(log.lines().count(), 91);
        });
        // It counts for those that are enough.
        for limit in ["soon,fail=2", "now,fail=2"] {
            let run = map(
                &format!("--range 0..90 -q --halt {limit}"),
                &dir.path(&format!("h.{extension}")),
                "-p pool -j 2",
                script,
            );
            run.done()
                .fails(1, &["stopped because", "have no answer", "the first: 64: it has printed '0.5'"]);
        }
    }
}

/// Answers that come in pieces, and workers that are killed while they give them.
#[test]
fn an_answer_counts_once_whoever_gives_it() {
    let dir = Dir::new();
    for extension in extensions() {
        let expected = lines((1..=70).map(|i| i.to_string()));
        in_all_ways(&dir, "--range 1..71", extension, "printf '%070000d\\n' {}", |done, file| {
            assert_eq!((done.code, answers(file)), (0, expected.clone()), "{}", done.stderr);
        });
        // The workers are the children of parpy that the spawner is not, which is its own child.
        let script = "case {} in 66|72) echo 0.5; exit;; 70) ;; *) echo {}; exit;; esac; \
                      spawner=$(cut -d' ' -f4 /proc/$PPID/stat); parpy=$(cut -d' ' -f4 /proc/$spawner/stat); \
                      for child in $(cat /proc/$parpy/task/$parpy/children); do test $child = $spawner || kill -9 $child; \
                      done; sleep 100";
        let (file, list) = (dir.path(&format!("k.{extension}")), dir.path("list.csv"));
        let flags = format!("--range 0..90 -k --failed {}", list.display());
        map(&flags, &file, "-q -p pool -j 2 --schedule dynamic,5", script)
            .done()
            .fails(1, &["3 items have no answer"]);
        let failed = [66, 70, 72];
        let expected =
            lines((0..90).map(|i| if failed.contains(&i) { String::new() } else { i.to_string() }));
        assert_eq!(answers(&file), expected);
        let list = String::from_utf8(std::fs::read(list).unwrap()).unwrap();
        let rows: Vec<&str> = list.lines().skip(1).collect();
        assert!(
            rows.len() == 3 && rows[1].starts_with("70,70,-1,9,") && rows[2].starts_with("72,72,0,0,"),
            "{list}"
        );
    }
}

/// What has been done before the type is known is kept, too.
#[test]
fn a_run_that_is_stopped_keeps_what_there_is() {
    let dir = Dir::new();
    for extension in extensions() {
        let file = dir.path(&format!("s.{extension}"));
        let script = "test {} != 9 || kill -TERM $(cut -d' ' -f4 /proc/$(cut -d' ' -f4 /proc/$PPID/stat)/stat); echo {}.5";
        let done = map("--range 0..20 --schedule dynamic,1", &file, "-q -p serial", script).done();
        assert_eq!(done.code, 143, "{}", done.stderr);
        let kept = dir.path(&format!("kept.{extension}"));
        std::fs::rename(dir.path(&format!("s.{extension}.partial")), &kept).unwrap();
        assert!(answers(&kept).starts_with("0.5\n1.5\n2.5\n"), "{}", answers(&kept));
        assert!((9..=10).contains(&answers(&kept).lines().count()));
    }
}

#[test]
fn only_answers_count_as_the_first() {
    let dir = Dir::new();
    for extension in extensions() {
        // The 64th answer is that of item 143.
        let script = "test {} -ge 80 || exit 1; case {} in 143) echo 0.5;; *) echo {};; esac";
        in_all_ways(&dir, "--range 0..150 -k", extension, script, |done, file| {
            let text = answers(file);
            assert_eq!((done.code, text.lines().nth(143)), (1, Some("0.5")), "{}", done.stderr);
            assert_eq!(text.lines().nth(80), Some("80.0"));
        });
        // There are none at all, or no items.
        let file = dir.path(&format!("none.{extension}"));
        map("1 2 3 -k --columns output", &file, "", "exit 1").done().fails(1, &["3 items have no answer"]);
        assert_eq!(answers(&file), "\n\n\n");
        map("--range 0..0", &file, "", "echo {}").done().succeeds();
        assert_eq!(answers(&file), "");
    }
}

#[test]
fn texts_are_no_numbers() {
    let dir = Dir::new();
    let file = dir.path("t.npy");
    for (script, what) in [
        ("echo a{}", "the answer of 0 is 'a0'"),
        ("test {} = 20 || echo {}", "the answer of 20 is ''"),
        // None of its digits is lost.
        (
            "test {} = 20 && echo 18446744073709551615 || echo {}",
            "the answer of 20 is '18446744073709551615'",
        ),
    ] {
        in_all_ways(&dir, "--range 0..30", "npy", script, |done, _| {
            assert_eq!(done.code, 2, "{}", done.stderr);
            for part in ["output would be text", ".csv, .jsonl, .h5", "--answers f64 (or i64)", what] {
                assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
            }
        });
        assert!(!file.exists());
    }
    // Said beforehand, as ever.
    map("--range 0..3 --answers f64", &file, "", "echo {}").done().succeeds();
    assert_eq!(answers(&file), "0.0\n1.0\n2.0\n");
    map("1 --answers text", &file, "", "echo {}").done().fails(2, &["output would be text"]);
    // No command is run for a file that cannot be written, or a column that cannot be in it.
    let mark = dir.path("mark");
    let script = format!("touch {}; echo 1 #{{}}", mark.display());
    map("1", Path::new("/nowhere/x.npy"), "", &script).done().fails(1, &["/nowhere/x.npy"]);
    map("a --columns input,output", &file, "", &script).done().fails(2, &["its column input would be text"]);
    assert!(!mark.exists());
}

#[cfg(feature = "hdf5")]
#[test]
fn other_columns_stand_beside_them() {
    let dir = Dir::new();
    let file = dir.path("t.h5");
    let show = |file: &Path| parpy("show").arg(file).text();
    for (way, ranks, shared) in ways() {
        let run = |flags: &str, script: &str| {
            let run = map(flags, &file, way, script).ranks(ranks).var("PARPY_MPI_SHARED", shared);
            run.done().succeeds();
            show(&file)
        };
        // Inputs that are texts, inputs that are numbers, and who has answered.
        let text = run("7 8 9", "echo {}.5");
        assert!(text.contains("/input 3, strings\n/output 3, float64\n  7.5\n"), "{text}");
        let text = run("--range 7..9 --who", "echo {}.5");
        assert!(text.contains("/output 2, float64\n") && text.contains("/rank 2"), "{text}");
        assert_eq!(answers(&file), "7.5\n8.5\n");
        let text = run("7 8 9", "echo a{}");
        assert!(text.contains("/output 3, strings\n"), "{text}");
        run("7 8 9 --columns output --repeat 2", "echo {}1");
        assert_eq!(answers(&file), "71\n81\n91\n");
    }
    let table = dir.write("t.csv", "a,b\n1,0.5\n2,\n3,2.5\n");
    let from = |file: &Path, flags: &str| parpy("map -k -q").args(flags).arg("--from").arg(file);
    let (fields, out) = (dir.path("f.npy"), dir.path("o.npy"));
    from(&table, "-f a").arg("-o").arg(&fields).done().succeeds();
    let run = from(&fields, "--columns b,output").arg("-o").arg(&out);
    run.args("--exec echo {a}{b}").done().fails(1, &["b of row no. 2 is missing"]);
    assert_eq!(answers(&out), "10.5\n\n32.5\n");
    let run = from(&table, "").arg("-o").arg(&file);
    run.args("--exec echo {a}{b}").done().fails(1, &["b of row no. 2 is missing"]);
    assert_eq!(answers(&file), "10.5\n\n32.5\n");
}

#[test]
fn parts_of_one_type_are_joined_to_what_the_whole_is() {
    for extension in extensions() {
        for (script, flags, count) in [
            ("echo {}", "", 3),
            ("echo {}.5", "", 3),
            // Each part says it, whatever all of its first are.
            ("test $(({} % 20)) = 3 && echo 0.5 || echo {}", "", 4),
            // Some have no answers, and some no items.
            ("test {} -ge 40 && echo {}.5", "-k", 4),
            ("test {} -ge 40 && echo {}", "-k", 100),
        ] {
            let dir = Dir::new();
            let (file, whole) = (dir.path(&format!("p.{extension}")), dir.path(&format!("w.{extension}")));
            let flags = format!("--range 0..80 -q {flags}");
            for part in 1..=count {
                map(&format!("{flags} --part {part}/{count}"), &file, "", script).done();
            }
            let joined = map(&format!("{flags} --join {count}"), &file, "", script).done();
            let expected = map(&flags, &whole, "", script).done();
            assert_eq!((joined.code, answers(&file)), (expected.code, answers(&whole)), "{}", joined.stderr);
            if extension == &"npy" {
                assert!(std::fs::read(&file).unwrap() == std::fs::read(&whole).unwrap(), "{script}");
            }
        }
        // Nobody knows which is meant.
        let dir = Dir::new();
        let file = dir.path(&format!("p.{extension}"));
        let script = "test {} = 7 && echo 0.5 || echo {}";
        for part in ["--part 1/2", "--part 2/2"] {
            map(&format!("--range 0..10 {part}"), &file, "", script).done().succeeds();
        }
        let joined = map("--range 0..10 --join 2", &file, "", script).done();
        joined.fails(1, &["the answers of part 1/2 are i64", "another f64", "--answers f64"]);
        map("--range 0..10 --part 1/2", &file, "", "echo a{}")
            .done()
            .fails(2, &["would be text", "--answers"]);
    }
}

#[test]
fn job_files_leave_it_open_too() {
    let dir = Dir::new();
    let job = "[[task]]\nmap = { range = '0..5', exec = ['echo', '{}.5'] }\noutput = 'a.npy'\n\
               [[task]]\nmap = { range = '0..5', exec = ['echo', '{}'], answers = 'f64' }\noutput = 'b.npy'\n\
               [[task]]\nmap = { range = '0..5', exec = ['echo', '{}'] }\noutput = 'c.csv'\n";
    let job = dir.write("job.toml", job);
    for ranks in if has_mpi() { &[0, 3][..] } else { &[0] } {
        parpy("run").arg(&job).ranks(*ranks).done().succeeds();
        assert_eq!(answers(&dir.path("a.npy")), "0.5\n1.5\n2.5\n3.5\n4.5\n");
        assert_eq!(answers(&dir.path("b.npy")), "0.0\n1.0\n2.0\n3.0\n4.0\n");
        // Rows stay as they were printed.
        assert_eq!(dir.read("c.csv"), b"input,output\n0,0\n1,1\n2,2\n3,3\n4,4\n");
    }
}
