//! The property above all others: the same bytes, message and exit code from every pattern at every number
//! of workers, every size of a round, and every way in which blocks travel.
//!
//! A test for each job and for each way of writing files, made as the program starts: cargo test --test same.

#[allow(dead_code)]
#[path = "../parpy/data.rs"]
mod data;
#[allow(dead_code)]
#[path = "../parpy/dsl.rs"]
mod dsl;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use crate::data::*;
use crate::dsl::*;

fn main() -> ExitCode {
    let dir = Arc::new(Dir::new());
    let mut trials: Vec<Trial> = Vec::new();
    let mut add = |name: String, test: Box<dyn FnOnce() + Send>| {
        trials.push(Trial::test(name, move || {
            test();
            Ok(())
        }));
    };
    for job in jobs(&dir) {
        let name = format!("printed: {}", job.name());
        add(name, Box::new(move || prints_the_same(&job)));
    }
    for job in pipes(&dir) {
        add(format!("piped: {}", job.name()), Box::new(move || pipes_the_same(&job)));
    }
    let logged = dir.clone();
    add("logged: sections".to_owned(), Box::new(move || logs_the_same(&logged)));
    for pattern in ["serial", "simd", "threads", "pool", "process"] {
        let dir = dir.clone();
        let name = format!("blocks of one value or byte: -p {pattern}");
        add(name, Box::new(move || blocks_of_one(&dir, &parpy("--schedule dynamic,1 -p").arg(pattern))));
    }
    for (shared, ranks) in
        [("always", 2), ("always", 3), ("never", 2), ("never", 3)].into_iter().filter(|_| has_mpi())
    {
        for schedule in ["static,1", "dynamic,1"] {
            let dir = dir.clone();
            let run = parpy("--schedule").arg(schedule).ranks(ranks).var("PARPY_MPI_SHARED", shared);
            let name =
                format!("blocks of one value or byte, {schedule}: {ranks} ranks, shared memory {shared}");
            add(name, Box::new(move || blocks_of_one(&dir, &run)));
        }
    }
    let expected = Arc::new(Dir::new());
    assert_eq!(files_job(&expected).args("-p serial").done().code, 1);
    for run in writers() {
        let expected = expected.clone();
        add(format!("files: {}", run.name()), Box::new(move || writes_the_same(&run, &expected)));
    }
    let mut arguments = Arguments::from_args();
    // As cargo's own harness has it.
    let threads = || std::env::var("RUST_TEST_THREADS").ok()?.parse().ok();
    arguments.test_threads = arguments.test_threads.or_else(threads);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Jobs that end well and jobs that do not.
fn jobs(dir: &Dir) -> Vec<Run> {
    let numbers: String = (0..5000).map(|i| format!("{}\n", i * 7919 % 100_003 - 50_000)).collect();
    let numbers = dir.write("numbers.txt", numbers);
    let fault = dir.write("fault.txt", "1\n2\n3\n4\n5\n6\nseven\n8\n");
    let npy = npy(dir, "values.npy", "<f8", 777, |i| (i as f64 * 0.37).to_le_bytes());
    let long_line = [b"short\n".to_vec(), b"long ".repeat(700), b"\nshort\n".to_vec()].concat();
    let texts: Vec<(&str, Vec<u8>)> = vec![
        ("empty", b"".to_vec()),
        ("newline", b"\n".to_vec()),
        ("no-newline", b"only line".to_vec()),
        ("last-line-open", b"one\ntwo\nthree".to_vec()),
        ("crlf", b"one\r\ntwo\r\n\r\nfour\r\n".repeat(9)),
        ("bytes", (0..=255).cycle().take(3000).collect()),
        ("long-line", long_line),
        ("sample", std::fs::read("jobs/sample.txt").unwrap()),
    ];
    let mut jobs = vec![
        parpy("map"),
        parpy("map 7"),
        parpy("map -3 0 12 3037000499"),
        parpy("map 0.1 -2.5 1e300 nan"),
        parpy("map --range 0..1000"),
        parpy("map --range 10..0:-3 --dtype f64"),
        parpy("map --from -").stdin("5\n6\n\n7"),
        parpy("map --from - -k").stdin("5\n6\n\n7\nx\n0.5"),
        parpy("map --from").arg(numbers.clone()),
        parpy("map --from").arg(npy.clone()),
        // One item without an answer: what stands before it is written, nothing after it.
        parpy("map --range 3037000000..3037001000"),
        parpy("map --from").arg(fault.clone()),
        // All but the last of these items have none, and are passed over.
        parpy("map 9223372036854775807 3037000500 -3037000500 1 -k"),
        parpy("map --range 3037000000..3037001000 --keep-going"),
        // Parts of an input: blocks that do not begin at its beginning.
        parpy("map --range 0..1000 --part 2/3"),
        parpy("map -3 0 12 3037000499 --part 3/3"),
        parpy("map --part 3/7 --from").arg(numbers),
        parpy("map --part 2/2 --from").arg(npy),
        parpy("map --range 3037000000..3037001000 --keep-going --part 2/4"),
        parpy("map --part 2/2 --from").arg(fault),
    ];
    let words = dir.write("words.txt", words());
    jobs.push(parpy("run").arg(dir.write("functions.toml", every_function(&words))));
    jobs.push(parpy("map --range 3037000000..3037001000 -k -f square --reduce").arg(REDUCTIONS));
    jobs.push(parpy("map --range 0..3000:0.37 --reduce").arg(format!("{REDUCTIONS},sum")));
    jobs.push(parpy("map --range 3037000000..3037001000 --reduce sum,mean -f square"));
    jobs.push(parpy("map -q --reduce sum,count"));
    for expression in [
        "x^2 + 3*sin(x)",
        "x / 3",
        "x",
        "7",
        "if(x > 500, x // 0, -x % 7)",
        "if(x % 3 == 0, collatz(x + 1), isprime(x) and not x > 40)",
        "max(x, 40, 2.5) * hypot(x, -1)",
    ] {
        jobs.push(parpy("map --range 0..1500 -k -f").arg(expression));
        let of_floats = expression.replace("collatz(x + 1)", "cube(x)").replace("isprime(x)", "x");
        jobs.push(parpy("map --range -3..300:0.75 -f").arg(of_floats));
    }
    for input in tables(dir) {
        let from = |part: &str| parpy("map -k --from").arg(format!("{}{part}", input.display()));
        jobs.push(from("").args("-f").arg("hypot(c0, c1) + c2"));
        jobs.push(from("").args("-f").arg("c2 // c1").args("--columns c1,output"));
        jobs.push(from("").args("-f c0 --part 2/3"));
        jobs.push(from("").args(&format!("--reduce {REDUCTIONS},sum(c0),std(c2),hist(c0):7:-50:90")));
        jobs.push(
            from("")
                .args("--by c1 -f")
                .arg("c2 // c1")
                .args(&format!("--reduce {REDUCTIONS},var(c0),argmin(c0)")),
        );
    }
    for rest in [
        "-f upper",
        "-f upper --columns input,output --part 2/3",
        "-f length --part 2/3",
        "--reduce count --by x",
    ] {
        jobs.push(parpy("map --lines").arg(&words).args(rest));
    }
    let list = dir.write("list.txt", "a b\nc\n\"d\"\n");
    for rest in [
        "a=0..1:0.1 --sweep n=-3..400 -f 12//n -k --columns n,a,output",
        "a=0..1:0.1 --sweep b=lin(0,1,91) --sweep c=log(1,9,7) -f a+b*c --part 2/3",
        "a=0..100:0.01 --sweep b=lin(0,1,20000) --sweep m=x,yy --sample 900 --seed 3 -f a+b*length(m)",
        "a=0..40 --sweep m=@LIST --sweep b=1,2 -f upper(m) --columns m,output",
        "a=0..40 --sweep m=@LIST --sweep b=1,2 --reduce sum(a),count,argmax(b) --by m",
        "a=0..900 --sweep b=lin(-1,1,900) --zip -f a//b -k",
        "a=lin(0,1) --sweep b=log(1,9) --sweep m=x,yy --points lhs:700 --seed 3 -f a+b*length(m) --columns a,m,output",
        "a=@/missing",
    ] {
        let rest = rest.replace("LIST", &list.display().to_string());
        jobs.push(parpy("map --sweep").args(&rest));
    }
    // In job files, because all words behind --exec are the command's.
    let sweep = "sweep = ['a=0..1:0.25', 'm=euler,rk4', 'n=0.10,1e3']";
    let text = format!("[[task]]\nmap = {{ {sweep}, exec = ['echo', '{{a}} {{m}} {{n}} {{#}}'] }}\n");
    jobs.push(parpy("run").arg(dir.write("exec-sweep.toml", text)));
    for (name, rest) in [
        ("stops", "exec = ['sh', '-c', 'echo {#} $2; test {} != 17', 'sh', '{}']"),
        ("goes-on", "exec = ['sh', '-c', 'echo {}; echo; exit $(({} % 3 / 2))']\nraw = true"),
    ] {
        let keeps_going = if name == "goes-on" { "keep_going = true\n" } else { "" };
        let text = format!("[[task]]\n{keeps_going}[task.map]\nrange = '0..40'\n{rest}\n");
        jobs.push(parpy("run").arg(dir.write(&format!("exec-{name}.toml"), text)));
    }
    for rest in ["", "--part 2/3", "--reduce mean,std,argmax,hist:9:-5:5"] {
        let formula = "if(x % 2 == 0, normal(uniform(), 2), uniform(-1, uniform())) + normal()";
        jobs.push(parpy("map --range -30..3000 --seed 7").args(rest).arg("-f").arg(formula));
    }
    let text =
        "[[task]]\nseed = 7\nmap = { range = '0..40', exec = ['sh', '-c', 'echo {seed} $PARPY_SEED'] }\n";
    jobs.push(parpy("run").arg(dir.write("exec-seed.toml", text)));
    let program = |rest: &str| parpy("map --range 0..40").args(rest).arg("--worker");
    jobs.push(program("").arg("sed -u s/^/no./"));
    jobs.push(program("--part 2/3 --answers i64 --reduce sum,count").arg("sed -u s/$/0/"));
    jobs.push(program("-k").arg("sh -c 'while read x; do test $x != 17 || exit 3; echo $x; done'"));
    if let Some(library) = library(dir) {
        let call = |name: &str| {
            parpy("map --range -700..700 -k --library").arg(format!("{}:{name}", library.display()))
        };
        jobs.push(call("energy"));
        jobs.push(call("energies").args("--vectorized --part 2/3"));
        jobs.push(call("steps").args("--dtype i64 --answers i64 --reduce sum,max"));
    }
    if tool("python3").is_some() {
        let source = "def f(x):\n    if x % 17 == 3: raise ValueError(x)\n    return None if x % 5 == 0 else x / 4\n\
                      def h(x):\n    if x % 17 == 3: raise ValueError(x)\n    return x, None if x % 5 == 0 else 'b' * (x % 7), x / 4\n\
                      def g(x): return 'a' * (x % 7) + '\\n' if x > 0 else x\n";
        let module = dir.write("model.py", source);
        let call = |name: &str| {
            parpy("map --range -70..70 --python").arg(format!("{}:{name}", module.display())).args("--seed 1")
        };
        jobs.push(call("f").args("-k"));
        jobs.push(call("f").args("-k --answers f64 --part 2/3 --reduce sum,count"));
        jobs.push(call("f"));
        jobs.push(call("g"));
        jobs.push(call("h").args("-k --answers a=i64,b=text,c=f64 --columns a,input,b,c --part 1/2"));
        jobs.push(call("h").args("-k --answers a=i64,b=text,c=f64 --reduce sum,count(b)"));
    }
    jobs.push(parpy("map --lines").arg(&words).arg("-f").arg("if(length(x) % 3, lower(x), upper(x))"));
    jobs.push(parpy("map --lines").arg(&words).arg("-f").arg("100 // (wordcount(x) - 1)"));
    jobs.push(parpy("map -k --lines").arg(&words).arg("-f").arg("100 // (wordcount(x) - 1)"));
    for input in tables_of_texts(dir) {
        let from = |function: &str| parpy("map -k --from").arg(&input).arg("-f").arg(function);
        jobs.push(from("upper(name)"));
        jobs.push(from("length(name) * n").args("--part 2/3"));
        jobs.push(from("n // wordcount(name)").args("--reduce sum,mean(n),count(name),argmax --by name"));
    }
    for (name, bytes) in texts {
        let path = dir.write(name, bytes);
        jobs.push(parpy("map -f lower --lines").arg(&path));
        jobs.push(parpy("read").arg(&path));
        jobs.push(parpy("read --do count").arg(&path));
        if ["long-line", "sample"].contains(&name) {
            jobs.push(parpy("read --part 2/3").arg(&path));
            jobs.push(parpy("read --do count --part 3/3").arg(&path));
        }
    }
    jobs
}

/// Compiled functions of one column; `None`, loudly, where there is no compiler.
fn library(dir: &Dir) -> Option<PathBuf> {
    let source = "#include <stddef.h>\n#include <stdint.h>\n#include <math.h>\n\
                  double energy(double x) { return sqrt(x * x + 0.3); }\n\
                  void energies(const double *x, double *y, size_t n) { while (n--) y[n] = energy(x[n]); }\n\
                  int64_t steps(int64_t n) { int64_t k = 0; for (; n > 1; k++) n = n % 2 ? 3 * n + 1 : n / 2; return k; }\n";
    let (source, library) = (dir.write("library.c", source), dir.path("library.so"));
    let mut compiler = tool("cc")?;
    compiler.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-lm");
    assert!(compiler.status().unwrap().success());
    Some(library)
}

/// Every reduction that needs no more than its name.
const REDUCTIONS: &str = "count,mean,var,std,min,max,argmin,argmax";

/// A table of floats and whole numbers in each format that can hold one: columns c0, c1 and c2.
fn tables(dir: &Dir) -> Vec<PathBuf> {
    let rows = (0..700).map(|i| (f64::from(i) * 0.37 - 80.0, i % 7 - 3, i64::from(i) * 1_000_003));
    let mut text = "c0,c1,c2\n".to_owned();
    let mut bytes = Vec::new();
    for (x, n, large) in rows {
        text += &format!("{x},{n},{large}\n");
        bytes.extend_from_slice(&x.to_le_bytes());
        bytes.extend_from_slice(&(n as i16).to_be_bytes());
        bytes.extend_from_slice(&large.to_le_bytes());
    }
    let fields = "[('c0', '<f8'), ('c1', '>i2'), ('c2', '<i8')]";
    let square = npy_of(
        dir,
        "square.npy",
        "<f4",
        "(900, 3)",
        &(0..2700).flat_map(|i| (i as f32).to_le_bytes()).collect::<Vec<_>>(),
    );
    let objects: String = text
        .lines()
        .skip(1)
        .map(|line| {
            let [x, n, large] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
            format!("{{\"c0\":{x},\"c1\":{n},\"c2\":{large}}}\n")
        })
        .collect();
    vec![
        dir.write("t.csv", text),
        dir.write("t.jsonl", objects),
        npy_of(dir, "fields.npy", fields, "(700,)", &bytes),
        square,
    ]
}

/// Lines of all lengths, most of them short, some empty, some alike.
fn words() -> String {
    let line = |i: usize| match i % 11 {
        0 => String::new(),
        1 => format!("größe {}", i % 5),
        2 => "word ".repeat(i),
        _ => format!("{}\t\"{}\", and {i}", i % 4, i * i),
    };
    (0..600).map(|i| line(i) + "\n").collect()
}

/// Tables with names in them in each format that can hold such, with and without quotes.
fn tables_of_texts(dir: &Dir) -> Vec<PathBuf> {
    let rows: Vec<(String, usize)> =
        (0..900).map(|i| (["a b", "Größe", "", "c"][i % 4].repeat(1 + i % 7), i * 31 % 17)).collect();
    let plain: String = rows.iter().map(|(name, n)| format!("{name},{n}\n")).collect();
    let quoted: String = rows.iter().map(|(name, n)| format!("\"{name}, \"\"\n{}\",{n}\n", n % 3)).collect();
    let objects: String =
        rows.iter().map(|(name, n)| format!("{}\n", serde_json::json!({ "name": name, "n": n }))).collect();
    vec![
        dir.write("plain.csv", format!("name,n\n{plain}")),
        dir.write("quoted.csv", format!("name,n\n{quoted}")),
        dir.write("texts.jsonl", objects + "{\"n\":1,\"name\":null}\n"),
    ]
}

/// A job file of every function that there is, over whole numbers, floats and texts, of which some have no answer.
fn every_function(texts: &Path) -> String {
    let listed = parpy("functions --json").text();
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    assert!(listed.len() > 30);
    let mut job = String::new();
    for function in &listed {
        let name = function["name"].as_str().unwrap();
        let (wholes, floats) = match name {
            // Of the tests of what goes wrong.
            "panic" | "die" | "nap" => continue,
            "sleep" => ("values = [0, -1, 0]", "values = [0.001, -1.0, 'nan']"),
            _ => ("range = '-40..2400'", "range = '-50..50:0.0625'"),
        };
        let mut task = |input| {
            job += &format!("[[task]]\nmap = {{ {input}, function = '{name}' }}\nkeep_going = true\n");
        };
        for (kind, input) in
            [("i64", wholes), ("f64", floats), ("text", &*format!("lines = '{}'", texts.display()))]
        {
            if function[kind].is_string() {
                task(input);
            }
        }
    }
    job
}

/// Patterns of one machine, each with every schedule, and with fewer workers than blocks and more.
const LOCAL: &[(&str, &str)] = &[
    ("auto", ""),
    ("simd", ""),
    ("simd", "--schedule static,3"),
    ("simd", "--schedule guided"),
    ("threads", "-j 1"),
    ("threads", "-j 2"),
    ("threads", "-j 5 --schedule dynamic,1"),
    ("threads", "-j 3 --schedule static"),
    ("threads", "-j 2 --schedule static,7"),
    ("threads", "-j 4 --schedule guided,2"),
    ("threads", "-j 3 --schedule adaptive"),
    ("pool", ""),
    ("pool", "-j 1 --schedule dynamic,11"),
    ("pool", "-j 3 --schedule dynamic,1"),
    ("pool", "-j 3 --schedule static"),
    ("pool", "-j 2 --schedule static,5"),
    ("pool", "-j 7 --schedule guided"),
    ("pool", "-j 2 --schedule adaptive,3"),
    ("process", "-j 4 --schedule dynamic,50"),
    ("process", "-j 2 --schedule static,100"),
    ("process", "-j 3 --schedule guided,40"),
];

/// All ranks there are here, or in a short run a few.
fn counts_of_ranks() -> &'static [usize] {
    match (has_mpi(), is_thorough()) {
        (false, _) => &[],
        (true, true) => &[1, 2, 3, 4, 7],
        (true, false) => &[3],
    }
}

