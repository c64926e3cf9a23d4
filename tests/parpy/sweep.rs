//! `parpy map --sweep`: all combinations of the values of several parameters.

use std::os::unix::ffi::OsStringExt;

use crate::data::*;
use crate::dsl::*;
use crate::python::python;

/// Every way of running a map here.
fn everywhere(job: &Run) -> Vec<Run> {
    let local = ["serial", "simd", "threads -j 2", "pool -j 2", "process -j 2 --schedule dynamic,700"];
    let mut runs: Vec<Run> = local.iter().map(|way| job.clone().args("-p").args(way)).collect();
    if has_mpi() {
        runs.extend([1, 2, 3].map(|ranks| job.clone().args("-p mpi").ranks(ranks)));
    }
    runs
}

#[test]
fn all_combinations_the_last_fastest() {
    let text =
        parpy("map --sweep alpha=0..0.3:0.1 --sweep seed=1,2 -f alpha*seed --columns alpha,seed,output");
    assert_eq!(text.text(), "0.0\t1\t0.0\n0.0\t2\t0.0\n0.1\t1\t0.1\n0.1\t2\t0.2\n0.2\t1\t0.2\n0.2\t2\t0.4\n");
    // A single one is a column as any other, and x as well.
    assert_eq!(parpy("map --sweep n=1,2,3").text(), "1\n4\n9\n");
    assert_eq!(parpy("map --sweep n=3..0:-1 -f x+n").text(), "6\n4\n2\n");
    assert_eq!(parpy("map --sweep e=1..3 --sweep pi=1,2 -f e*pi").text(), "1\n2\n2\n4\n");
}

#[test]
fn side_by_side() {
    let run = parpy("map --zip --sweep a=lin(0,1,3) --sweep b=log(1,100,3) --sweep m=x,y,z -f a+b");
    assert_eq!(run.clone().args("--columns m,output").text(), "x\t1.0\ny\t10.5\nz\t101.0\n");
    run.args("--sweep c=1,2").done().fails(2, &["--zip", "a has 3 values", "c has 2 values"]);
}

/// A script that writes the rows of the sweeps below, by Python's decimals, to `NAME.expected`.
const EXPECTED: &str = "
import decimal, itertools
from decimal import Decimal as D
decimal.getcontext().prec = 60
def steps(a, b, s):
    a, b, s, i = D(a), D(b), D(s), 0
    while (a + i * s < b) if s > 0 else (a + i * s > b):
        yield a + i * s
        i += 1
def lin(a, b, n):
    return [(D(a) * (n - 1 - i) + D(b) * i) / (n - 1) for i in range(n)]
def log(a, b, n):
    return [D(a) * (D(b) / D(a)) ** (D(i) / (n - 1)) for i in range(n)]
def write(name, axes, combine=itertools.product):
    with open(name + '.expected', 'w') as out:
        for row in combine(*axes):
            out.write('\\t'.join(str(x) if isinstance(x, (int, str)) else float(x).hex() for x in row) + '\\n')
write('decimals', [list(steps('0', '1', '0.1')), list(range(7)), list(steps('-3', '3', '0.007'))])
write('points', [lin('0.1', '0.7', 13), log('1e-3', '1e3', 7), lin('-1', '3.141592653589793', 97)])
write('logs', [['euler', 'rk4'], log('0.37', '12345.678', 3001)])
write('far', [list(steps('1e-290', '9e-290', '1e-290')), lin('1e-200', '2e-199', 11), log('3e-299', '7e299', 77)])
write('long', [list(steps('0', '2', '0.0001')), [10, 20, 30]])
write('zipped', [list(steps('5', '-5', '-0.1')), lin('0', '1', 100), log('2', '3', 100)], zip)
";

/// Reads what parpy has written, as Python does, and compares.
const COMPARE: &str = "
def row(line):
    return '\\t'.join(x if x.lstrip('-').isdigit() or x.isalnum() and x[0].isalpha() else float(x).hex() for x in line.split(',')[:-1])
for name in ['decimals', 'points', 'logs', 'far', 'long', 'zipped']:
    found = [row(line) for line in open(name + '.csv').read().splitlines()[1:]]
    expected = open(name + '.expected').read().splitlines()
    assert len(found) == len(expected), (name, len(found), len(expected))
    for number, (a, b) in enumerate(zip(found, expected)):
        assert a == b, (name, number, a, b)
