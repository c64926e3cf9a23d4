//! Results in every format that needs no library, and input from them.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use serde_json::Value;

use crate::data::*;
use crate::dsl::*;

#[test]
fn a_header_and_a_row_for_each_value() {
    let dir = Dir::new();
    for ranks in ways() {
        let run = |args: &str, name: &str| {
            parpy(args).arg("-o").arg(dir.path(name)).ranks(*ranks).done().succeeds();
            String::from_utf8(dir.read(name)).unwrap()
        };
        assert_eq!(run("map 1 -2 3", "a.csv"), "input,output\n1,1\n-2,4\n3,9\n");
        assert_eq!(run("map 0.5 inf nan", "a.csv"), "input,output\n0.5,0.25\ninf,inf\nNaN,NaN\n");
        assert_eq!(run("map", "a.csv"), "input,output\n");
        assert_eq!(run("map 1 2", "a.CSV"), "input,output\n1,1\n2,4\n");
        let who = run("map 7 --who", "a.csv");
        let row: Vec<&str> = who.lines().nth(1).unwrap().split(',').collect();
        assert!(who.starts_with("input,output,rank,pid,host\n") && row.len() == 5, "{who}");
        assert!(row[2].parse::<usize>().unwrap() < (*ranks).max(1) && !row[4].is_empty(), "{who}");
        assert_eq!(
            run("read jobs/sample.txt --do count", "c.csv"),
            "lines,words,bytes,file\n345,3264,17185,jobs/sample.txt\n"
        );
    }
    let done = parpy("map 9223372036854775807 2 -k -o").arg(dir.path("k.csv")).done();
    assert_eq!(done.code, 1);
    assert_eq!(dir.read("k.csv"), b"input,output\n9223372036854775807,\n2,4\n");
}

#[test]
fn objects_line_by_line() {
    let dir = Dir::new();
    for ranks in ways() {
        parpy("map 1 2.5 inf -o").arg(dir.path("a.jsonl")).ranks(*ranks).done().succeeds();
        let expected = "{\"input\":1.0,\"output\":1.0}\n{\"input\":2.5,\"output\":6.25}\n\
                        {\"input\":null,\"output\":null}\n";
        assert_eq!(String::from_utf8(dir.read("a.jsonl")).unwrap(), expected);
    }
    let done = parpy("map 9223372036854775807 2 -k --who -o").arg(dir.path("k.jsonl")).done();
    assert_eq!(done.code, 1);
    let text = String::from_utf8(dir.read("k.jsonl")).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&rows[0]["input"], &rows[0]["output"]), (&9223372036854775807u64.into(), &Value::Null));
    assert_eq!((&rows[1]["output"], &rows[1]["rank"]), (&4.into(), &0.into()));
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn one_object_that_says_where_it_comes_from() {
    let dir = Dir::new();
    let input = dir.write("in.txt", "1\n2\n3\n");
    for ranks in ways() {
        let path = dir.path("a.json");
        parpy("map --from").arg(&input).arg("-o").arg(&path).ranks(*ranks).done().succeeds();
        let found = json(&path);
        let outputs: Vec<i64> =
            found["results"].as_array().unwrap().iter().map(|row| row["output"].as_i64().unwrap()).collect();
        assert_eq!(outputs, [1, 4, 9]);
        let origin = &found["parpy"];
        let text = |key: &str| origin[key].as_str().unwrap_or_else(|| panic!("no {key} in {origin}"));
        assert_eq!(text("parpy_version"), env!("CARGO_PKG_VERSION"));
        assert!(text("parpy_commit").len() > 6);
        assert!(text("began") <= text("ended") && text("ended").ends_with('Z'));
        assert_eq!(text("input"), input.to_str().unwrap());
        assert_eq!(origin["input_bytes"], 6);
        // As xxhsum -H128 prints it for these six bytes.
        assert_eq!(text("input_xxh3_128"), "27da7ae794b8ae6c15aa01fecdd79303");
        assert!(text("input_modified").ends_with('Z'));
        assert!(!origin["hosts"].as_array().unwrap().is_empty() && origin["cpus"].as_u64().unwrap() > 0);
        if *ranks > 0 {
            assert_eq!(origin["ranks"], *ranks);
            assert!(text("mpi").contains("MPI"), "{origin}");
        }
        // The job repeats it, from the file itself and from what show prints, wherever that is put.
        let again = dir.path("again.json");
        parpy("run").arg(&path).arg("-o").arg(&again).folder("/").done().succeeds();
        assert_eq!(json(&again)["results"], found["results"]);
        let job = parpy("show --job").arg(&path).text();
        let job = dir.write("elsewhere/job.toml", job);
        std::fs::remove_file(&path).unwrap();
        parpy("run").arg(job).done().succeeds();
        assert_eq!(json(&path)["results"], found["results"]);
    }
}

