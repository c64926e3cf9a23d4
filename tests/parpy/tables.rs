//! Tables and arrays from elsewhere: what numpy, spreadsheets and old programs write, and what is damaged or meant
//! to do harm. An answer, or an error at once and in little memory.

use std::path::{Path, PathBuf};

use crate::data::*;
use crate::dsl::*;

/// Bytes of address space, in kB, in which a small job and any error have room.
const LITTLE_MEMORY: u64 = 300_000;

/// How the run ends in little memory, and within seconds.
fn in_little_memory(run: &Run) -> Done {
    let mut command = program("bash");
    command
        .args(["-c", &format!("ulimit -v {LITTLE_MEMORY}; exec \"$@\""), "bash", BINARY])
        .args(run.words());
    Done::of(run, command.output().unwrap())
}

/// A huge file of which nothing but `start` and `end` is on the disk; in between are NULs.
fn huge(dir: &Dir, name: &str, start: &[u8]) -> PathBuf {
    let path = dir.write(name, start);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(8 << 30).unwrap();
    path
}

fn npy_v(version: u8, text: &str) -> Vec<u8> {
    let len = text.len() as u32;
    let len = if version == 1 { (len as u16).to_le_bytes().to_vec() } else { len.to_le_bytes().to_vec() };
    [b"\x93NUMPY", &[version, 0][..], &len, text.as_bytes()].concat()
}

fn from(path: &Path) -> Run {
    parpy("map --from").arg(path)
}

fn part(path: &Path, part: &str) -> Run {
    parpy("map --from").arg(format!("{}:{part}", path.display()))
}

/// Alone, and as ranks.
fn ways() -> &'static [usize] {
    if has_mpi() { &[0, 1, 2, 3] } else { &[0] }
}

#[test]
fn headers_that_nest_are_an_error_at_once() {
    let dir = Dir::new();
    for (descr, depth) in [("[", 40), ("(", 40), ("[", 4000)] {
        let close = if descr == "[" { "]" } else { ")" };
        let descr = descr.repeat(depth) + &close.repeat(depth);
        let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (3,)}}\n");
        let path = dir.write("nested.npy", npy_v(1, &text));
        if depth == 40 {
            assert_eq!(std::fs::metadata(&path).unwrap().len(), 141);
        }
        for run in [from(&path), parpy("show").arg(&path)] {
            in_little_memory(&run).fails(1, &["nested.npy: its type is", "whole numbers"]);
        }
        for ranks in ways() {
            from(&path).ranks(*ranks).done().fails(1, &["nested.npy: its type is"]);
        }
    }
    let open = dir.write("open.npy", npy_v(1, &"{".repeat(60_000)));
    in_little_memory(&from(&open)).fails(1, &["open.npy", "60000 bytes", "no more than 10000"]);
}

#[test]
fn headers_that_claim_more_than_there_can_be() {
    let dir = Dir::new();
    let path = huge(&dir, "claims.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr': '<f8', ");
    for run in [from(&path), parpy("show").arg(&path)] {
        in_little_memory(&run).fails(1, &["claims.npy", "4294967295 bytes", "no more than 10000"]);
    }
    let values = dir.write("values.npy", npy_header("<i8", "(1000000000000,)"));
    for run in [from(&values), parpy("show").arg(&values)] {
        in_little_memory(&run).fails(1, &["ends after 0 of the 1000000000000 values"]);
    }
}

#[test]
fn a_file_that_is_too_short_is_an_error_before_the_first_value() {
    let dir = Dir::new();
    let path = dir.write("short.npy", [npy_header("<i8", "(5,)"), vec![1; 8 * 3 + 4]].concat());
    for ranks in ways() {
        let done = from(&path).ranks(*ranks).done();
        assert_eq!(done.stdout, b"", "no answers");
        done.fails(1, &["short.npy: it ends after 3 of the 5 values that its header promises"]);
    }
    parpy("show").arg(&path).done().fails(1, &["after 3 of the 5"]);
}