";

#[test]
fn values_are_those_of_pythons_decimals() {
    let dir = Dir::new();
    if !python(&dir, "decimal, itertools", EXPECTED) {
        return;
    }
    for (name, sweep) in [
        ("decimals", "--sweep a=0..1:0.1 --sweep b=0..7 --sweep c=-3..3:0.007 -f b"),
        (
            "points",
            "--sweep a=lin(0.1,0.7,13) --sweep b=log(1e-3,1e3,7) --sweep c=lin(-1,3.141592653589793,97) -f b",
        ),
        ("logs", "--sweep m=euler,rk4 --sweep b=log(0.37,12345.678,3001) -f b"),
        (
            "far",
            "--sweep a=1e-290..9e-290:1e-290 --sweep b=lin(1e-200,2e-199,11) --sweep c=log(3e-299,7e299,77) -f b",
        ),
        ("long", "--sweep a=0..2:0.0001 --sweep b=10,20,30 -f b"),
        ("zipped", "--zip --sweep a=5..-5:-0.1 --sweep b=lin(0,1,100) --sweep c=log(2,3,100) -f b"),
    ] {
        let run = parpy("map").args(sweep).arg("-o").arg(dir.path(&format!("{name}.csv")));
        run.args("-p serial").done().succeeds();
    }
    assert!(python(&dir, "decimal", COMPARE));
}

#[test]
fn every_pattern_finds_the_same_rows() {
    let dir = Dir::new();
    dir.write("list.txt", "alpha\nbeta\r\ngamma delta\n");
    dir.write("seeds.txt", "\u{feff}1\n22\n333\n");
    for job in [
        "map --sweep a=0..1:0.1 --sweep n=0..777 -f a*n --columns a,n,output",
        "map --sweep m=euler,rk4 --sweep n=0..777 -f upper(m) --columns m,n,output",
        "map --sweep n=1,2,3 --sweep m=@list.txt --sweep s=@seeds.txt -f s*length(m) --columns n,m,s,output",
        "map --sweep a=0..1000:0.25 --sweep b=lin(0,1,1001) --sample 3000 --seed 7 -f a+b --columns a,b,output",
        "map --sweep a=0..50 --sweep m=x,y --reduce sum(a),count,mean(a) --by m",
        "map --sweep a=0..3 --sweep b=0..900 -k -f 7//b",
    ] {
        let job = parpy("-q").args(job).folder(dir.path(""));
        let serial = job.clone().args("-p serial").done();
        for run in everywhere(&job) {
            let got = run.done();
            assert!(got.stdout == serial.stdout, "{:?}\n{}", run.command(), got.stderr);
            assert_eq!(got.code, serial.code, "{:?}\n{}", run.command(), got.stderr);
        }
    }
}

#[test]
fn commands_are_given_what_was_typed() {
    let job = parpy("map -j 1 --sweep alpha=0..0.4:0.1 --sweep tol=0.10,1e-3 --exec echo {alpha} {tol} {#}");
    let expected: String = ["0", "0.1", "0.2", "0.3"]
        .iter()
        .enumerate()
        .map(|(i, a)| format!("{a} 0.10 {}\n{a} 1e-3 {}\n", 2 * i + 1, 2 * i + 2))
        .collect();
    assert_eq!(job.text(), expected);
    for (sweep, expected) in [
        ("a=lin(0,1,3)", "0\n0.5\n1\n"),
        ("a=log(0.01,1,3)", "0.01\n0.1\n1\n"),
        ("a=8..12:2", "8\n10\n"),
        ("a=1.50..3:0.50", "1.5\n2\n2.5\n"),
        ("a='x y',\"a,b\",''", "x y\na,b\n\n"),
    ] {
        assert_eq!(parpy("map --sweep").arg(sweep).args("--exec echo {a}").text(), expected, "{sweep}");
    }
    let dir = Dir::new();
    dir.write("files.txt", b"a b.txt\n$HOME\ncaf\xe9\n");
    let job = parpy("map --sweep n=1,2 --sweep file=@files.txt --exec printf %s-%s {file} {n}")
        .folder(dir.path(""));
    let expected = b"a b.txt-1\n$HOME-1\ncaf\xe9-1\na b.txt-2\n$HOME-2\ncaf\xe9-2\n".to_vec();
    let mut ways = vec![job.clone()];
    if has_mpi() {
        ways.push(job.ranks(2));
    }
    assert!(ways.iter().all(|way| way.stdout() == expected));
}

