//! Texts as values: lines of a file, columns of CSV and members of JSON lines.

use crate::data::*;
use crate::dsl::*;
use crate::python::python;

#[test]
fn each_line_is_an_item() {
    let dir = Dir::new();
    dir.write("l.txt", b"one two\r\n\n \xff\xfe\tx\ngr\xc3\xb6\xc3\x9fe\nlast");
    for ranks in ways() {
        let of = |function: &str| {
            parpy("map --lines l.txt").arg("-f").arg(function).folder(dir.path("")).ranks(*ranks).stdout()
        };
        assert_eq!(of("length"), b"7\n0\n5\n5\n4\n");
        assert_eq!(of("wordcount"), b"2\n0\n2\n1\n1\n");
        assert_eq!(of("upper"), b"ONE TWO\n\n \xff\xfe\tX\nGR\xc3\x96SSE\nLAST\n");
        assert_eq!(of("length(upper(x)) + 0.5"), b"7.5\n0.5\n5.5\n6.5\n4.5\n");
        assert_eq!(
            of("if(length(x) > 4, x, upper(x))"),
            b"one two\n\n \xff\xfe\tx\ngr\xc3\xb6\xc3\x9fe\nLAST\n"
        );
    }
    let piped = parpy("map --lines - -f upper").stdin("a\nb");
    assert_eq!(piped.text(), "A\nB\n");
    assert_eq!(
        parpy("map --lines -").stdin("a\nb\na\n").args("--reduce count --by x").text(),
        "x\tcount\na\t2\nb\t1\n"
    );
    assert_eq!(parpy("map --lines - -f upper").stdin("").text(), "");
}

#[test]
fn tables_keep_texts_beside_the_answers() {
    let dir = Dir::new();
    let table = "city,n\n\"Zug, ZG\",1\n Bern ,2\n\"a \"\"b\"\"\nc\",3\n";
    dir.write("t.csv", table);
    for ranks in ways() {
        let run = |args: &str| parpy("-q map").args(args).folder(dir.path("")).ranks(*ranks);
        run("--from t.csv -f n*2 -o o.csv").done().succeeds();
        assert_eq!(
            String::from_utf8(dir.read("o.csv")).unwrap(),
            "city,n,output\n\"Zug, ZG\",1,2\n\" Bern \",2,4\n\"a \"\"b\"\"\nc\",3,6\n"
        );
        run("--from t.csv:city -f upper -o o.jsonl").done().succeeds();
        let objects = "{\"city\":\"Zug, ZG\",\"output\":\"ZUG, ZG\"}\n{\"city\":\" Bern \",\"output\":\" BERN \"}\n\
                       {\"city\":\"a \\\"b\\\"\\nc\",\"output\":\"A \\\"B\\\"\\nC\"}\n";
        assert_eq!(String::from_utf8(dir.read("o.jsonl")).unwrap(), objects);
        // And back.
        run("--from o.jsonl:city -f identity -o back.csv --columns output").done().succeeds();
        assert_eq!(dir.read("back.csv"), b"output\n\"Zug, ZG\"\n\" Bern \"\n\"a \"\"b\"\"\nc\"\n");
        run("--from back.csv -f identity -o back.jsonl").done().succeeds();
        run("--from o.jsonl:city -f identity -o again.jsonl --columns output").done().succeeds();
        let lines = String::from_utf8(dir.read("back.jsonl")).unwrap();
        assert!(
            lines
                .lines()
                .zip(String::from_utf8(dir.read("again.jsonl")).unwrap().lines())
                .all(|(a, b)| a.ends_with(&b[1..]))
        );
        // As text an item stays a line.
        assert_eq!(run("--from t.csv:city -f identity").text(), "Zug, ZG\n Bern \na \"b\"\\nc\n");
        run("--from t.csv:n,city -f upper(city) -o o.json").done().succeeds();
        let value: serde_json::Value = serde_json::from_slice(&dir.read("o.json")).unwrap();
        assert_eq!(
            value["results"][2],
            serde_json::json!({ "n": 3, "city": "a \"b\"\nc", "output": "A \"B\"\nC" })
        );
    }
}