/// `job` over ranks, in the ways in which blocks and answers can travel.
fn over_ranks(job: &Run) -> Vec<Run> {
    if !has_mpi() {
        return Vec::new();
    }
    let mut runs: Vec<Run> =
        counts_of_ranks().iter().map(|ranks| job.clone().args("-p mpi").ranks(*ranks)).collect();
    let shared = |args: &str, ranks: usize, shared: &str| {
        job.clone().args(args).ranks(ranks).var("PARPY_MPI_SHARED", shared)
    };
    runs.push(shared("--threads 3 --schedule static,7", 2, "always"));
    runs.push(shared("--schedule static,97", 3, "never"));
    runs.push(shared("--schedule dynamic,7", 3, "always"));
    runs.push(shared("--threads 2 --schedule guided", 2, "never"));
    if is_thorough() {
        runs.push(shared("--schedule adaptive", 3, "always"));
        runs.push(shared("--schedule adaptive,3", 4, "never"));
        runs.push(shared("--schedule dynamic,1", 3, "never"));
        runs.push(shared("--threads 2 --schedule guided,2", 3, "always"));
        runs.push(shared("--schedule static,5", 2, "always"));
        if !job.is_stdin() {
            runs.push(shared("--repeat 2 --schedule static,11", 3, "always"));
        }
        runs.push(shared("--threads 3 --schedule static,7", 2, "never"));
        runs.push(shared("-j 2", 3, "always"));
    }
    runs
}