#[test]
fn all_that_numpy_writes_of_numbers_is_read() {
    let dir = Dir::new();
    let case = |text: &str, data: &[u8], expected: &str| {
        let path = dir.write("x.npy", [npy_v(1, text), data.to_vec()].concat());
        for ranks in ways() {
            assert_eq!(from(&path).ranks(*ranks).text(), expected, "{text} on {ranks} ranks");
        }
    };
    let two: Vec<u8> = [3i64, -4].into_iter().flat_map(i64::to_ne_bytes).collect();
    // As Python 2 wrote it on Windows, and as others do.
    case("{'descr': '<i8', 'fortran_order': False, 'shape': (2L,), }\n", &two, "9\n16\n");
    case("{'descr': '=i8', 'fortran_order': False, 'shape': (2,), }\n", &two, "9\n16\n");
    case("{'descr': 'i8', 'fortran_order': True, 'shape': (2,), }\n", &two, "9\n16\n");
    case("{'descr': '|b1', 'fortran_order': False, 'shape': (4,), }\n", &[0, 1, 1, 7], "0\n1\n1\n1\n");
    let halves: Vec<u8> =
        [0x3e00u16, 0xc000, 0x0000, 0x7bff].into_iter().flat_map(u16::to_le_bytes).collect();
    let squares = "2.25\n4.0\n0.0\n4290774016.0\n";
    case("{'descr': '<f2', 'fortran_order': False, 'shape': (4,), }\n", &halves, squares);
    let big: Vec<u8> = halves.chunks(2).flat_map(|half| [half[1], half[0]]).collect();
    case("{'descr': '>f2', 'fortran_order': False, 'shape': (4,), }\n", &big, squares);
    // Names of fields that are no UTF-8.
    let text = b"{'descr': [('gr\xf6\xdfe', '<i8')], 'fortran_order': False, 'shape': (1,), }\n";
    let len = (text.len() as u16).to_le_bytes();
    let path = dir.write("s.npy", [b"\x93NUMPY\x01\x00", &len[..], text, &[0; 8]].concat());
    assert_eq!(from(&path).args("-f").arg("gr\u{f6}\u{df}e + 1").text(), "1\n");
}

/// Every half float, and numpy's own headers.
#[test]
fn numpy_and_parpy_agree() {
    let Some(python) = std::env::var_os("PARPY_TEST_PYTHON") else {
        return skip("python", "PARPY_TEST_PYTHON names none with numpy");
    };
    let dir = Dir::new();
    let script = "import numpy as n\n\
        n.save('f2', n.arange(65536, dtype='u2').view('f2'))\n\
        n.save('b1', n.arange(7) % 3 == 0)\n\
        n.save('want_f2', n.arange(65536, dtype='u2').view('f2').astype('f8') ** 2)\n\
        n.save('want_b1', (n.arange(7) % 3 == 0).astype('i8') ** 2)\n";
    let mut command = program(python);
    command.args(["-W", "ignore", "-c", script]).current_dir(dir.path(""));
    assert!(command.status().unwrap().success());
    for name in ["f2", "b1"] {
        from(&dir.path(&format!("{name}.npy"))).arg("-o").arg(dir.path("got.npy")).done().succeeds();
        let (got, want) = (dir.read("got.npy"), dir.read(&format!("want_{name}.npy")));
        let number = |bytes: &[u8]| f64::from_ne_bytes(bytes.try_into().unwrap());
        assert_eq!(got.len(), want.len());
        for (i, (got, want)) in got[128..].chunks(8).zip(want[128..].chunks(8)).enumerate() {
            // What is not a number has many forms.
            let is_nan = name == "f2" && number(got).is_nan() && number(want).is_nan();
            assert!(got == want || is_nan, "{name} no. {i}: {got:?} {want:?}");
        }
    }
}

#[test]
fn a_record_without_end_is_an_error_in_little_memory() {
    let dir = Dir::new();
    for (name, start, line) in [
        ("one.csv", "x".to_owned(), 1),
        ("quote.csv", "a,b\n1,2\n3,\"".to_owned(), 3),
        ("commas.csv", ",".repeat(3_000_000), 1),
    ] {
        let path = huge(&dir, name, start.as_bytes());
        for run in [part(&path, "a"), parpy("show").arg(&path)] {
            in_little_memory(&run).fails(1, &[&format!("{name}, line {line}: "), "4 MiB"]);
        }
    }
    let lines = huge(&dir, "line.txt", b"7");
    in_little_memory(&parpy("show").arg(&lines)).fails(1, &["line.txt, line 1", "4 MiB"]);
    in_little_memory(&from(&lines)).fails(1, &["line.txt, line 1", "not a whole number"]);
    for (name, start) in
        [("row.json", "{\"results\": [{\"a\": \""), ("key.json", "{\""), ("row.jsonl", "{\"a\": \"")]
    {
        // Text that goes on, as a file with holes does not.
        let path = dir.write(name, start.to_owned() + &"x".repeat(60 << 20));
        in_little_memory(&parpy("show").arg(&path)).fails(1, &[name, "longer than 4 MiB"]);
    }
}

