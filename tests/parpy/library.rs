//! Compiled functions of the user's: the examples under jobs/library, and libraries that are none.

use std::path::{Path, PathBuf};

use crate::dsl::*;

/// Compilers, each with what it is given before the source and the library.
const COMPILERS: [(&str, &str, &[&str]); 3] = [
    ("cc", "oscillator.c", &["-O2", "-shared", "-fPIC"]),
    ("gfortran", "oscillator.f90", &["-O2", "-shared", "-fPIC"]),
    ("rustc", "oscillator.rs", &["-O", "--crate-type", "cdylib"]),
];

/// The example in that language, built; `None`, loudly, where nothing can build it.
fn built(dir: &Dir, compiler: &str, source: &Path, args: &[&str]) -> Option<PathBuf> {
    let library = dir.path(&format!("{compiler}.so"));
    let command =
        tool(compiler)?.args(args).arg(source).arg("-o").arg(&library).current_dir(dir.path("")).output();
    let output = command.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(library)
}

/// A library of C's, with this source.
fn of_c(dir: &Dir, source: &str) -> Option<PathBuf> {
    let source = dir.write("own.c", source);
    built(dir, "cc", &source, COMPILERS[0].2)
}

fn function(library: &Path, name: &str) -> String {
    format!("{}:{name}", library.display())
}

#[test]
fn the_examples_in_three_languages() {
    let dir = Dir::new();
    let table: String = (0..3000).map(|i| format!("{},{}\n", f64::from(i) * 0.37 - 80.0, i % 7)).collect();
    let table = dir.write("runs.csv", format!("x,v\n{table}"));
    let from = || parpy("map --from").arg(&table);
    let energies = from().arg("-f").arg("0.5 * (v * v + x * x)").text();
    let steps = parpy("map --range 1..2000 -f collatz").text();
    for (compiler, source, args) in COMPILERS {
        let source = std::env::current_dir().unwrap().join("jobs/library").join(source);
        let Some(library) = built(&dir, compiler, &source, args) else { continue };
        let call = |run: Run, name: &str| run.arg("--library").arg(function(&library, name));
        assert!(call(from(), "energy").text() == energies, "{compiler}");
        assert!(call(from(), "energies").args("--vectorized").text() == energies, "{compiler}");
        let whole = call(parpy("map --range 1..2000"), "steps").args("--dtype i64 --answers i64");
        assert!(whole.text() == steps, "{compiler}");
        for pattern in ["serial", "simd", "threads -j 3", "pool -j 3", "process -j 2 --schedule dynamic,500"]
        {
            let run = call(from().args("-p").args(pattern), "energy");
            assert!(run.text() == energies, "{compiler} {pattern}");
        }
        if has_mpi() && compiler == "cc" {
            for (ranks, rest) in
                [(1, ""), (2, "--schedule dynamic,7"), (3, "--threads 2"), (3, "--vectorized")]
            {
                let name = if rest.contains("vec") { "energies" } else { "energy" };
                assert!(
                    call(from().ranks(ranks), name).args(rest).text() == energies,
                    "{ranks} ranks {rest}"
                );
            }
        }
    }
}

