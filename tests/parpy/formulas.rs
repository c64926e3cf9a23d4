//! What `-f` takes: functions by name, and expressions; and how it says what is wrong with one.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use crate::data::*;
use crate::dsl::*;

/// Checks the answers of functions, each of some values.
#[track_caller]
fn answers(cases: &[(&str, &str, &str)]) {
    for (function, values, expected) in cases {
        let found = parpy("map -f").arg(function).args(values).text();
        assert_eq!(found.trim_end().replace('\n', " "), *expected, "{function} of {values}");
    }
}

#[test]
fn functions_by_name() {
    answers(&[
        ("square", "3 -4", "9 16"),
        ("cube", "3 -4 0.5", "27.0 -64.0 0.125"),
        ("sqrt", "4 2", "2.0 1.4142135623730951"),
        ("abs", "-7 7", "7 7"),
        ("floor", "2.5 -2.5 7.0", "2.0 -3.0 7.0"),
        ("round", "0.5 1.5 2.5", "0.0 2.0 2.0"),
        ("sign", "-3 0 8", "-1 0 1"),
        ("collatz", "1 27 97", "0 111 118"),
        ("isprime", "1 2 91 97", "0 1 0 1"),
        ("identity", "1 0.5", "1.0 0.5"),
        ("log", "0 1", "-inf 0.0"),
        // Correctly rounded, where most libraries are off by one in the last place.
        ("sin", "1e22", "-0.8522008497671888"),
        ("exp", "0.5", "1.6487212707001282"),
        ("gamma", "5", "24.0"),
    ]);
}

#[test]
fn expressions() {
    answers(&[
        ("x^2 + 3*sin(x)", "1 2", "3.5244129544236893 6.727892280477045"),
        ("-x^2", "3", "-9"),
        ("x / 2", "3 4", "1.5 2.0"),
        ("x // 2", "7 -7", "3 -4"),
        ("x % 3", "7 -7", "1 2"),
        ("if(x > 2, x, 0)", "1 2 3", "0 0 3"),
        ("x", "5 0.5", "5.0 0.5"),
        ("2*pi", "1", "6.283185307179586"),
        ("x > 1 and x < 3", "1 2 3", "0 1 0"),
        ("9007199254740993 + x", "0", "9007199254740993"),
    ]);
}

/// Whole numbers may have answers that are floats, in every format and over ranks.
#[test]
fn answers_have_a_type_of_their_own() {
    let dir = Dir::new();
    for ranks in ways() {
        for extension in extensions() {
            let path = dir.path(&format!("o.{extension}"));
            parpy("map 1 2 3 -o").arg(&path).args("-f").arg("x / 2").ranks(*ranks).done().succeeds();
            let bytes = std::fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            match extension {
                "txt" => assert_eq!(text, "0.5\n1.0\n1.5\n"),
                "csv" => assert_eq!(text, "input,output\n1,0.5\n2,1.0\n3,1.5\n"),
                "jsonl" => assert!(text.starts_with("{\"input\":1,\"output\":0.5}\n"), "{text}"),
                "json" => assert!(text.contains("{\"input\":3,\"output\":1.5}"), "{text}"),
                "npy" => {
                    let numbers = parpy("map -f identity --from").arg(&path).text();
                    assert_eq!(numbers, "0.5\n1.0\n1.5\n");
                }
                _ => {
                    let read = |name: &str| {
                        let mut from = path.clone().into_os_string();
                        from.push(name);
                        parpy("map -f identity --from").arg(from).text()
                    };
                    assert_eq!((&*read(":/input"), &*read(":/output")), ("1\n2\n3\n", "0.5\n1.0\n1.5\n"));
                }
            }
        }
    }
}

