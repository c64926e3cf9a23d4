//! JSON lines as input: an object on each line, whose members are columns.

use crate::data::*;
use crate::dsl::*;

#[test]
fn members_are_columns() {
    let dir = Dir::new();
    dir.write("t.jsonl", "{\"x\":3,\"y\":4.5,\"n\":\"ada\"}\n\n{\"n\":\"b\\\"ob\", \"y\":5e0, \"x\":-2}\r\n{\"x\":7,\"y\":1,\"n\":null}");
    for ranks in ways() {
        let of = |part: &str, function: &str| {
            parpy("map --from")
                .arg(format!("t.jsonl{part}"))
                .arg("-f")
                .arg(function)
                .folder(dir.path(""))
                .ranks(*ranks)
        };
        assert_eq!(of(":x,y", "x * y").text(), "13.5\n-10.0\n7.0\n");
        assert_eq!(of(":x", "x + 1").text(), "4\n-1\n8\n");
        assert_eq!(of(":y", "square").text(), "20.25\n25.0\n1.0\n");
        of("", "x").done().fails(1, &["t.jsonl, line 4: member n: there is no value"]);
        let lengths = of("", "x * length(n)").args("-k").done();
        assert_eq!((lengths.code, &*lengths.stdout), (1, &b"9\n-8\n\n"[..]), "{}", lengths.stderr);
        of(":z", "x").done().fails(1, &["have no member z", "x, y, n"]);
        of(":n", "square").done().fails(2, &["it is a function of numbers", "length"]);
    }
}

#[test]
fn lines_that_are_wrong_are_named() {
    let dir = Dir::new();
    for (text, code, parts) in [
        ("", 1, &["it is empty"][..]),
        ("[1,2]\n", 1, &["line 1", "no JSON object"]),
        ("{\"x\":1}\n{\"x\":2\n", 1, &["t.jsonl, line 2: it is no JSON object"]),
        ("{\"x\":1}\n{\"x\":0.5}\n", 0, &[]),
        (
            "{\"x\":1}\n{\"x\":99999999999999999999}\n",
            1,
            &["line 2", "does not fit in a 64-bit whole number"],
        ),
        ("{\"x\":1}\n{\"x\":null}\n", 1, &["line 2: member x: there is no value", "--keep-going"]),
        ("{\"x\":1}\n{}\n", 1, &["line 2: member x: there is no value"]),
        ("{\"x\":1}\n{\"x\":\"2\"}\n", 1, &["line 2: member x: it is the text '2', and no number"]),
    ] {
        dir.write("t.jsonl", text);
        for ranks in ways() {
            let done = parpy("map --from t.jsonl -f identity").folder(dir.path("")).ranks(*ranks).done();
            assert_eq!(done.code, code, "{text}: {}", done.stderr);
            parts.iter().for_each(|part| assert!(done.stderr.contains(part), "{text}: {}", done.stderr));
        }
    }
    parpy("map --from a.json").done().fails(2, &["JSON it is lines that are read", "jq"]);
}

#[test]
fn what_parpy_writes_it_reads() {
    let dir = Dir::new();
    let run = |args: &str| parpy("-q map").args(args).folder(dir.path(""));
    run("3 3037000500 4 -k -o kg.jsonl").done();
    for ranks in ways() {
        let done = run("--from kg.jsonl:output -k").ranks(*ranks).done();
        assert_eq!((done.code, &*done.stdout), (1, &b"81\n\n256\n"[..]), "{}", done.stderr);
        run("--from kg.jsonl:output")
            .ranks(*ranks)
            .done()
            .fails(1, &["kg.jsonl, line 2: member output: there is no value"]);
    }
    run("--range 0..50000:0.5 -o r.jsonl").done().succeeds();
    let sum = run("--range 0..50000:0.5 -f square --reduce sum,count").text();
    assert_eq!(run("--from r.jsonl:output --reduce sum,count").text(), sum);
    for k in 1..=3 {
        run(&format!("--from r.jsonl:input -o p.csv --part {k}/3")).done().succeeds();
    }
    run("--from r.jsonl:input -o p.csv --join 3").done().succeeds();
    run("--from r.jsonl:input -o whole.csv").done().succeeds();
    assert!(dir.read("p.csv") == dir.read("whole.csv"));
}