#[test]
fn numbers_of_every_type_and_count() {
    let dir = Dir::new();
    let sixteen: Vec<String> = (0..16).map(|i| format!("double a{i}")).collect();
    let sum: Vec<String> = (0..16).map(|i| format!("{} * a{i}", i + 1)).collect();
    let source = format!(
        "#include <stdint.h>\n#include <stddef.h>\n\
         double all({}) {{ return {}; }}\n\
         double half(int64_t x) {{ return x / 2.0; }}\n\
         int64_t whole(double x) {{ return (int64_t)x; }}\n\
         int64_t over(int64_t a, int64_t b) {{ return b ? a / b : INT64_MIN; }}\n\
         void twice(const int64_t *x, double *y, size_t n) {{ while (n--) y[n] = 2.0 * x[n]; }}\n",
        sixteen.join(", "),
        sum.join(" + ")
    );
    let Some(library) = of_c(&dir, &source) else { return };
    let call = |run: Run, name: &str| run.arg("--library").arg(function(&library, name));
    assert_eq!(call(parpy("map 1 2 --dtype i64"), "half").text(), "0.5\n1.0\n");
    assert_eq!(call(parpy("map 1.5 -2.5 --answers i64"), "whole").text(), "1\n-2\n");
    assert_eq!(call(parpy("map 1 2 --answers i64"), "whole").text(), "1\n2\n");
    assert_eq!(call(parpy("map 3 -4 --dtype i64 --vectorized"), "twice").text(), "6.0\n-8.0\n");
    let table = dir.write("t.csv", "a,b,c\n7,2,x\n-9,4,y\n");
    let of =
        |part: &str| parpy("map --dtype i64 --answers i64 --from").arg(format!("{}:{part}", table.display()));
    assert_eq!(call(of("a,b"), "over").text(), "3\n-2\n");
    assert_eq!(call(of("b,a"), "over").text(), "0\n0\n");
    call(of("a,c"), "over").done().fails(2, &["--library", "column c is text"]);
    call(parpy("map 0.5 --dtype i64"), "half").done().fails(2, &["'0.5' is not a whole number"]);
    // As many arguments as there may be, and more.
    let columns = |n: usize| (0..n).map(|i| format!("c{i}")).collect::<Vec<_>>().join(",");
    let values = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    let wide = |n: usize| {
        let table = dir.write(&format!("{n}.csv"), format!("{}\n{}\n", columns(n), values(n)));
        call(parpy("map --from").arg(table), "all")
    };
    assert_eq!(wide(16).text(), "1360.0\n");
    wide(17).done().fails(2, &["a function may have 16 arguments, and there are 17 columns"]);
    // Rows that lack a value have no answer; reductions, columns and parts are as with any function.
    let holes = dir.write("h.csv", "x,y\n1,1\n,2\n3,3\n");
    call(parpy("map --dtype i64 --from").arg(format!("{}:x", holes.display())), "half")
        .done()
        .fails(1, &["h.csv, line 3: there is no value"]);
    let reduced = call(parpy("map --range 0..1001 --dtype i64 --reduce sum,max"), "half").text();
    assert_eq!(reduced, "sum\t250250.0\nmax\t500.0\n");
    call(parpy("map --range 0..100 --dtype i64 --part 2/2"), "half").done().succeeds();
}

#[test]
fn a_crash_is_a_death_of_a_worker() {
    let dir = Dir::new();
    let source = "#include <stdlib.h>\ndouble f(double x) { if (x == 3) abort(); return -x; }\n";
    let Some(library) = of_c(&dir, source) else { return };
    let run = || parpy("map --range 0..6 -k --library").arg(function(&library, "f"));
    for pattern in ["", "-p pool -j 2", "-p process -j 2"] {
        let done = run().args(pattern).done();
        assert_eq!(String::from_utf8_lossy(&done.stdout), "-0.0\n-1.0\n-2.0\n\n-4.0\n-5.0\n", "{pattern}");
        assert_eq!(done.code, 1);
        assert!(done.stderr.contains("value 3 (no. 4) has killed 2 workers"), "{pattern}: {}", done.stderr);
    }
}