#[test]
fn job_files_and_studies_that_never_end() {
    let dir = Dir::new();
    let job = huge(&dir, "job.toml", b"# ");
    in_little_memory(&parpy("run").arg(&job)).fails(2, &["job.toml", "more than 16 MiB"]);
    in_little_memory(&parpy("run /dev/zero")).fails(2, &["/dev/zero", "more than 16 MiB"]);
    let study = huge(&dir, "study.json", b"{");
    in_little_memory(&parpy("scale --from").arg(&study)).fails(1, &["study.json", "more than 16 MiB"]);
}

#[test]
fn a_table_of_many_columns_names_some() {
    let dir = Dir::new();
    let names: Vec<String> = (0..100_000).map(|i| format!("name{i}")).collect();
    let path = dir.write("wide.csv", format!("{}\n{}\n", names.join(","), vec!["3"; 100_000].join(",")));
    assert_eq!(part(&path, "name99999").text(), "9\n");
    let done = part(&path, "missing").done();
    assert!(done.stderr.len() < 1000, "{}", done.stderr.len());
    done.fails(1, &["name0, name1", "99980 more"]);
    let shown = parpy("show").arg(&path).text();
    assert!(shown.contains("1 row of 100,000 columns, the first 1000 of them"), "{}", &shown[..200]);
}

#[test]
fn tables_without_names_keep_their_first_value() {
    let dir = Dir::new();
    let path = dir.write("v.csv", "10\n20\n30\n");
    for ranks in ways() {
        from(&path).ranks(*ranks).done().fails(1, &["v.csv", "the number 10", "--no-header", ":10"]);
        assert_eq!(from(&path).args("--no-header").ranks(*ranks).text(), "100\n400\n900\n");
        assert_eq!(part(&path, "1").args("--no-header").ranks(*ranks).text(), "100\n400\n900\n");
    }
    // Whoever names it knows that it is a name.
    assert_eq!(part(&path, "10").text(), "400\n900\n");
    part(&path, "1").done().fails(1, &["the number 10", "--no-header"]);
    part(&path, "2").args("--no-header").done().fails(1, &["cannot read column 2", "1 column"]);
    let years = dir.write("years.csv", "name,2019,-1.5e3\na,1,2\nb,3,4\n");
    assert_eq!(part(&years, "2019").text(), "1\n9\n");
    part(&years, "3").done().fails(1, &["column 3", "the number -1.5e3"]);
    assert_eq!(part(&years, "2").args("--no-header").text(), "4076361\n1\n9\n");
    from(&years).args("--no-header").done().fails(2, &["of one column", "square(c2)"]);
    // A mark of editors, blank lines and all.
    let marked = dir.write("bom.csv", "\u{feff}5\r\n\r\n6");
    assert_eq!(from(&marked).args("--no-header").text(), "25\n36\n");
    let empty = dir.write("empty.csv", "");
    from(&empty).args("--no-header").done().fails(1, &["it is empty"]);
    // The first is a fault, and has its line.
    let words = dir.write("w.csv", "x\n1\n");
    from(&words).args("--no-header").done().fails(1, &["w.csv, line 1: 'x' is not"]);
    // Parts of it are parts of all values.
    let run = |part: &str| from(&path).args("--no-header -o").arg(dir.path("o.txt")).args(part);
    for i in 1..=2 {
        run(&format!("--part {i}/2")).done().succeeds();
    }
    run("--join 2").done().succeeds();
    assert_eq!(dir.read("o.txt"), b"100\n400\n900\n");
}

#[test]
fn show_loses_no_first_row_either() {
    let dir = Dir::new();
    let path = dir.write("v.csv", "10\n20\n30\n");
    assert!(
        parpy("show").arg(&path).text().contains("3 rows\n  10\n  20\n  30\n  min 10  mean 20.0  max 30")
    );
    let named = dir.write("n.tsv", "a\tb c\n1\t2\n3\t5\n");
    let text = parpy("show").arg(&named).text();
    assert!(text.contains("2 rows\n  a  b c\n  1  2\n  3  5\n") && text.contains("b c: min 2"), "{text}");
    assert!(parpy("show -n 18446744073709551615").arg(&path).text().contains("30"));
}