#[test]
fn counts_as_an_object() {
    let dir = Dir::new();
    parpy("read jobs/sample.txt --do count -o").arg(dir.path("c.json")).done().succeeds();
    let found = json(&dir.path("c.json"));
    assert_eq!(found["results"][0]["words"], 3264);
    assert_eq!(found["parpy"]["input_bytes"], 17185);
    parpy("read jobs/sample.txt --do count -o").arg(dir.path("c.jsonl")).done().succeeds();
    assert_eq!(json(&dir.path("c.jsonl"))["lines"], 345);
    // Lines are lines whatever the file is called.
    parpy("read jobs/sample.txt -o").arg(dir.path("copy.json")).done().succeeds();
    assert_eq!(dir.read("copy.json"), std::fs::read("jobs/sample.txt").unwrap());
}

/// The numbers of a `.npy` file that parpy has written, by their bits.
pub fn read_npy(path: &Path) -> (String, Vec<u64>) {
    let bytes = std::fs::read(path).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
    let len = 10 + u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    assert_eq!(len % 64, 0);
    let header = String::from_utf8(bytes[10..len].to_vec()).unwrap();
    (header, bytes[len..].chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect())
}

#[test]
fn numpy_files_say_how_many_they_hold() {
    let dir = Dir::new();
    for ranks in ways() {
        let run = |args: &str| {
            parpy(args).arg("-o").arg(dir.path("a.npy")).ranks(*ranks).done().succeeds();
            read_npy(&dir.path("a.npy"))
        };
        let (header, values) = run("map --range 0..100000");
        assert!(header.contains("'<i8'") && header.contains("(100000,"), "{header}");
        assert!(values.iter().enumerate().all(|(i, square)| *square == (i * i) as u64));
        let (header, values) = run("map 0.5");
        assert!(header.contains("'<f8'") && header.contains("(1,"), "{header}");
        assert_eq!(values, [0.25f64.to_bits()]);
        assert!(run("map").1.is_empty());
    }
}

/// Types that `.npy` files may have, and what value `x` is in them.
const TYPES: [(&str, usize); 10] = [
    ("i1", 1),
    ("i2", 2),
    ("i4", 4),
    ("i8", 8),
    ("u1", 1),
    ("u2", 2),
    ("u4", 4),
    ("u8", 8),
    ("f4", 4),
    ("f8", 8),
];