fn prints_the_same(job: &Run) {
    // Errors are said all the same; warnings name the process.
    let job = job.clone().args("-q");
    let serial = job.done();
    let mut runs = vec![job.clone().args("-p serial --schedule static,3")];
    runs.extend(LOCAL.iter().map(|(pattern, rest)| job.clone().args("-p").arg(*pattern).args(rest)));
    runs.extend(over_ranks(&job));
    for run in runs {
        let got = run.done();
        // Not assert_eq: it would print all of both.
        assert!(got.stdout == serial.stdout, "{:?}\n{}", run.command(), got.stderr);
        assert_eq!(got.code, serial.code, "{:?}\n{}", run.command(), got.stderr);
        assert_eq!(got.said(), serial.said(), "{:?}", run.command());
    }
}

/// Sections that commands read. In job files, as all words behind a command are its own.
fn pipes(dir: &Dir) -> Vec<Run> {
    let sample = std::fs::read("jobs/sample.txt").unwrap();
    let long_line = [b"short\n".to_vec(), b"long ".repeat(700), b"\nshort".to_vec()].concat();
    let texts = [("p-empty", b"".to_vec()), ("p-long", long_line), ("p-sample", sample)];
    let mut jobs = Vec::new();
    for (name, bytes) in texts {
        let file = dir.write(name, bytes).display().to_string();
        let read = |more: &str| format!("[[task]]\nread = {{ file = '{file}', {more} }}\n");
        let job = [
            read("pipe = ['cat']"),
            read("pipe = ['sh', '-c', 'echo {#} {row} $PARPY_ITEM; wc -lc'], block = '900'"),
            read("pipe = ['sh', '-c', 'echo {seed} $PARPY_SEED'], block = '900'") + "seed = 7\n",
            read("pipe = ['sort | head -n 3'], shell = true, header = true, block = '1K'"),
            read("pipe = ['sh', '-c', 'cat; exit 3'], block = '2K'") + "keep_going = true\n",
            read("pipe = ['sh', '-c', 'cat; test {#} != 4'], block = '800'"),
        ];
        jobs.push(parpy("run").arg(dir.write(&format!("{name}.toml"), job.concat())));
    }
    jobs
}