#[test]
fn two_columns_of_one_name_are_told_apart() {
    let dir = Dir::new();
    let path = dir.write("t.csv", "a,b,a\n1,2,3\n");
    for ranks in ways() {
        part(&path, "a").ranks(*ranks).done().fails(1, &["2 columns", "t.csv:1 or", "t.csv:3"]);
    }
    assert_eq!(part(&path, "3").text(), "9\n");
    assert_eq!(part(&path, "b").text(), "4\n");
    let path = dir.write("u.csv", "a,a\n1,2\n");
    part(&path, "a").done().fails(1, &[":1 or", ":2"]);
}

#[test]
fn other_delimiters() {
    let dir = Dir::new();
    let tabs = dir.write("t.tsv", "a\tb, c\n1\t2\n\"3\n\"\t5\n");
    assert_eq!(part(&tabs, "b, c").text(), "4\n25\n");
    assert_eq!(part(&dir.write("U.TSV", "a\tb\n1\t2\n"), "2").text(), "4\n");
    let semicolons = dir.write("s.csv", "a;b\n1;2\n3;\"4\n\"\n");
    part(&semicolons, "b").done().fails(1, &["'a;b'", "commas", "--delimiter"]);
    for ranks in ways() {
        assert_eq!(part(&semicolons, "b").args("--delimiter ;").ranks(*ranks).text(), "4\n16\n");
    }
    let open = dir.write("o.csv", "a;b\n1;2\n3;\"4\n");
    part(&open, "a").args("--delimiter ;").done().fails(1, &["o.csv, line 3", "never closed"]);
    let dashes = dir.write("d.csv", "a-b\n1-2\n");
    assert_eq!(part(&dashes, "b").args("--delimiter -").text(), "4\n");
    for tab in ["tab", "\\t", "\t"] {
        assert_eq!(part(&tabs, "a").arg("--delimiter").arg(tab).text(), "1\n9\n");
    }
    for wrong in ["", ";;", "\"", "\n", "\u{e9}"] {
        part(&tabs, "a").arg("--delimiter").arg(wrong).done().fails(2, &["--delimiter", "one character"]);
    }
    for run in [parpy("map 1 2"), parpy("map --range 0..3"), from(&dir.write("x.txt", "1\n"))] {
        run.clone().args("--delimiter ;").done().fails(2, &["--delimiter", ".csv"]);
        run.args("--no-header").done().fails(2, &["--no-header", ".csv"]);
    }
}

/// What made a result is in the result, and makes it again.
#[test]
fn the_layout_of_a_table_is_part_of_the_job() {
    let dir = Dir::new();
    dir.write("s.csv", "1;2\n3;4\n");
    let job = "[[task]]\nmap = { from = 's.csv:2', no_header = true, delimiter = ';' }\noutput = 'o.json'\n";
    let job = dir.write("job.toml", job);
    parpy("run").arg(&job).done().succeeds();
    let made = dir.read("o.json");
    let results = |bytes: &[u8]| String::from_utf8_lossy(bytes).split("parpy").next().unwrap().to_owned();
    assert!(results(&made).contains("\"output\":16"), "{}", results(&made));
    let text = parpy("show --job").arg(dir.path("o.json")).text();
    assert!(text.contains("no_header = true") && text.contains("delimiter = \";\""), "{text}");
    parpy("run").arg(dir.path("o.json")).arg("-o").arg(dir.path("again.json")).done().succeeds();
    assert_eq!(results(&dir.read("again.json")), results(&made));
    let tsv = dir.write("t.json.toml", "[[task]]\nmap = { from = 's.csv:2', delimiter = 'tabs' }\n");
    parpy("run").arg(tsv).done().fails(2, &["--delimiter 'tabs'", "one character"]);
}

#[test]
fn files_are_named_as_what_they_are() {
    let dir = Dir::new();
    let starts: [(&[u8], &str); 6] = [
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "gzip"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "zstd"),
        (b"\xfd7zXZ\x00\x00", "xz"),
        (b"PK\x03\x04\x14\x00", "zip archive"),
        (b"\x89HDF\r\n\x1a\n", "HDF5 file"),
        (b"\xff\xfe1\x00\n\x00", "UTF-16"),
    ];
    for (start, what) in starts {
        for name in ["x.txt", "x.csv", "x.tsv", "x.npy", "x"] {
            let path = dir.write(name, [start, b"\n1,2\n"].concat());
            from(&path).done().fails(1, &[name, what]);
        }
    }
    let path = dir.write("x.csv", npy_header("<i8", "(0,)"));
    part(&path, "a").done().fails(1, &["it is a .npy file"]);
    // A name may begin so.
    assert_eq!(from(&dir.write("b.csv", "BZhours\n3\n")).text(), "9\n");
}