/// `x` as numpy stores it, and what parpy is to make of it, as text.
fn stored(kind: &str, bytes: usize, is_big: bool, x: i64) -> (Vec<u8>, String) {
    let (raw, text) = match kind {
        "f4" => ((x as f32 * 0.5).to_le_bytes().to_vec(), format!("{:?}", f64::from(x as f32 * 0.5))),
        "f8" => ((x as f64 * 0.1).to_le_bytes().to_vec(), format!("{:?}", x as f64 * 0.1)),
        _ => {
            let bits = 8 * bytes as u32;
            let x = match kind.starts_with('u') {
                true => x & if bits == 64 { i64::MAX } else { (1 << bits) - 1 },
                false => x << (64 - bits) >> (64 - bits),
            };
            (x.to_le_bytes()[..bytes].to_vec(), x.to_string())
        }
    };
    (if is_big { raw.into_iter().rev().collect() } else { raw }, text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Values go in by one format and come out by another, and are the same to the bit.
    #[test]
    fn values_survive_every_format(
        values in prop::collection::vec(any::<i64>(), 0..300),
        kind in 0..TYPES.len(),
        is_big: bool,
        ranks in prop::sample::select(ways()),
    ) {
        let dir = Dir::new();
        let (name, bytes) = TYPES[kind];
        let (raw, words): (Vec<_>, Vec<_>) =
            values.iter().map(|x| stored(name, bytes, is_big, *x)).unzip();
        let descr = format!("{}{name}", if bytes == 1 { '|' } else if is_big { '>' } else { '<' });
        let header = npy_header(&descr, &format!("({},)", values.len()));
        let input = dir.write("in.npy", [header, raw.concat()].concat());
        // Whole numbers as floats, so that every square fits.
        let run = |from: &str, out: &str| {
            let run = parpy("map --dtype f64 --schedule static,37 --from").arg(dir.path(from));
            run.arg("-o").arg(dir.path(out)).ranks(ranks).done().succeeds();
        };
        run("in.npy", "out.csv");
        let csv = String::from_utf8(dir.read("out.csv")).unwrap();
        let rows: Vec<(f64, f64)> = csv.lines().skip(1).map(|row| {
            let (x, y) = row.split_once(',').unwrap();
            (x.parse().unwrap(), y.parse().unwrap())
        }).collect();
        prop_assert_eq!(rows.len(), values.len());
        for ((x, y), word) in rows.iter().zip(&words) {
            prop_assert_eq!(x.to_bits(), word.parse::<f64>().unwrap().to_bits());
            prop_assert_eq!(y.to_bits(), (x * x).to_bits());
        }
        // Back from the column, from text and from numpy's own format.
        dir.write("in.txt", rows.iter().map(|(x, _)| format!("{x:?}\n")).collect::<String>());
        run("in.npy", "1.npy");
        for (from, out) in [("out.csv:input", "2.npy"), ("out.csv:1", "3.npy"), ("in.txt", "4.npy")] {
            run(from, out);
            prop_assert!(dir.read(out) == dir.read("1.npy"), "{}", from);
        }
        let expected: Vec<u64> = rows.iter().map(|(_, y)| y.to_bits()).collect();
        prop_assert_eq!(read_npy(&dir.path("1.npy")).1, expected);
        drop(input);
    }
}

#[test]
fn numbers_that_would_lose_something_are_refused() {
    let dir = Dir::new();
    let large = npy(&dir, "u8.npy", "<u8", 3, |i| (u64::MAX - 2 + i as u64).to_le_bytes());
    let from = |path: &Path| parpy("map --from").arg(path);
    from(&large).done().fails(1, &["18446744073709551613 does not fit", "--dtype f64"]);
    assert_eq!(from(&large).args("--dtype f64").text().lines().count(), 3);
    let floats = npy(&dir, "f.npy", "<f8", 2, |i| (i as f64).to_le_bytes());
    from(&floats).args("--dtype i64").done().fails(1, &["floats", "--dtype i64"]);
    for (descr, bytes) in [("<f16", 16), ("<c16", 16), ("|b2", 2), ("<U4", 16), ("|S8", 8), ("<M8[s]", 8)] {
        let path = dir.write("x.npy", [npy_header(descr, "(1,)"), vec![0; bytes]].concat());
        from(&path).done().fails(1, &["its type is", "whole numbers, and floats"]);
    }
}

#[test]
fn arrays_of_several_dimensions_are_taken_row_by_row_and_it_is_said() {
    let dir = Dir::new();
    let data: Vec<u8> = (0i64..6).flat_map(i64::to_le_bytes).collect();
    let path = dir.write("2d.npy", [npy_header("<i8", "(2, 3)"), data].concat());
    for ranks in ways() {
        let done = parpy("map --from").arg(&path).ranks(*ranks).done().succeeds();
        assert_eq!(done.stdout, b"0\n1\n4\n9\n16\n25\n");
        assert!(done.said().len() == 1 && done.stderr.contains("shape 2 x 3"), "{}", done.stderr);
    }
    let fortran = String::from_utf8(npy_header("<i8", "(2, 3)")[10..].to_vec()).unwrap();
    let fortran = fortran.replace("'fortran_order': False", "'fortran_order': True ");
    let bytes = [&npy_header("<i8", "(2, 3)")[..10], fortran.as_bytes(), &[0; 48]].concat();
    let path = dir.write("fortran.npy", bytes);
    parpy("map --from").arg(path).done().fails(1, &["[2, 3] in Fortran's order", "a.ravel()"]);
}

#[test]
fn columns_of_csv_files() {
    let dir = Dir::new();
    let path = dir.write("t.csv", "\u{feff}name,\"x, m\",y\n\"a\n\"\"b\"\"\",1,2.5\nc, 2 ,-1\n");
    let column = |part: &str| {
        let mut from = path.clone().into_os_string();
        from.push(part);
        parpy("map --from").arg(from)
    };
    for ranks in ways() {
        assert_eq!(column(":x, m").ranks(*ranks).text(), "1\n4\n");
        assert_eq!(column(":3").ranks(*ranks).text(), "6.25\n1.0\n");
    }
    column(":y")
        .args("--dtype i64")
        .done()
        .fails(1, &["t.csv, line 2", "'2.5' is not a whole number", "--dtype f64"]);
    column(":names").done().fails(1, &["its columns are name, x, m, y", "did you mean name?"]);
    column("").done().fails(2, &["of one column", "name, x, m, y", "square(x, m)"]);
    column(":9").done().fails(1, &["cannot read column 9"]);
    let uneven = dir.write("u.csv", "a,b\n1,2\n3\n");
    parpy("map --from").arg(format!("{}:a", uneven.display())).done().fails(1, &["line 3", "1 fields"]);
    let empty = dir.write("e.csv", "");
    parpy("map --from").arg(empty).done().fails(1, &["e.csv: it is empty"]);
    let semicolons = dir.write("d.csv", "a;b\n1;2\n");
    parpy("map --from").arg(format!("{}:a", semicolons.display())).done().fails(1, &["'a;b'", "commas"]);
    let numbers = |text: &str| {
        let path = dir.write("q.csv", text);
        parpy("map --from").arg(format!("{}:a", path.display()))
    };
    assert_eq!(numbers("a,b\n1,\"\"\"x\"\"\ny\"\n2,5\" pipe\n").text(), "1\n4\n");
    for ranks in ways() {
        let open = numbers("a,b\n4,z\n1,\"x\n3,4\n5,6\n").ranks(*ranks);
        open.done().fails(1, &["q.csv, line 3", "never closed"]);
    }
    numbers("a,b\n4,z\n\"1\n").done().fails(1, &["q.csv, line 3"]);
    parpy("map --from x.json").done().fails(2, &["JSON it is lines"]);
    let single = dir.write("s.csv", "n\n4\n");
    assert_eq!(parpy("map --from").arg(single).text(), "16\n");
}

#[test]
fn extensions_that_nobody_knows_list_those_that_are_known() {
    for run in [parpy("map 1 -o a.parquet"), parpy("read jobs/sample.txt --do count -o a.parquet")] {
        run.done().fails(2, &[".parquet", ".txt", ".csv", ".json", ".jsonl", ".npy", ".h5"]);
    }
    parpy("map 1 -o a.jsn").done().fails(2, &["did you mean .json?"]);
    parpy("map 1 --who -o a.npy").done().fails(2, &["no columns for --who"]);
    parpy("read jobs/sample.txt -o a.npy").done().fails(2, &["lines are written as they are"]);
    parpy("read jobs/sample.txt --do count -o a.npy").done().fails(2, &["counts go to"]);
    parpy("map 1 -o a.csv --compress gzip").done().fails(2, &["--compress is for HDF5"]);
    let dir = Dir::new();
    parpy("map 3 -o").arg(dir.path("noextension")).done().succeeds();
    assert_eq!(dir.read("noextension"), b"9\n");
}

#[test]
fn a_build_without_hdf5_says_so() {
    if cfg!(feature = "hdf5") {
        return;
    }
    for run in [parpy("map 1 -o a.h5"), parpy("map --from a.h5:/x"), parpy("show a.h5")] {
        run.done().fails(2, &["built without HDF5", "cargo build --release"]);
    }
    assert!(parpy("--version").text().contains("HDF5: none"));
}

#[test]
fn the_input_is_not_replaced_by_the_output() {
    let dir = Dir::new();
    dir.write("n.txt", "1\n2\n");
    std::fs::hard_link(dir.path("n.txt"), dir.path("other.txt")).unwrap();
    for ranks in ways() {
        for output in ["n.txt", "./n.txt", "other.txt"] {
            let run = parpy("map --from n.txt -o").arg(output).folder(dir.path("")).ranks(*ranks);
            run.done().fails(1, &["it is the input"]);
            let run = parpy("read n.txt -o").arg(output).folder(dir.path("")).ranks(*ranks);
            run.done().fails(1, &["it is the input"]);
        }
    }
    assert_eq!(dir.names(), ["n.txt", "other.txt"]);
    assert_eq!(dir.read("n.txt"), b"1\n2\n");
}

#[test]
fn a_failed_run_leaves_nothing_under_the_real_name() {
    let dir = Dir::new();
    for extension in extensions() {
        for ranks in ways() {
            let name = format!("a.{extension}");
            let partial = format!("{name}.partial");
            dir.write(&name, "from before");
            let run = parpy("map 1 2 3037000500 4 -o").arg(dir.path(&name)).ranks(*ranks);
            let done = run.done();
            assert_eq!(done.code, 1, "{}", done.stderr);
            assert!(done.stderr.contains(&partial), "{}", done.stderr);
            assert_eq!(dir.read(&name), b"from before");
            assert_eq!(dir.names(), [name.clone(), partial.clone()]);
            // What is kept can be looked at.
            let seen = parpy("show").arg(dir.path(&partial)).text();
            assert!(seen.contains('4') && !seen.contains("16"), "{seen}");
            std::fs::remove_file(dir.path(&name)).unwrap();
            std::fs::remove_file(dir.path(&partial)).unwrap();
        }
    }
}

/// A command in a file system of its own, of 2 MiB, at `folder`; `None` where that is not allowed.
fn on_a_small_disk(folder: &Path, command: &Command) -> Option<Command> {
    let script = "mount -t tmpfs -o size=2m parpy-test \"$0\" && exec \"$@\"";
    let mut small = program("unshare");
    small.args(["-m", "sh", "-c", script]).arg(folder);
    let can = small.arg("true").output().is_ok_and(|output| output.status.success());
    if !can {
        return None;
    }
    let mut small = program("unshare");
    // What is left there is listed before it goes.
    let script = format!(
        "mount -t tmpfs -o size=2m parpy-test \"$0\" && \"$@\"; code=$?; ls \"$0\" >{}; exit $code",
        folder.with_extension("names").display()
    );
    small.args(["-m", "sh", "-c", &script]).arg(folder);
    small.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => small.env(name, value),
            None => small.env_remove(name),
        };
    }
    Some(small)
}