/// The list of sections that have failed, and of the log what does not tell of time and place.
fn logs_the_same(dir: &Dir) {
    let file = dir.write("l-sample", std::fs::read("jobs/sample.txt").unwrap());
    let logged = |run: &Run| {
        let out = Dir::new();
        let flags =
            format!("--joblog {} --failed {}", out.path("log").display(), out.path("f.csv").display());
        let run = run.clone().args("read --block 900 -k -q").args(&flags).arg(&file);
        let script = "wc -l; echo no {#} >&2; test {#} != 4 && test {row} != 6";
        let done = run.args("--pipe sh -c").arg(script).done();
        let log = String::from_utf8(out.read("log")).unwrap();
        let row = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            [0, 4, 5, 6, 7, 8].map(|k| fields[k].to_owned())
        };
        (done.code, done.stdout, log.lines().map(row).collect::<Vec<_>>(), out.read("f.csv"))
    };
    let serial = logged(&parpy("-p serial"));
    assert!(serial.0 == 1 && serial.2.len() > 8 && serial.3.len() > 60);
    for run in ways_of_pipes() {
        assert!(logged(&run) == serial, "{}", run.name());
    }
}

/// They are of one size whoever runs them: so it is not for a schedule to say.
fn pipes_the_same(job: &Run) {
    let job = job.clone().args("-q");
    let serial = job.clone().args("-p serial").done();
    for way in ways_of_pipes() {
        let run = way.then(&job);
        let got = run.done();
        assert!(got.stdout == serial.stdout, "{:?}\n{}", run.command(), got.stderr);
        assert_eq!(got.code, serial.code, "{:?}\n{}", run.command(), got.stderr);
        assert_eq!(got.said(), serial.said(), "{:?}", run.command());
    }
}