/// All that the number parser reads can be typed.
#[test]
fn numbers_below_zero_are_no_flags() {
    let run = parpy("map -2.5e-7 -.5 -2.5e+7 -1E-5 -inf -Infinity -nan -5 -1e3 -0");
    let expected = "6.25e-14\n0.25\n625000000000000.0\n1e-10\ninf\ninf\nNaN\n25.0\n1000000.0\n0.0\n";
    for ranks in ways() {
        assert_eq!(run.clone().ranks(*ranks).text().replace("1.0000000000000002e-10", "1e-10"), expected);
    }
    // Flags before, between and behind them, and their values, are still flags.
    assert_eq!(parpy("-p serial map -.5 -j 1 -inf -q").text(), "0.25\ninf\n");
    assert_eq!(parpy("map --dtype f64 -1E-1 -qk -- -.5 -nan").text(), "0.010000000000000002\n0.25\nNaN\n");
    assert_eq!(parpy("map -qkj 1 -.5").text(), "0.25\n");
    let dir = Dir::new();
    let run = parpy("map -p=serial --dtype=f64 -.5 --report=r.json -o none").folder(dir.path(""));
    assert_eq!(run.text(), "");
    assert_eq!(parpy("map --range -5..-3").text(), "25\n16\n");
    parpy("map 1 -j -1").done().fails(2, &["--workers -1", "at least 1"]);
    parpy("map 1 -o -.5").done().fails(2, &[]);
    parpy("map -.5 --functoin square").done().fails(2, &["similar argument exists: '--function'"]);
    parpy("map -.5 -x").done().fails(2, &["'-x'"]);
    parpy("map -1e400").done().fails(2, &["'-1e400' does not fit in a 64-bit float"]);
    parpy("map -99999999999999999999")
        .done()
        .fails(2, &["'-99999999999999999999' does not fit", "--dtype f64"]);
    parpy("map -1x").done().fails(2, &["-1"]);
    parpy("read -5").done().fails(2, &["-5"]);
    parpy("show -5").done().fails(2, &["-5"]);
    parpy("-5").done().fails(2, &["-5"]);
}

#[test]
fn numbers_below_zero_are_arguments_of_job_files() {
    let dir = Dir::new();
    let job = dir.write(
        "job.toml",
        "[[task]]\nmap = { values = ['$1', '$2'] }\n[[task]]\nmap = { range = '$1..0' }\n",
    );
    let run = |args: &str| parpy("run").arg(&job).args(args);
    for ranks in ways() {
        assert_eq!(run("-3 4").ranks(*ranks).text(), "9\n16\n9\n4\n1\n");
        assert_eq!(run("-p threads -2 -.5 -j 1").ranks(*ranks).text(), "4.0\n0.25\n4\n1\n");
    }
    run("-3").done().fails(2, &["wants $2"]);
    run("-3 x").done().fails(2, &["'x' is not a whole number"]);
    parpy("run -3").done().fails(2, &["cannot open -3:"]);
    let scaled = dir.write("s.toml", "[[task]]\nmap = { values = ['$1'] }\n");
    let done = parpy("scale").arg(&scaled).args("-3 --workers 1 --patterns serial --repeat 1 -q").done();
    assert_eq!(done.succeeds().said(), [""; 0]);
    parpy("scale map -1e-5 --workers 1 --patterns serial --quick -q").done().succeeds();
}