#[test]
fn a_disk_that_is_full_in_mid_write() {
    let dir = Dir::new();
    let folder = dir.path("small");
    std::fs::create_dir(&folder).unwrap();
    for extension in extensions() {
        for ranks in ways() {
            let name = format!("a.{extension}");
            let run = parpy("map --range 0..1000000 -o").arg(folder.join(&name)).ranks(*ranks);
            let Some(mut command) = on_a_small_disk(&folder, &run.command()) else {
                return skip("namespaces", "no file systems may be mounted here");
            };
            let done = Done::of(&run, command.output().unwrap());
            assert_eq!(done.code, 1, "{}", done.stderr);
            assert!(done.stderr.contains(&format!("{name}: No space left on device")), "{}", done.stderr);
            // Warnings of what is kept apart, there is one message.
            let said: Vec<_> =
                done.said().into_iter().filter(|said| !said.contains("what was done")).collect();
            assert_eq!(said.len(), 1, "{}", done.stderr);
            let left = String::from_utf8(dir.read("small.names")).unwrap();
            assert!(left.lines().all(|left| left.ends_with(".partial")), "{left}");
        }
    }
}

#[test]
fn a_file_that_may_not_grow_so_large() {
    let dir = Dir::new();
    for extension in extensions() {
        let name = format!("a.{extension}");
        let script = format!("ulimit -f 64; exec {BINARY} map --range 0..1000000 -o {name}");
        let output = program("bash").arg("-c").arg(script).current_dir(dir.path("")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains(&format!("cannot write {name}: File too large")), "{said}");
        assert!(!dir.path(&name).exists());
        if extension == "npy" {
            // What is kept promises no more than there is.
            let (header, values) = read_npy(&dir.path("a.npy.partial"));
            assert!(values.len() > 8000 && header.contains(&format!("({},", values.len())), "{header}");
        }
    }
}