#[test]
fn libraries_that_are_none() {
    let dir = Dir::new();
    let table = dir.write("t.txt", "1\n2\n");
    let Some(library) = of_c(&dir, "double f(double x) { return x; }\n") else { return };
    let output = dir.path("o.csv");
    for (text, expected) in [
        (function(&library, "g"), "undefined symbol: g"),
        ("/nowhere/x.so:f".to_owned(), "/nowhere/x.so:f: cannot open shared object file"),
        (function(&table, "f"), "file too short"),
        ("x.so".to_owned(), "it is a file and a function of it"),
        (format!("{}:", library.display()), "'' is no name of a function"),
    ] {
        let done = parpy("map --from").arg(&table).arg("-o").arg(&output).arg("--library").arg(&text).done();
        assert!(done.code > 0, "{text}");
        assert!(done.stderr.contains(expected), "{text}: {}", done.stderr);
        assert!(!output.exists(), "{text}");
    }
    for (args, expected) in [
        ("--vectorized", "--vectorized is for a function of arrays: --library FILE.so:NAME"),
        ("--answers f64", "--answers is for what has no type of its own"),
        ("-f square --library x.so:f", "cannot be used with"),
        ("--library x.so:f --answers text", "a library answers numbers"),
        ("--library x.so:f --timeout 1", "--timeout"),
        ("--library x.so:f --exec true", "cannot be used with"),
    ] {
        let done = parpy("map 1").args(args).done();
        assert!(done.code == 2 && done.stderr.contains(expected), "{args}: {}", done.stderr);
    }
    if has_mpi() {
        let run = parpy("map 1 2 3 --library").arg(function(&library, "g")).ranks(2);
        run.done().fails(1, &["undefined symbol: g"]);
    }
}

/// A row that lacks a value is none that a function sees; and what a library sets when it is loaded is its own affair.
#[test]
fn what_a_library_does_not_see_and_does_not_change() {
    let dir = Dir::new();
    let source = "#include <stdint.h>\n#include <stddef.h>\n\
                  int64_t over(int64_t x) { return 100 / x; }\n\
                  void all(const int64_t *x, int64_t *y, size_t n) { while (n--) y[n] = 100 / x[n]; }\n";
    let Some(library) = of_c(&dir, source) else { return };
    let table = dir.write("h.csv", "a,b\n5,1\n,2\n2,3\n");
    for (name, rest) in [("over", "-p serial"), ("all", "-p serial --vectorized"), ("over", "")] {
        let run = parpy("map -k --dtype i64 --answers i64 --from").arg(format!("{}:a", table.display()));
        let done = run.args(rest).arg("--library").arg(function(&library, name)).done();
        assert_eq!((done.code, &done.stdout[..]), (1, &b"20\n\n50\n"[..]), "{name} {rest} {}", done.stderr);
    }
    let source = dir.write("fast.c", "double twice(double x) { return x * 2; }\n");
    let Some(fast) = built(&dir, "cc", &source, &["-O2", "-ffast-math", "-shared", "-fPIC"]) else { return };
    let job = format!(
        "[[task]]\nmap = {{ values = [1], library = '{}' }}\n[[task]]\nmap = {{ values = ['1e-310'], function = 'x*2' }}\n",
        function(&fast, "twice")
    );
    assert_eq!(parpy("run -p serial").arg(dir.write("fast.toml", job)).text(), "2.0\n2e-310\n");
}

/// In job files a library is in the folder of the file, and what a result says of its origin runs again.
#[test]
fn in_job_files() {
    let dir = Dir::new();
    let Some(_library) = of_c(&dir, "double f(double x) { return x * 3; }\n") else { return };
    let job = dir
        .write("job.toml", "[[task]]\nmap = { range = '0..3', library = './cc.so:f' }\noutput = 'o.json'\n");
    parpy("run").arg(job).done().succeeds();
    let text = String::from_utf8(dir.read("o.json")).unwrap();
    assert!(text.contains("cc.so:f") && text.contains("6.0"), "{text}");
    // Values are what they were typed as, and arguments what they were.
    let job = dir
        .write("typed.toml", "[[task]]\nmap = { values = [1, '2'], library = '$1:f' }\noutput = 'o.json'\n");
    parpy("run").arg(job).arg(dir.path("cc.so")).done().succeeds();
    let job = parpy("show --job").arg(dir.path("o.json")).text();
    let job = dir.write("again.toml", job);
    assert_eq!(parpy("run -o -").arg(job).text(), "3.0\n6.0\n");
}