/// Ways of running commands for sections.
fn ways_of_pipes() -> Vec<Run> {
    let local =
        ["simd", "threads", "threads -j 3", "threads -j 2 --schedule static", "pool -j 2", "process -j 2"];
    let mut runs: Vec<Run> = local.iter().map(|way| parpy("-p").args(way)).collect();
    runs.extend(counts_of_ranks().iter().map(|ranks| parpy("-p mpi").ranks(*ranks)));
    if has_mpi() {
        runs.push(parpy("--threads 3").ranks(2).var("PARPY_MPI_SHARED", "always"));
        runs.push(parpy("").ranks(2).var("PARPY_MPI_SHARED", "never"));
    }
    runs
}

fn blocks_of_one(dir: &Dir, way: &Run) {
    let text = dir.write(&format!("text-{}", way.name()), "a\nbc\n\n\ndefg\nh");
    let run = |args: &str| way.then(&parpy(args));
    assert_eq!(run("map --range 0..25").text(), parpy("map --range 0..25").text());
    assert_eq!(run("read").arg(&text).text(), "a\nbc\n\n\ndefg\nh");
    let count = run("read --do count").arg(&text).text();
    assert_eq!(count.split_whitespace().take(3).collect::<Vec<_>>(), ["5", "4", "13"]);
}