#[test]
fn a_file_that_cannot_get_its_name_is_kept_under_another() {
    let dir = Dir::new();
    for extension in extensions() {
        let name = format!("a.{extension}");
        // Of a type that need not be found by looking at the values.
        let run = parpy("map --from - --dtype i64 -o").arg(dir.path(&name));
        let mut child = run.spawn();
        // When it has been begun, something else takes the name.
        until(|| (!dir.names().is_empty()).then_some(()));
        std::fs::create_dir(dir.path(&name)).unwrap();
        child.stdin.take().unwrap().write_all(b"1\n2\n3\n").unwrap();
        let done = Done::of(&run, child.wait_with_output().unwrap());
        assert_eq!(done.code, 1, "{name}");
        assert!(
            done.stderr.contains(&format!("cannot write {}", dir.path(&name).display())),
            "{}",
            done.stderr
        );
        let partial = dir.path(&format!("{name}.partial"));
        let seen = parpy("show").arg(&partial).text();
        assert!(seen.contains('9'), "{seen}");
        std::fs::remove_dir(dir.path(&name)).unwrap();
        std::fs::remove_file(partial).unwrap();
    }
}

#[test]
fn reports_and_results_do_not_share_a_file() {
    let dir = Dir::new();
    for report in ["r.json", "./r.json"] {
        let run = parpy("map 1 -o r.json --report").arg(report).folder(dir.path(""));
        run.done().fails(2, &["the results go to this file"]);
    }
    assert!(dir.names().is_empty());
    // By any other name, and not the input or the job either.
    let job = dir.write("job.json", "");
    let text = "[[task]]\nmap = { values = [3] }\noutput = 'job.txt'\n";
    dir.write("job.txt", text);
    dir.write("n.txt", "1\n");
    std::fs::write(&job, "{\"parpy\": {\"job\": \"[[task]]\\nmap = { values = [3] }\\n\"}}").unwrap();
    std::os::unix::fs::symlink("n.txt", dir.path("link.json")).unwrap();
    std::os::unix::fs::symlink("out.txt", dir.path("dangling.json")).unwrap();
    for ranks in ways() {
        let fails = |args: &str, parts: &[&str]| {
            parpy(args).folder(dir.path("")).ranks(*ranks).done().fails(1, parts);
        };
        fails("map --from n.txt --report=link.json", &["the report to link.json: it is also n.txt"]);
        fails("run job.json --report=job.json", &["the report to job.json: it is also job.json"]);
        fails("run job.txt", &["job.txt: it is the job file", "another name"]);
    }
    parpy("map 3 -o out.txt").folder(dir.path("")).done().succeeds();
    let run = parpy("map 4 -o out.txt --report=dangling.json").folder(dir.path(""));
    run.done().fails(1, &["it is", "out.txt"]);
    assert_eq!((dir.read("out.txt"), dir.read("n.txt")), (b"9\n".to_vec(), b"1\n".to_vec()));
    assert_eq!(dir.read("job.txt"), text.as_bytes());
}