#[test]
fn hdf5_holds_texts() {
    if !extensions().contains(&"h5") {
        return;
    }
    let dir = Dir::new();
    dir.write("t.csv", b"city,n\n\"Z\xc3\xbcrich, ZH\",1\nB\xff,2\n\"\",\n");
    dir.write(
        "l.txt",
        (0..100_000).map(|i| format!("line {i}\n")).collect::<String>() + &"y".repeat(3 << 20),
    );
    for ranks in ways() {
        let run = |args: &str| parpy("-q map").args(args).folder(dir.path("")).ranks(*ranks);
        assert_eq!(run("--from t.csv -k -f n*2 -o t.h5 --who --compress gzip").done().code, 1);
        run("--lines l.txt -f upper -o l.h5").done().succeeds();
        assert_eq!(run("--from t.csv -k --reduce sum --by city -o g.h5").done().code, 1);
        let script = "
import h5py
with h5py.File('t.h5') as h:
    assert h['city'].asstr()[:].tolist() == ['Zürich, ZH', 'B\\\\xff', ''], h['city'][:]
    assert h['n'][:].tolist() == [1, 2, 0] and h['output'][:2].tolist() == [2, 4]
    assert h['failed'][:].tolist() == [2] and len(h['rank']) == 3
with h5py.File('l.h5') as h:
    lines = open('l.txt').read().split('\\n')
    assert h['input'].asstr()[:].tolist() == lines
    assert h['output'].asstr()[:].tolist() == [line.upper() for line in lines]
with h5py.File('g.h5') as h:
    # Without --keep-going an empty field would be a name, too.
    assert h['city'].asstr()[:].tolist() == ['B\\\\xff', 'Zürich, ZH'] and h['sum(n)'][:].tolist() == [2, 1], h['city'][:]
";
        if !python(&dir, "h5py", script) {
            return;
        }
        let shown = parpy("show t.h5").folder(dir.path("")).text();
        assert!(shown.contains("/city 3") && shown.contains("/n 3, int64"), "{shown}");
    }
    let part = parpy("map --lines l.txt -f upper -o p.h5 --part 1/2").folder(dir.path("")).done();
    part.fails(2, &["in HDF5 parts are of numbers", ".csv"]);
}

#[test]
fn groups_have_names() {
    let dir = Dir::new();
    dir.write("t.csv", "city,n\nBern,1\nZug,2\nBern,4\n\"Z\tx\",8\n");
    for ranks in ways() {
        let run = |args: &str| {
            parpy("-q map --from t.csv --reduce mean,count --by city")
                .args(args)
                .folder(dir.path(""))
                .ranks(*ranks)
        };
        assert_eq!(run("").text(), "city\tmean(n)\tcount\nBern\t2.5\t2\nZ\\tx\t8.0\t1\nZug\t2.0\t1\n");
        run("-o o.jsonl").done().succeeds();
        assert!(dir.read("o.jsonl").starts_with(b"{\"city\":\"Bern\",\"mean(n)\":2.5,\"count\":2}\n"));
    }
    parpy("map --from t.csv --reduce")
        .arg("sum(city)")
        .folder(dir.path(""))
        .done()
        .fails(2, &["sum(city) would be of text"]);
    parpy("map --from t.csv:city -f upper --reduce max")
        .folder(dir.path(""))
        .done()
        .fails(2, &["max would be of text"]);
}

#[test]
fn a_text_that_is_missing_stays_so() {
    let dir = Dir::new();
    dir.write(
        "t.jsonl",
        "{\"a\":\"x\",\"n\":1}\n{\"a\":null,\"n\":2}\n{\"a\":\"\",\"n\":3}\n{\"a\":5,\"n\":4}\n",
    );
    for ranks in ways() {
        let run = |args: &str| parpy("-q map --from").args(args).folder(dir.path("")).ranks(*ranks);
        run("t.jsonl -f upper(a)").done().fails(1, &["line 2: member a: there is no value", "--keep-going"]);
        let done = run("t.jsonl -f upper(a) -k -o o.jsonl").done();
        assert_eq!(done.code, 1, "{}", done.stderr);
        let rows = "{\"a\":\"x\",\"n\":1,\"output\":\"X\"}\n{\"a\":null,\"n\":2,\"output\":null}\n\
                    {\"a\":\"\",\"n\":3,\"output\":\"\"}\n{\"a\":null,\"n\":4,\"output\":null}\n";
        assert_eq!(String::from_utf8(dir.read("o.jsonl")).unwrap(), rows);
        run("o.jsonl -k -f identity(output) -o o.csv --columns n,output").done();
        assert_eq!(String::from_utf8(dir.read("o.csv")).unwrap(), "n,output\n1,X\n2,\n3,\"\"\n4,\n");
        let done = run("o.csv -k -f length(output)").done();
        assert_eq!((done.code, &*done.stdout), (1, &b"1\n\n\n\n"[..]), "{}", done.stderr);
        // Without --keep-going an empty field is an empty text.
        assert_eq!(run("o.csv -f length(output)").text(), "1\n0\n0\n0\n");
    }
    let mixed = parpy("map --from t.jsonl:a -f upper -k").folder(dir.path("")).done();
    assert!(mixed.stderr.contains("line 2: member a: there is no value"), "{}", mixed.stderr);
}