/// One job that writes every kind of values and failures in every format.
fn files_job(dir: &Dir) -> Run {
    let inputs = [
        ("values = [-3, 0, 12, 3037000499]", false),
        ("values = [0.1, -2.5, 1e300, 'nan', 'inf']", false),
        ("range = '0..1000:0.25'", false),
        ("range = '0..7000'", false),
        ("values = ['9223372036854775807', 3037000500, 5]", true),
        ("values = []", false),
        ("range = '0..1000', function = 'x / 3'", false),
        ("range = '-2..0:0.25', function = 'x // 0.25 - log(x)'", false),
        ("range = '-500..500', function = '1000 // x'", true),
    ];
    let table = dir.write("x.csv", "a,b\n1,2.5\n0,3\n-7,0.1\n12,-1e300\n");
    let holes = dir.write("h.csv", "a,b\n1,2.5\n,3\n-7,\nx,7\n");
    let lines = dir.write("lines.txt", words());
    let named = dir.write("n.csv", "name,n\n\"a, b\",2\nc,3\n,0\n\"\"\"d\"\"\",\n");
    let inputs = inputs.into_iter().map(|(input, keep_going)| (input.to_owned(), keep_going)).chain([
        (format!("from = '{}', function = 'hypot(a, b)'", table.display()), false),
        (format!("from = '{}', function = 'a + b'", holes.display()), true),
        (format!("from = '{}', function = 'a + 1', reduce = 'max,mean(b),count(a)'", holes.display()), true),
        (format!("from = '{}', reduce = 'sum(b),argmin(b),count', by = 'a'", table.display()), false),
        (format!("from = '{}', function = '12 // a', reduce = 'mean,max(b)'", table.display()), true),
        (format!("from = '{}', function = '12 // a', columns = ['b,output']", table.display()), true),
        (format!("lines = '{}', function = 'wordcount', columns = ['output']", lines.display()), false),
        ("sweep = ['a=0..1:0.25', 'b=-3..4'], function = 'a // b'".to_owned(), true),
        ("sweep = ['a=lin(2,3)', 'b=0..7'], points = 'lhs:40', function = 'a + b'".to_owned(), false),
        ("sweep = ['a=0..100', 'b=lin(0,1,77)'], sample = 50, function = 'a + b'".to_owned(), false),
    ]);
    // Types that follow from the first answers, of which some do not fit.
    let of_commands = ["3) exit 1;; 70|85) echo 0.5", "5|88) echo 0.5;; 66|80) echo x"].map(|cases| {
        let command = format!("case {{}} in {cases};; *) echo {{}};; esac");
        (format!("range = '0..90', exec = ['sh', '-c', '{command}']"), true)
    });
    // Only some formats have texts.
    let of_texts = [
        (format!("lines = '{}', function = 'upper'", lines.display()), false),
        (format!("lines = '{}', function = '7 // wordcount(x)'", lines.display()), true),
        (format!("from = '{}', function = 'lower(name)'", named.display()), true),
        (format!("from = '{}', reduce = 'sum(n),count', by = 'name'", named.display()), true),
        ("sweep = ['name=x,\"y, z\"', 'b=0..3:0.5'], function = 'length(name) + b'".to_owned(), false),
    ];

    let mut job = String::new();
    for (i, (input, keep_going)) in inputs.chain(of_texts).chain(of_commands).enumerate() {
        for (extension, part) in extensions().into_iter().flat_map(|e| [(e, ""), (e, "part = '2/3'")]) {
            // What is reduced is the whole; and values, not files, are enough to stand for parts.
            if (input.contains("reduce") || input.contains("from")) && !part.is_empty() {
                continue;
            }
            if input.contains("exec") && !["npy", "h5"].contains(&extension) {
                continue;
            }
            let has_texts = (input.contains("lines") || input.contains("name")) && !input.contains("columns");
            if has_texts && (extension == "npy" || extension == "h5" && !part.is_empty()) {
                continue;
            }
            job += &format!(
                "[[task]]\nmap = {{ {input} }}\noutput = '{i}.{extension}'\nkeep_going = {keep_going}\n{part}\n{}\n",
                if input.contains("sample") || input.contains("points") { "seed = 4" } else { "" }
            );
        }
    }
    parpy("-q run").arg(dir.write("job.toml", job))
}