#[test]
fn what_is_not_written_front_to_back_does_not_go_to_pipes() {
    let dir = Dir::new();
    for extension in extensions().into_iter().filter(|extension| ["npy", "h5"].contains(extension)) {
        let pipe = dir.path(&format!("pipe.{extension}"));
        assert!(program("mkfifo").arg(&pipe).status().unwrap().success());
        for ranks in ways() {
            parpy("map 1 -o")
                .arg(&pipe)
                .ranks(*ranks)
                .done()
                .fails(1, &["cannot write", "not a regular file"]);
        }
    }
}

#[test]
fn faults_in_csv_files_name_their_line() {
    let dir = Dir::new();
    let pairs = [
        ("a,b\n1,2\nx,3\n", 3),
        ("a,b\r\n1,2\r\nx,3\r\n", 3),
        ("a,b\n\n1,2\n\n\nx,3\n", 6),
        ("a,b\n1,\"two\nlines\"\nx,3", 4),
        ("a,b\r\n1,\"two\r\nlines\"\r\n\r\nx,3", 5),
    ];
    for (text, line) in pairs {
        let path = dir.write("t.csv", text);
        let from = format!("{}:a", path.display());
        parpy("map --from").arg(from).done().fails(1, &[&format!("t.csv, line {line}: 'x' is not")]);
    }
}