#[test]
fn parts_of_texts_are_joined() {
    let dir = Dir::new();
    let lines: String = (0..500).map(|i| format!("line {i}, \"{}\"\n", "x".repeat(i % 50))).collect();
    dir.write("l.txt", lines);
    dir.write(
        "t.jsonl",
        (0..300).map(|i| format!("{{\"a\":\"{}\\n,\\\"{i}\"}}\n", i % 7)).collect::<String>()
            + "{\"a\":null}\n",
    );
    for (input, name) in [("--lines l.txt", "of-l"), ("-k --from t.jsonl", "of-t")] {
        for extension in ["txt", "csv", "json", "jsonl"] {
            let run =
                |args: &str| parpy("-q map -f upper").args(input).args(args).folder(dir.path("")).done();
            let whole = run(&format!("-o {name}-whole.{extension}"));
            for k in 1..=3 {
                run(&format!("-o {name}.{extension} --part {k}/3"));
            }
            let joined = run(&format!("-o {name}.{extension} --join 3"));
            // In text an answer that is empty looks like one that is missing.
            let codes = (i32::from(name == "of-t" && extension != "txt"), i32::from(name == "of-t"));
            assert_eq!((joined.code, whole.code), codes, "{extension}: {}", joined.stderr);
            let (a, b) =
                (dir.read(&format!("{name}-whole.{extension}")), dir.read(&format!("{name}.{extension}")));
            // Where they come from differs.
            let end =
                |bytes: &[u8]| bytes.windows(9).position(|w| w == b"\"parpy\": ").unwrap_or(bytes.len());
            assert!(a[..end(&a)] == b[..end(&b)], "{name} {extension}");
        }
    }
}

#[test]
fn long_texts_come_in_pieces() {
    let dir = Dir::new();
    let long = "long ".repeat(700_000);
    dir.write("l.txt", format!("short\n{long}\n{}x\nend\n", "ß".repeat(200_000)));
    dir.write("t.csv", format!("a\n\"{long}\"\nb\n{long}\n"));
    dir.write("t.jsonl", format!("{{\"a\":\"{long}\"}}\n{{\"a\":\"b\"}}\n"));
    let expected = format!("SHORT\n{}\n{}X\nEND\n", long.to_uppercase(), "SS".repeat(200_000));
    let mut runs: Vec<Run> = ["serial", "threads -j 2", "pool -j 2", "process"]
        .into_iter()
        .map(|pattern| parpy("map -p").args(pattern))
        .collect();
    if has_mpi() {
        runs.extend([2, 3].map(|ranks| parpy("map").ranks(ranks)));
        runs.push(parpy("map --threads 2").ranks(2).var("PARPY_MPI_SHARED", "never"));
    }
    for run in runs {
        let run = |args: &str| run.clone().args(args).folder(dir.path(""));
        assert!(run("--lines l.txt -f upper").text() == expected);
        assert_eq!(run("--from t.csv -f length").text(), "3500000\n1\n3500000\n");
        assert_eq!(run("--from t.jsonl -f length(a)").text(), "3500000\n1\n");
    }
    dir.write("m.txt", format!("a\n{}\n", "m".repeat(5 << 20)));
    dir.write("m.csv", format!("a,b\nx,1\n\"{}\",2\n", "m".repeat(5 << 20)));
    for ranks in ways() {
        let run = |args: &str| parpy("map").args(args).folder(dir.path("")).ranks(*ranks).done();
        run("--lines m.txt -f length").fails(1, &["m.txt, line 2: it is longer than 4 MiB"]);
        run("--from m.csv -f length(a)").fails(1, &["m.csv, line 3"]);
    }
}