#[test]
fn parameters_stand_beside_the_answers() {
    let dir = Dir::new();
    let run = |name: &str| {
        let job = parpy("map --sweep a=0..1:0.5 --sweep n=1,2 -f a+n -o").arg(dir.path(name));
        job.done().succeeds();
        String::from_utf8_lossy(&dir.read(name)).into_owned()
    };
    assert_eq!(run("s.csv"), "a,n,output\n0.0,1,1.0\n0.0,2,2.0\n0.5,1,1.5\n0.5,2,2.5\n");
    assert!(run("s.jsonl").starts_with("{\"a\":0.0,\"n\":1,\"output\":1.0}\n"));
    let json: serde_json::Value = serde_json::from_str(&run("s.json")).unwrap();
    assert_eq!(json["results"][3], serde_json::json!({ "a": 0.5, "n": 2, "output": 2.5 }));
    let job = json["parpy"]["job"].as_str().unwrap();
    assert!(job.contains("sweep = [\"a=0..1:0.5\", \"n=1,2\"]"), "{job}");
    run("s.npy");
    let back = parpy("map -f a*n+output --from").arg(dir.path("s.npy")).text();
    assert_eq!(back, "1.0\n2.0\n2.0\n3.5\n");
    if cfg!(feature = "hdf5") {
        run("s.h5");
        let from = format!("{}:/a,/n,/output", dir.path("s.h5").display());
        let back = parpy("map -f a*n+output --from").arg(from).text();
        assert_eq!(back, "1.0\n2.0\n2.0\n3.5\n");
        // The job that made it makes it again.
        parpy("run").arg(dir.path("s.h5")).arg("-o").arg(dir.path("again.csv")).done().succeeds();
        assert_eq!(dir.read("again.csv"), dir.read("s.csv"));
    }
    let exec = parpy("map --sweep a=0..1:0.5 -o").arg(dir.path("e.csv")).args("--exec echo -n {a}{a}");
    exec.done().succeeds();
    assert_eq!(dir.read("e.csv"), b"a,output\n0,00\n0.5,0.50.5\n");
}

#[test]
fn numbers_are_of_the_type_that_was_typed_or_asked_for() {
    let dtype = |args: &str| parpy("map -f a").args(args).text();
    assert_eq!(dtype("--sweep a=1,2"), "1\n2\n");
    assert_eq!(dtype("--sweep a=1,2 --dtype f64"), "1.0\n2.0\n");
    assert_eq!(dtype("--sweep a=0..2 --dtype f64"), "0.0\n1.0\n");
    assert_eq!(dtype("--sweep a=1,2.5"), "1.0\n2.5\n");
    assert_eq!(dtype("--sweep a=9007199254740993,1"), "9007199254740993\n1\n");
    assert_eq!(
        dtype("--sweep a=-9223372036854775808..-9223372036854775806"),
        "-9223372036854775808\n-9223372036854775807\n"
    );
    parpy("map -f a --dtype i64 --sweep a=0..1:0.1").done().fails(2, &["--sweep a=0..1:0.1", "--dtype f64"]);
}