#[test]
fn shapes_of_more_values_than_there_can_be() {
    let dir = Dir::new();
    let path = dir.write("x.npy", npy_header("<i8", "(4294967296, 2147483648)"));
    parpy("map --from").arg(path).done().fails(1, &["too many values"]);
    let path = dir.write("y.npy", npy_header("<i8", "(4294967296, 0, 2147483648)"));
    assert_eq!(parpy("-q map --from").arg(path).text(), "");
}

/// Who is named in a row is one of the workers.
#[test]
fn a_worker_that_was_killed_is_named_by_nobody() {
    let dir = Dir::new();
    let run = |name: &str| {
        let run =
            parpy("map -f die -k --who -p pool -j 2 --retries 0 --schedule dynamic,4 -o").arg(dir.path(name));
        let done = run.args("-- 1 2 -9 4 5").done();
        assert_eq!(done.code, 1, "{}", done.stderr);
    };
    run("a.csv");
    let csv = String::from_utf8(dir.read("a.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|row| row.split(',').collect()).collect();
    assert_eq!(rows.len(), 5);
    for (i, row) in rows.iter().enumerate() {
        match i {
            2 => assert_eq!(row[..], ["-9", "", "", "", ""]),
            _ => assert!(row[2].parse::<usize>().unwrap() < 2, "{csv}"),
        }
    }
    #[cfg(feature = "hdf5")]
    {
        run("a.h5");
        let ranks = dataset::<u32>(&dir.path("a.h5"), "rank");
        assert!(
            ranks.iter().enumerate().all(|(i, rank)| *rank < 2 || i == 2 && *rank == u32::MAX),
            "{ranks:?}"
        );
        assert_eq!(dataset::<u64>(&dir.path("a.h5"), "failed"), [2]);
    }
}