#[test]
fn what_stands_before_a_fault_is_written() {
    let dir = Dir::new();
    dir.write("l.txt", format!("a b\n{}\nc\nd e\n", "long ".repeat(100_000)));
    for ranks in ways() {
        let run = parpy("map --lines l.txt --columns input,output").folder(dir.path("")).ranks(*ranks);
        let done = run.clone().arg("-f").arg("10 // (wordcount(x) - 1)").done();
        let expected = format!("a b\t10\n{}\t0\n", "long ".repeat(100_000));
        assert!(done.code == 1 && done.stdout == expected.as_bytes(), "{}", done.stderr);
        assert!(done.stderr.contains("'c': 10 // 0: division by zero"), "{}", done.stderr);
        let done = run.args("-k").arg("-f").arg("10 // (wordcount(x) - 1)").done();
        assert!(
            done.code == 1 && done.stdout == format!("{expected}c\t\nd e\t10\n").as_bytes(),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn a_text_that_kills_workers_is_named() {
    let dir = Dir::new();
    dir.write("l.txt", "a\nbb\nccc\ndd\ne\n");
    for pattern in ["pool", "process"] {
        let run = parpy("map --lines l.txt -f")
            .arg("if(length(x) == 3, die(-9), length(x))")
            .folder(dir.path(""))
            .args("-p");
        let run = run.arg(pattern);
        let done = run.done();
        let told = done.stderr.contains("value 'ccc' (no. 3) has killed 2 workers");
        assert!(done.code == 1 && told, "{}", done.stderr);
        let done = run.args("-k --columns input,output").done();
        assert_eq!(
            (done.code, &*done.stdout),
            (1, &b"a\t1\nbb\t2\nccc\t\ndd\t2\ne\t1\n"[..]),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn columns_of_codes_are_texts_where_that_is_said() {
    let dir = Dir::new();
    dir.write("z.csv", "zip,n\n01234,1\n1234,2\n01234,3\n");
    dir.write("m.csv", "id,n\n7,1\n8,2\nA1,3\n");
    for ranks in ways() {
        let run = |args: &str| parpy("-q map --from").args(args).folder(dir.path("")).ranks(*ranks);
        assert_eq!(run("z.csv --text zip --reduce count --by zip").text(), "zip\tcount\n01234\t2\n1234\t1\n");
        run("z.csv --text zip -f n -o o.csv").done().succeeds();
        assert_eq!(dir.read("o.csv"), b"zip,n,output\n01234,1,1\n1234,2,2\n01234,3,3\n");
        run("m.csv -f n")
            .done()
            .fails(1, &["line 4: column id: 'A1' is not a whole number", "--text id takes it as text"]);
        assert_eq!(run("m.csv --text id -f length(id)*n").text(), "1\n2\n6\n");
        assert_eq!(run("m.csv:1 --text 1 --no-header -f upper").text(), "ID\n7\n8\nA1\n");
        run("z.csv --text zap -f n").done().fails(1, &["cannot read column zap"]);
        run("z.csv:n --text zip -f n")
            .done()
            .fails(1, &["--text zip: it is none of the columns that are taken"]);
    }
    let run = |args: &str| parpy("map").args(args).folder(dir.path("")).done();
    run("1 --text a").fails(2, &["--text", "--from FILE.csv"]);
    run("--from a.npy --text a -f n").fails(2, &["--text", ".csv or .tsv"]);
    // What a result was made by says it, too.
    run("--from z.csv --text zip -f upper(zip) -o o.json").succeeds();
    let job = parpy("show --job o.json").folder(dir.path("")).text();
    assert!(job.contains("text = [\"zip\"]"), "{job}");
}

#[test]
fn a_column_may_be_taken_twice() {
    let dir = Dir::new();
    let rows: String = (0..60_000).map(|i| format!("{i:->60}\n")).collect();
    dir.write("t.csv", format!("name\n{rows}"));
    dir.write("q.csv", format!("\"name\"\n{rows}"));
    dir.write("t.jsonl", rows.lines().map(|line| format!("{{\"name\":\"{line}\"}}\n")).collect::<String>());
    for ranks in ways() {
        for name in ["t.csv", "q.csv", "t.jsonl"] {
            let run = parpy(&format!(
                "map --from {name}:name,name -f length(name)+length(name_) --reduce sum,count"
            ));
            assert_eq!(
                run.folder(dir.path("")).ranks(*ranks).text(),
                "sum\t7200000\ncount\t60000\n",
                "{name}"
            );
        }
    }
}

#[test]
fn a_row_with_holes_that_kills_leaves_them() {
    let dir = Dir::new();
    dir.write(
        "t.jsonl",
        "{\"a\":1,\"b\":\"x\",\"n\":5}\n{\"a\":-9,\"b\":null,\"n\":null}\n{\"a\":2,\"b\":\"\",\"n\":6}\n",
    );
    for pattern in ["pool", "process"] {
        let run = |args: &str| {
            parpy("-q map --from t.jsonl -k -f die(a) -p").arg(pattern).args(args).folder(dir.path(""))
        };
        assert_eq!(run("-o o.csv").done().code, 1);
        let rows = "a,b,n,output\n1,x,5,1\n-9,,,\n2,\"\",6,4\n";
        assert_eq!(String::from_utf8(dir.read("o.csv")).unwrap(), rows, "{pattern}");
        let done = run("--reduce sum,count(n),argmax(n),sum(n) --by b").done();
        // A row without a name is of no group.
        assert_eq!(
            String::from_utf8_lossy(&done.stdout),
            "b\tsum\tcount(n)\targmax(n)\tsum(n)\n\t4\t1\t2\t6\nx\t1\t1\t0\t5\n",
            "{}",
            done.stderr
        );
    }
}

#[test]
fn objects_come_from_pipes_as_they_are_written() {
    let dir = Dir::new();
    let (fifo, log) = (dir.path("f.jsonl"), dir.path("log"));
    assert!(program("mkfifo").arg(&fifo).status().unwrap().success());
    let plain = dir.path("f.csv");
    assert!(program("mkfifo").arg(&plain).status().unwrap().success());
    let of_csv = format!(
        "(printf 'a\\nb\\n'; while [ ! -s {log} ]; do sleep 0.05; done; printf 'c\\n') > {fifo} & \
         {parpy} map --from {fifo}:a -f upper > {log}; wait",
        log = dir.path("csv.log").display(),
        fifo = plain.display(),
        parpy = env!("CARGO_BIN_EXE_parpy")
    );
    let script = format!(
        "(printf '{{\"a\":'; printf '\"b\"}}\\n'; while [ ! -s {log} ]; do sleep 0.05; done; printf '{{\"a\":\"c\"}}\\n') > {fifo} & \
         {parpy} map --from {fifo}:a -f upper > {log}; wait",
        log = log.display(),
        fifo = fifo.display(),
        parpy = env!("CARGO_BIN_EXE_parpy")
    );
    for (script, log) in [(script, "log"), (of_csv, "csv.log")] {
        let done = program("timeout").args(["60", "sh", "-c", &script]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(dir.read(log), b"B\nC\n");
    }
}

#[test]
fn what_texts_cannot_be_is_said() {
    let dir = Dir::new();
    dir.write("l.txt", "a\n");
    dir.write("z.txt", b"\x1f\x8b\x08rest");
    let run = |args: &str| parpy("map").args(args).folder(dir.path("")).done();
    run("--lines l.txt").fails(2, &["-f length", "parpy functions"]);
    run("--lines l.txt -f square").fails(2, &["of numbers", "length, wordcount, upper, lower"]);
    run("--lines l.txt -f x+1").fails(2, &["this is text, and no number"]);
    run("1 2 -f upper").fails(2, &["upper is of text, and this is a number"]);
    run("--lines l.txt -f length --dtype f64").fails(2, &["--dtype f64"]);
    run("--lines l.txt --from l.txt").fails(2, &["only one of them"]);
    run("--lines l.txt -f upper -o a.npy").fails(2, &["would be text", "such files hold numbers", ".csv"]);
    run("--lines l.txt -f length -o a.npy --columns output").succeeds();
    run("--lines nope.txt -f length").fails(1, &["cannot open nope.txt"]);
    run("--lines z.txt -f length").fails(1, &["cannot read z.txt as lines: it is compressed with gzip"]);
    run("--lines . -f length").fails(1, &["directory"]);
    run("--lines l.txt -f length --part 1/2").succeeds();
    parpy("map --lines - -f length --part 1/2").stdin("a\n").done().fails(2, &["part"]);
}
