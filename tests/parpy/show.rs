//! `parpy show`: a short look at any result.

use crate::data::*;
use crate::dsl::*;

#[test]
fn shape_rows_and_a_summary_of_every_format() {
    let dir = Dir::new();
    for extension in extensions() {
        let path = dir.path(&format!("a.{extension}"));
        parpy("map --range 1..1001 -o").arg(&path).done().succeeds();
        let seen = parpy("show -n 2").arg(&path).text();
        assert!(seen.starts_with(path.to_str().unwrap()), "{seen}");
        assert!(seen.contains("1000"), "{seen}");
        // First and last rows, and how many between them.
        for part in ["996 rows more", "998001", "1000000", "min 1  mean 333833.5  max 1000000"] {
            assert!(seen.contains(part), "{extension}: no {part} in\n{seen}");
        }
        assert!(!seen.contains("996004"), "{seen}");
        if ["json", "h5"].contains(&extension) {
            for part in ["parpy_version: ", "range = \"1..1001\"", "items: 1000", "began: "] {
                assert!(seen.contains(part), "{extension}: no {part} in\n{seen}");
            }
        }
    }
}

#[test]
fn the_job_that_made_it_where_that_is_kept() {
    let dir = Dir::new();
    for extension in extensions() {
        let path = dir.path(&format!("a.{extension}"));
        parpy("map 1 2 -p serial -o").arg(&path).done().succeeds();
        let run = parpy("show --job").arg(&path);
        if ["json", "h5"].contains(&extension) {
            let job = run.text();
            assert!(job.contains("values = [\"1\", \"2\"]") && job.contains("pattern = \"serial\""), "{job}");
        } else {
            run.done().fails(2, &["does not say which job", ".h5 and .json"]);
        }
    }
}

#[test]
fn what_cannot_be_looked_at() {
    let dir = Dir::new();
    let show = |path: &std::path::Path| parpy("show").arg(path).done();
    show(&dir.path("missing.csv")).fails(1, &["cannot open", "missing.csv: No such file"]);
    show(&dir.path("")).fails(1, &["is a directory"]);
    show(&dir.write("x.json", "{\"results\": [")).fails(1, &["x.json", "not JSON, or it is cut off"]);
    show(&dir.write("x.jsonl", "{\"a\": 1}\n{")).fails(1, &["x.jsonl, line 2"]);
    show(&dir.write("x.npy", "no")).fails(1, &["not a .npy file"]);
    show(&dir.write("x.bin", b"\x00\x01\x02\xff\n")).fails(1, &["x.bin", "not text"]);
    parpy("show -p serial x.csv").done().fails(2, &["it takes no flag"]);
    parpy("show").done().fails(2, &["<FILE>"]);
}

#[test]
fn columns_without_numbers_and_rows_of_uneven_length() {
    let dir = Dir::new();
    let path = dir.write("t.csv", "name,n\na,1\nb,\n\"c, d\",3,4\n");
    let seen = parpy("show").arg(path).text();
    for part in ["3 rows", "name  n", "c, d  3  4", "n: min 1  mean 2.0  max 3  without a number 1"] {
        assert!(seen.contains(part), "no {part} in\n{seen}");
    }
    assert!(!seen.contains("name: "), "{seen}");
    let orders = dir.write("o.csv", "a\n\x1b[2Jx\n");
    assert!(!parpy("show").arg(orders).text().contains('\x1b'));
    let empty = dir.write("e.txt", "");
    assert!(parpy("show").arg(empty).text().contains("0 lines"));
    let large = dir.write("l.txt", "9007199254740993\n9007199254740995\n");
    assert!(parpy("show").arg(large).text().contains("min 9007199254740993"));
}