/// Every way of running that job.
fn writers() -> Vec<Run> {
    let mut runs: Vec<Run> =
        LOCAL.iter().map(|(pattern, rest)| parpy("-p").arg(*pattern).args(rest)).collect();
    if has_mpi() {
        let ranks: &[usize] = if is_thorough() { &[2, 3, 7] } else { &[3] };
        runs.extend(ranks.iter().map(|ranks| parpy("-p mpi").ranks(*ranks)));
        runs.push(parpy("-p mpi --schedule static,83").ranks(3).var("PARPY_MPI_SHARED", "always"));
        runs.push(parpy("-p mpi --schedule static,97").ranks(3).var("PARPY_MPI_SHARED", "never"));
        runs.push(parpy("-p mpi --threads 2 --schedule static,700").ranks(2));
        runs.push(parpy("-p mpi --schedule dynamic,83").ranks(3).var("PARPY_MPI_SHARED", "always"));
        runs.push(parpy("-p mpi --threads 2 --schedule guided").ranks(2).var("PARPY_MPI_SHARED", "never"));
        runs.push(parpy("-p mpi --schedule adaptive,5").ranks(4));
        runs.push(parpy("-p mpi --repeat 2 -j 2").ranks(3));
    }
    runs
}

fn writes_the_same(run: &Run, expected: &Dir) {
    let dir = Dir::new();
    let done = run.then(&files_job(&dir)).done();
    assert_eq!(done.code, 1, "{:?}\n{}", run.command(), done.stderr);
    assert_eq!(dir.names(), expected.names(), "{:?}", run.command());
    for name in expected.names().iter().filter(|name| *name != "job.toml") {
        let (found, expected) = (lasting(&dir.path(name)), lasting(&expected.path(name)));
        assert!(found == expected, "{name} by {:?}", run.command());
    }
}