#[test]
fn what_cannot_be_swept_is_said() {
    let dir = Dir::new();
    dir.write("empty.txt", "");
    dir.write("gap.txt", "1\n\n2\n");
    dir.write("large.txt", "1\n9223372036854775808\n");
    dir.write("three.txt", "1\n2\n3\n");
    let fifo = dir.fifo("fifo");
    for (args, code, parts) in [
        ("--sweep a", 2, &["--sweep a", "no '='"][..]),
        ("--sweep a=", 2, &["a sweep of nothing"]),
        ("--sweep a=3..3", 2, &["--sweep a=3..3", "empty"]),
        ("--sweep a=1,2 --sweep a=3", 2, &["a is there twice"]),
        ("--sweep a=0..1:0", 2, &["a step of 0"]),
        ("--sweep 1a=0..1", 2, &["'1a' is no name"]),
        ("--sweep =0..1", 2, &["'' is no name"]),
        ("--sweep a-b=0..1", 2, &["'a-b' is no name"]),
        ("--sweep and=0..1", 2, &["'and' is no name"]),
        (
            "--sweep a=lin(100000000000000000000000000001,190000000000000000000000000001,1000000001)",
            2,
            &["more digits together"],
        ),
        ("--sweep a=0..5000000000 --sweep b=0..5000000000", 2, &["more combinations", "2^64 - 1"]),
        ("--sweep a=1,2 --sweep b=1,2,3 --zip", 2, &["--zip", "a has 2 values, b has 3 values"]),
        ("--sweep a=1,2 --range 0..3", 2, &["only one of them"]),
        ("--sweep a=1,2 --from x.csv", 2, &["only one of them"]),
        ("--sweep a=1,2 7", 2, &["only one of them"]),
        ("--zip 1", 2, &["--sweep NAME=VALUES"]),
        ("--sample 3 1", 2, &["--sweep NAME=VALUES"]),
        ("--sweep a=1,2 --sample 3", 2, &["--sample 3", "only 2 combinations"]),
        ("--sweep a=1,2 --sample 0", 2, &["--sample 0", "from 1"]),
        ("--sweep a=1,2 --seed 3", 2, &["--seed", "--sample N"]),
        ("--sweep a=lin(0,1)", 2, &["--sweep a=lin(0,1)", "N, the number of values, is missing"]),
        ("--sweep a=1,2 --points 7", 2, &["--points 7", "lhs:N"]),
        ("--sweep a=1,2 --points lhs:0", 2, &["--points lhs:0", "from 1"]),
        ("--sweep a=1,2 --points lhs:2 --zip", 2, &["--points", "without --zip"]),
        ("--points lhs:2 1", 2, &["--sweep NAME=VALUES"]),
        ("--sweep a=1,2 --sample 1 --part 1/2", 2, &["the same seed"]),
        ("--sweep a=1,2 --sweep b=3 -f square", 2, &["say of which"]),
        ("--sweep a=x,y -f a+1", 2, &["text"]),
        ("--sweep a=@empty.txt", 2, &["empty.txt", "a sweep of nothing"]),
        ("--sweep a=@gap.txt", 2, &["gap.txt", "line 2 is empty"]),
        ("--sweep a=@large.txt", 2, &["9223372036854775808", "--dtype f64"]),
        ("--sweep a=@missing.txt", 1, &["missing.txt"]),
        ("--sweep a=1,2 --sweep b=@three.txt --zip -f a", 2, &["a has 2 values, b has 3 values"]),
        ("--sweep a=@three.txt --sample 4", 2, &["only 3 combinations"]),
        ("--sweep a=@.", 1, &["it is a directory"]),
        ("--sweep a=@fifo", 1, &["not a regular file"]),
        ("--sweep a=@three.txt -o three.txt", 1, &["it is the input"]),
    ] {
        for ranks in [0, 2].into_iter().filter(|ranks| *ranks == 0 || has_mpi() && is_thorough()) {
            let done = parpy("map").args(args).folder(dir.path("")).ranks(ranks).done();
            assert!(done.stdout.is_empty());
            done.fails(code, parts);
        }
    }
    assert!(fifo.exists());
}

#[test]
fn a_list_that_changes_under_way_is_noticed() {
    let dir = Dir::new();
    dir.write("list.txt", "1\n2\n3\n");
    let job = parpy("map -j 1 --schedule dynamic,1 --sweep a=@list.txt --exec sh -c").folder(dir.path(""));
    let done = job.arg("echo 4 >> list.txt; echo {a}").done();
    done.fails(1, &["list.txt", "since the run began"]);
}