/// A file may be of any year.
#[test]
fn inputs_of_all_years() {
    let dir = Dir::new();
    let path = dir.write("v.txt", "3\n");
    let mut outputs = vec!["o.json"];
    if cfg!(feature = "hdf5") {
        outputs.push("o.h5");
    }
    for (touch, year) in [
        ("@-1", "1969-12-31T23:59:59.000Z"),
        ("@-62167219201", "-000001-12-31T23:59:59.000Z"),
        ("@253402300800", "+010000-01-01T00:00:00.000Z"),
        ("@9000000000000", "+287169-"),
        ("@1700000000.5", "2023-11-14T22:13:20.500Z"),
    ] {
        assert!(program("touch").args(["-d", touch]).arg(&path).status().unwrap().success());
        let set = std::fs::metadata(&path).unwrap().modified().unwrap();
        let wanted = touch[1..].parse::<f64>().unwrap();
        let kept = match set.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => after.as_secs_f64(),
            Err(before) => -before.duration().as_secs_f64(),
        };
        if kept != wanted {
            skip("times", &format!("this file system keeps no time of {touch}"));
            continue;
        }
        for output in &outputs {
            for ranks in ways() {
                from(&path).arg("-o").arg(dir.path(output)).ranks(*ranks).done().succeeds();
                let shown = parpy("show").arg(dir.path(output)).text();
                assert!(shown.contains(&format!("input_modified: {year}")), "{touch}: {shown}");
            }
        }
    }
}

/// Studies come from anywhere, too.
#[test]
fn studies_that_no_machine_can_have_measured() {
    let dir = Dir::new();
    let saved = dir.path("s.json");
    let run = parpy("scale map --range 0..1000 --workers 1,2 --patterns serial,threads --repeat 1 -q --save");
    run.arg(&saved).done().succeeds();
    let text = String::from_utf8(dir.read("s.json")).unwrap();
    parpy("scale --from").arg(&saved).arg("--plot").arg(dir.path("p.svg")).done().succeeds();
    for (what, wrong) in [
        ("\"median\"", "1e300"),
        ("\"median\"", "-1.0"),
        ("\"median\"", "0.0"),
        ("\"speedup\"", "1e-300"),
        ("\"speedup\"", "1e300"),
        ("\"workers\"", "0"),
        ("\"workers\"", "18446744073709551615"),
        ("\"work\"", "0.0"),
        ("\"cpus\"", "0"),
    ] {
        let lines = text.lines().map(|line| match line.trim_start().strip_prefix(what) {
            Some(rest) => format!("{what}: {wrong}{}", if rest.ends_with(',') { "," } else { "" }),
            None => line.to_owned(),
        });
        let bad = dir.write("bad.json", lines.collect::<Vec<_>>().join("\n"));
        for plot in ["p.svg", "p.png"] {
            let run = parpy("scale --from").arg(&bad).arg("--plot").arg(dir.path(plot));
            run.done().fails(1, &["bad.json", "no scaling study", "cannot be"]);
        }
    }
}

/// Parts of a result that somebody has made up are not joined, and cost nothing.
#[test]
fn parts_that_claim_too_much() {
    let dir = Dir::new();
    let text = dir.write("t.txt", "a b\nc\n");
    let run = || parpy("read --do count").arg(&text).arg("-o").arg(dir.path("o.csv"));
    for part in ["1/2", "2/2"] {
        run().args("--part").arg(part).done().succeeds();
    }
    run().args("--join 2").done().succeeds();
    let good = String::from_utf8(dir.read("o.part-1-of-2.csv")).unwrap();
    let most = u64::MAX;
    for wrong in [format!("{most},1,4,t.txt"), format!("1,{most},4,t.txt"), format!("1,2,{most},t.txt")] {
        let row = good.lines().nth(1).unwrap();
        dir.write("o.part-1-of-2.csv", good.replace(row, &wrong));
        run().args("--join 2").done().fails(1, &["o.part-1-of-2.csv"]);
        dir.write("o.part-1-of-2.csv", good.replace(row, &format!("{row}\n{wrong}")));
        run().args("--join 2").done().fails(1, &["o.part-1-of-2.csv"]);
    }
    let json = |part: &str| parpy("map --range 0..4 -o").arg(dir.path("r.json")).args(part);
    json("--part 1/2").done().succeeds();
    json("--part 2/2").done().succeeds();
    let part = dir.path("r.part-2-of-2.json");
    let good = String::from_utf8(std::fs::read(&part).unwrap()).unwrap();
    let long = good.replacen("\"output\":", &format!("\"output\":{}", " ".repeat(100_000)), 1);
    dir.write("r.part-2-of-2.json", long);
    in_little_memory(&json("--join 2")).fails(1, &["r.part-2-of-2.json", "not every line of it is a result"]);
    std::fs::File::options().write(true).open(&part).unwrap().set_len(8 << 30).unwrap();
    in_little_memory(&json("--join 2")).fails(1, &["r.part-2-of-2.json", "its end does not say"]);
}