/// Of a file, its own name; and x, where it is the only one.
#[test]
fn columns_have_names() {
    let dir = Dir::new();
    let path = dir.write("t.csv", "price,count\n10,3\n20,4\n");
    let of = |column: &str, function: &str| {
        let mut from = path.clone().into_os_string();
        from.push(column);
        parpy("map --from").arg(from).args("-f").arg(function)
    };
    assert_eq!(of(":price", "price + x").text(), "20\n40\n");
    assert_eq!(of(":2", "count * 2").text(), "6\n8\n");
    of(":price", "prise * 2").done().fails(2, &["there is no column prise; did you mean price?"]);
    of(":price", "pric")
        .done()
        .fails(2, &["no column and no function is called 'pric'", "did you mean 'price'?"]);
}

#[test]
fn what_is_wrong_is_shown_in_its_place() {
    for ranks in ways() {
        for (function, parts) in [
            ("x +", &["-f: it ends where a number", "\n  x +\n     ^\n"][..]),
            (
                "x^2 + sine(x)",
                &["there is no function sine; did you mean sin?", "\n  x^2 + sine(x)\n        ^^^^\n"],
            ),
            ("2 x", &["an operator", "\n  2 x\n    ^\n"]),
            ("1 // 0 * x", &["division by zero", "\n  1 // 0 * x\n  ^^^^^^\n"]),
            ("sqare", &["unknown function 'sqare'; did you mean 'square'?"]),
            ("y + 1", &["there is no column y"]),
        ] {
            let done = parpy("map 1 2 -f").arg(function).ranks(*ranks).done();
            assert_eq!(done.code, 2, "{function}: {}", done.stderr);
            for part in parts {
                assert!(done.stderr.contains(part), "{function}: no '{part}' in {}", done.stderr);
            }
        }
    }
    // Bound when the type is known.
    let done = parpy("map 0.5 -f collatz").done();
    done.fails(2, &["collatz is of whole numbers, and this is a float"]);
    // A long text is shown around the place.
    let long = "x + ".repeat(500) + "sine(x) + " + &"x + ".repeat(500) + "x";
    let done = parpy("map 1 -f").arg(long).done();
    assert!(done.stderr.contains("+ x + sine(x) + x +") && done.stderr.len() < 500, "{}", done.stderr);
}

/// Why an item has no answer is said with it.
#[test]
fn items_without_an_answer() {
    for (function, values, said) in [
        ("square", "3037000500", "3037000500: square(3037000500) does not fit in a 64-bit whole number"),
        ("1 // x", "0", "0: 1 // 0: division by zero"),
        ("(x + 1)^2", "3037000500", "3037000500: 3037000501 ^ 2 does not fit"),
        ("collatz", "0", "0: collatz(0) has no Collatz sequence"),
        ("sleep", "-1", "-1: sleep(-1) is no time to sleep"),
    ] {
        parpy("map -f").arg(function).args(values).done().fails(1, &[said]);
        let done = parpy("map -k -f").arg(function).args(values).args("1").done();
        assert_eq!(done.code, 1);
        assert!(done.stdout.starts_with(b"\n") && done.stdout.len() > 2, "{function}");
    }
}

#[test]
fn the_list_of_functions() {
    let text = parpy("functions").text();
    for part in ["sqrt ", "collatz ", "the natural logarithm of x", "if(c, x, y)", "`a column`"] {
        assert!(text.contains(part), "{text}");
    }
    let list: serde_json::Value = serde_json::from_slice(&parpy("functions --json").stdout()).unwrap();
    let square = list.as_array().unwrap().iter().find(|function| function["name"] == "square").unwrap();
    assert_eq!((&square["i64"], &square["f64"]), (&"i64".into(), &"f64".into()));
}

/// A function that takes its time is heard of at once when a signal comes, in the middle of a block.
#[test]
fn sleep_is_interrupted() {
    for pattern in ["serial", "simd", "threads -j 2", "pool -j 2"] {
        let run = parpy("-vv map 0 0 0 1000000 0 0 -f sleep --schedule static,2 -p").args(pattern);
        let mut child = run.spawn();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("block from 2 to 4") {
            assert!(log.read_line(&mut said).unwrap() > 0, "{pattern}: {said}");
        }
        let began = Instant::now();
        kill("-TERM", child.id());
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(143), "{pattern}: {said}");
        assert!(began.elapsed() < Duration::from_secs(10), "{pattern}");
    }
}