#[test]
fn samples_are_the_same_with_the_same_seed() {
    let run =
        |seed: &str| parpy("map --sweep a=0..1000000 --sweep b=0..1000 -f a*1000+b --sample 50").args(seed);
    let rows =
        |seed: &str| -> Vec<u64> { run(seed).text().lines().map(|line| line.parse().unwrap()).collect() };
    let first = rows("--seed 1");
    assert_eq!(first.len(), 50);
    assert!(first.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(rows("--seed 1"), first);
    assert_ne!(rows("--seed 2"), first);
    assert_ne!(rows("--seed 18446744073709551615"), first);
    // One that is drawn is told, and chooses the same ones again.
    let done = run("-v").done().succeeds();
    let (_, seed) = done.stderr.split_once("--seed ").unwrap();
    let seed = seed.split_whitespace().next().unwrap();
    assert_eq!(run(&format!("--seed {seed}")).stdout(), done.stdout);
    // All of them are all.
    let all = parpy("map --sweep a=0..30 --sweep b=0..30 -f a*b");
    assert_eq!(all.clone().args("--sample 900").text(), all.text());
}

#[test]
fn points_of_a_latin_hypercube() {
    let job = parpy(
        "map --sweep a=lin(2,4) --sweep b=log(1e-2,1e2) --sweep m=x,y,z --sweep n=0..4 --points lhs:24 -f a",
    )
    .args("--columns a,b,m,n,output");
    let run = |seed: &str| job.clone().args("--seed").arg(seed).text();
    let text = run("1");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 24);
    let parts = |of: &dyn Fn(&[&str]) -> f64| -> Vec<u32> {
        let mut parts: Vec<u32> = rows.iter().map(|row| (of(row) * 24.0) as u32).collect();
        parts.sort_unstable();
        parts
    };
    let number = |word: &str| word.parse::<f64>().unwrap();
    let each: Vec<u32> = (0..24).collect();
    // As many parts as points, and one in each: of the values, or of their logarithms.
    assert_eq!(parts(&|row| (number(row[0]) - 2.0) / 2.0), each);
    assert_eq!(parts(&|row| (number(row[1]).log10() + 2.0) / 4.0), each);
    for (column, values) in [(2, &["x", "y", "z"][..]), (3, &["0", "1", "2", "3"])] {
        for value in values {
            let count = rows.iter().filter(|row| row[column] == *value).count();
            assert_eq!(count, 24 / values.len(), "{value}");
        }
    }
    assert_eq!(run("1"), text);
    assert_ne!(run("2"), text);
    for way in everywhere(&job.clone().args("--seed 1")) {
        assert_eq!(way.text(), text, "{:?}", way.command());
    }
    // A command is given the same numbers.
    let exec = parpy(
        "map -j 1 --sweep a=lin(2,4) --sweep b=log(1e-2,1e2) --sweep m=x,y,z --sweep n=0..4 --points lhs:24",
    );
    let printed = exec.args("--seed 1 --exec echo {a} {b} {m} {n}").text();
    let expected: Vec<String> = rows.iter().map(|row| row[..4].join(" ")).collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_result_of_a_sample_is_made_again_by_its_job() {
    let dir = Dir::new();
    for ranks in ways() {
        let job =
            parpy("map --sweep a=0..1:0.001 --sweep b=0..1000 --sample 20 -f a+b -o").arg(dir.path("s.json"));
        job.ranks(*ranks).done().succeeds();
        let made = dir.read("s.json");
        let json: serde_json::Value = serde_json::from_slice(&made).unwrap();
        assert!(json["parpy"]["seed"].is_string(), "{json}");
        parpy("run").arg(dir.path("s.json")).arg("-o").arg(dir.path("again.json")).done().succeeds();
        let again: serde_json::Value = serde_json::from_slice(&dir.read("again.json")).unwrap();
        assert_eq!(json["results"], again["results"]);
    }
}

#[test]
fn parts_join_to_the_whole() {
    let dir = Dir::new();
    dir.write("list.txt", "x\nyy\nz z\n");
    for job in [
        "map --sweep a=0..1:0.1 --sweep n=0..77 -f a*n",
        "map --sweep m=@list.txt --sweep n=0..33 -f length(m)+n",
        "map --sweep a=0..100 --sweep b=0..100 --sample 100 --seed 5 -f a+b",
        "map --sweep a=lin(0,1) --sweep b=0..100 --points lhs:100 --seed 5 -f a+b",
    ] {
        let job = parpy(job).folder(dir.path(""));
        job.clone().args("-o whole.csv").done().succeeds();
        for part in ["1/3", "2/3", "3/3"] {
            job.clone().args("-o s.json --part").arg(part).done().succeeds();
            job.clone().args("-o s.csv --part").arg(part).done().succeeds();
        }
        job.clone().args("-o s.csv --join 3").done().succeeds();
        assert_eq!(dir.read("s.csv"), dir.read("whole.csv"));
        if job.name().contains("--seed") {
            // What another seed chooses is other work.
            let other = job.args("--seed 6 -o s.json --join 3").done();
            assert_ne!(other.code, 0);
        } else {
            job.args("-o s.json --join 3").done().succeeds();
        }
    }
}

#[test]
fn job_files_have_sweeps() {
    let dir = Dir::new();
    dir.write("lists/names.txt", "x\ny\n");
    let job = dir.write(
        "job.toml",
        "[[task]]\nmap = { sweep = ['a=0..0.3:0.1', 'b=1,$2'], function = 'a*b', columns = ['a,b,output'] }\n\
         [[task]]\nmap = { sweep = ['n=1,2', 'm= @lists/names.txt'], exec = ['echo', '{n}{m}', '$1'] }\n\
         [[task]]\nmap = { sweep = ['m=@$1'], exec = ['echo', '{m}'] }\n\
         [[task]]\nseed = 3\nmap = { sweep = ['a=0..100', 'b=0..100'], zip = true, sample = 5, function = 'a+b' }\n",
    );
    dir.write("mine.txt", "mine\n");
    let sample = parpy("map --sweep a=0..100 --sweep b=0..100 --zip --sample 5 --seed 3 -f a+b").text();
    let expected = "0.0\t1\t0.0\n0.0\t5\t0.0\n0.1\t1\t0.1\n0.1\t5\t0.5\n0.2\t1\t0.2\n0.2\t5\t1.0\n\
                    1x $1\n1y $1\n2x $1\n2y $1\nmine\n";
    let run = parpy("run").arg(&job).args("mine.txt 5").folder(dir.path(""));
    assert_eq!(run.text(), format!("{expected}{sample}"));
    // A seed of the command line is for the tasks that choose something.
    assert_ne!(run.args("--seed 4").text(), format!("{expected}{sample}"));
    for (text, part) in [
        ("map = { sweep = 'a=1,2' }", "a sweep is a list"),
        ("map = { sweep = ['a=1,2'], from = 'x.csv' }", "only one of them"),
        ("map = { sweep = ['a=0..1:0'] }", "a step of 0"),
        ("map = { sweep = ['a=1,2'], sample = 1 }\nseed = 'x'", "whole number"),
        ("map = { sample = 1 }", "--sweep"),
    ] {
        let text = format!("[[task]]\n{}\n", text.split('\n').rev().collect::<Vec<_>>().join("\n"));
        parpy("run").arg(dir.write("bad.toml", text)).done().fails(2, &[part]);
    }
    // Names of files that are no UTF-8, in the job of a result.
    let name = std::ffi::OsString::from_vec(b"caf\xe9.txt".to_vec());
    std::fs::write(dir.path("").join(&name), "1\n2\n").unwrap();
    let mut sweep = std::ffi::OsString::from("a=@");
    sweep.push(&name);
    let job = parpy("map -o r.json -f a --sweep").arg(sweep).folder(dir.path(""));
    job.done().succeeds();
    assert_eq!(parpy("run r.json -o -").folder(dir.path("")).text(), "1\n2\n");
}

#[test]
fn what_would_be_done_is_shown() {
    let text = parpy("map --dry-run --sweep alpha=0..1:0.1 --sweep seed=0..100000000 -f alpha*seed").text();
    for part in [
        "alpha=0..1:0.1 x seed=0..100000000",
        "  1\talpha = 0.0, seed = 0\n",
        "  1,000,000,000\talpha = 0.9, seed = 99999999\n",
        "1,000,000,000 items",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let text = parpy("map --dry-run --sweep a=0..1:0.1 --sweep m=euler,rk4 --exec ./run {a} {m}").text();
    assert!(text.contains("\t./run 0 euler\n") && text.contains("  20\t./run 0.9 rk4\n"), "{text}");
}

#[test]
fn items_that_fail_are_told_by_their_parameters() {
    let dir = Dir::new();
    let run = parpy("map --sweep a=0..1:0.5 --sweep b=0,1 -f 1//int(b) -k --failed").arg(dir.path("f.csv"));
    assert_eq!(run.done().code, 2, "int is no function");
    let run = parpy("map --sweep a=0..1:0.5 --sweep b=0,1 -f 1//b -k --failed").arg(dir.path("f.csv"));
    run.done().fails(1, &["a = 0.0, b = 0"]);
    let failed = String::from_utf8(dir.read("f.csv")).unwrap();
    assert!(failed.starts_with("a,b,"), "{failed}");
    assert_eq!(failed.lines().count(), 3, "{failed}");
    let exec = parpy("map -j 1 --sweep a=0..1:0.5 --sweep m=x,y --exec sh -c");
    exec.arg("test {a}{m} != 0.5x || exit 3; echo {a}{m}").done().fails(1, &["a = '0.5', m = 'x'"]);
}
