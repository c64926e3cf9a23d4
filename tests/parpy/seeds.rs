//! Random numbers: each item has its own, which follow from `--seed` and its number alone.

use crate::data::*;
use crate::dsl::*;
use crate::python::python;

/// Numbers on lines.
fn numbers(text: &str) -> Vec<f64> {
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// What expressions draw is what a Python function draws first.
#[test]
fn expressions_draw_as_numpy_does() {
    let dir = Dir::new();
    for (name, range, seed) in
        [("a", "0..3000", "1"), ("b", "-5..40", "18446744073709551615"), ("c", "0..7", "9223372036854775808")]
    {
        let run = |formula: &str, output: &str| {
            let run = parpy("map --range").arg(range).args("--seed").arg(seed).arg("-f").arg(formula);
            run.arg("-o").arg(dir.path(&format!("{name}-{output}.npy"))).done().succeeds();
        };
        run("uniform()", "first");
        run("uniform() - uniform() + 0*uniform(0, 1) + uniform()*0", "two");
        run("0*(uniform() + uniform() + uniform() + uniform()) + uniform(x, 9000.5)", "fifth");
        run("normal(2, 3)", "normal");
        dir.write(&format!("{name}.seed"), seed);
    }
    let script = "
import numpy as np
from numpy.random import Generator, Philox
for name, start in ('a', 0), ('b', -5), ('c', 0):
    seed = int(open(name + '.seed').read())
    first, two, fifth, normal = (np.load('%s-%s.npy' % (name, k)) for k in ('first', 'two', 'fifth', 'normal'))
    for row in range(len(first)):
        draws = lambda: Generator(Philox(key=np.array((seed, row), dtype=np.uint64)))
        u = draws().random(5)
        assert first[row] == u[0] and two[row] == u[0] - u[1], (name, row)
        rng = draws()
        rng.random(4)
        # C may fuse the multiplication with the addition.
        assert abs(fifth[row] - rng.uniform(row + start, 9000.5)) < 2e-12, (name, row)
        z = np.sqrt(-2 * np.log(1 - u[0])) * np.cos(2 * np.pi * u[1])
        assert abs(normal[row] - (2 + 3 * z)) < 1e-12, (name, row)
";
    python(&dir, "numpy", script);
}

/// A Python function with a parameter `rng` and an expression draw the same numbers, also with the largest seeds.
#[test]
fn python_functions_draw_as_expressions_do() {
    let dir = Dir::new();
    if !python(&dir, "numpy", "") {
        return;
    }
    dir.write("draw.py", "def draw(x, rng):\n    return rng.random() - rng.random()\n");
    let interpreter = std::env::var("PARPY_TEST_PYTHON").unwrap_or("python3".into());
    for seed in ["7", "18446744073709551615"] {
        let map = |rest: &str| parpy("map --range 5..60 --seed").arg(seed).args(rest).folder(dir.path(""));
        let drawn = map("-j 2 --answers f64 --python draw.py:draw --interpreter").arg(&interpreter).text();
        assert_eq!(drawn, map("-f").arg("uniform() - uniform()").text());
    }
}

#[test]
fn a_drawn_seed_is_told_and_recorded() {
    let dir = Dir::new();
    for (args, seeded) in [
        ("map --range 0..50 -v -f normal()", "map --range 0..50 -f normal() --seed"),
        (
            "map --sweep a=0..50 -v --reduce mean -f uniform()",
            "map --sweep a=0..50 --reduce mean -f uniform() --seed",
        ),
    ] {
        let done = parpy(args).done().succeeds();
        let seed = done.stderr.split_once("--seed ").unwrap().1.split_whitespace().next().unwrap();
        assert_eq!(parpy(seeded).arg(seed).stdout(), done.stdout);
        assert_ne!(parpy(args).stdout(), done.stdout);
    }
    for ranks in ways() {
        let job = parpy("map --range 0..50 -f uniform() -o").arg(dir.path("u.json"));
        job.ranks(*ranks).done().succeeds();
        let made: serde_json::Value = serde_json::from_slice(&dir.read("u.json")).unwrap();
        let seed = made["parpy"]["seed"].as_str().unwrap();
        assert!(made["parpy"]["job"].as_str().unwrap().contains(&format!("seed = \"{seed}\"")));
        parpy("run").arg(dir.path("u.json")).arg("-o").arg(dir.path("again.json")).done().succeeds();
        let again: serde_json::Value = serde_json::from_slice(&dir.read("again.json")).unwrap();
        assert_eq!(made["results"], again["results"]);
        // Of commands, too, where they ask for one.
        let job = parpy("map --range 0..3 -o").arg(dir.path("c.json")).args("--exec echo {seed}");
        job.ranks(*ranks).done().succeeds();
        let made: serde_json::Value = serde_json::from_slice(&dir.read("c.json")).unwrap();
        assert!(made["parpy"]["seed"].is_string());
        parpy("map --range 0..3 -o")
            .arg(dir.path("n.json"))
            .args("--exec echo")
            .ranks(*ranks)
            .done()
            .succeeds();
        let made: serde_json::Value = serde_json::from_slice(&dir.read("n.json")).unwrap();
        assert!(made["parpy"]["seed"].is_null());
    }
}

#[test]
fn a_command_has_the_seed_of_its_item() {
    let said = "map --range 0..40 --seed 3 -j 2 --shell --exec";
    let text = parpy(said).arg("echo {seed} $PARPY_SEED").text();
    let mut seeds: Vec<u64> = Vec::new();
    for line in text.lines() {
        let (word, variable) = line.split_once(' ').unwrap();
        assert_eq!(word, variable);
        seeds.push(word.parse().unwrap());
    }
    assert!(seeds.iter().all(|seed| *seed < 1 << 31));
    let count = seeds.len();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!((count, seeds.len()), (40, 40));
    // Without --seed, and without {seed}, there is none; and a column that is called so is that.
    assert_eq!(parpy("map 1 --shell --exec").arg("echo {}.$PARPY_SEED").text(), "1.\n");
    assert_eq!(parpy("map --sweep seed=5,6 --exec echo {seed}").text(), "5\n6\n");
    // A program that stays is told that of the run.
    let worker = parpy("map 1 2 --seed 12345678901234567890 --worker");
    let script = "sh -c 'while read x; do echo $x $PARPY_SEED; done'";
    assert_eq!(worker.arg(script).text(), "1 12345678901234567890\n2 12345678901234567890\n");
}

#[test]
fn an_item_that_is_run_again_has_the_same_seed() {
    let dir = Dir::new();
    // The first try of each item fails, and says which seed it had.
    let script = "test -e {row} && { cat {row}; echo {seed} $PARPY_SEED; } || { echo {seed} $PARPY_SEED > {row}; exit 1; }";
    let run = parpy("map --range 0..6 --seed 3 -j 2 --retries 1 --shell --exec").arg(script);
    let text = run.folder(dir.path("")).text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 12);
    assert!(lines.chunks(2).all(|pair| pair[0] == pair[1]), "{text}");
}

#[test]
fn parts_join_to_the_whole() {
    let dir = Dir::new();
    for (job, exec) in [
        ("map --range 0..1000 --seed 5 -f uniform()+normal()", ""),
        ("map --range 0..40 --seed 5 --answers i64", "--exec echo {seed}"),
    ] {
        let run = |rest: &str| parpy(job).args(rest).args(exec).folder(dir.path("")).done().succeeds();
        run("-o whole.csv");
        for part in ["1/3", "2/3", "3/3"] {
            run(&format!("-o s.csv --part {part}"));
        }
        run("-o s.csv --join 3");
        assert_eq!(dir.read("s.csv"), dir.read("whole.csv"), "{job}");
    }
}

#[test]
fn numbers_lie_where_they_should() {
    let values = numbers(&parpy("map --range 0..20000 --seed 1 -f").arg("uniform(-2, 6)").text());
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    assert!(values.iter().all(|x| (-2.0..6.0).contains(x)) && (mean - 2.0).abs() < 0.07, "{mean}");
    let values = numbers(&parpy("map --range 0..20000 --seed 1 -f").arg("normal(3, 2)").text());
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64;
    assert!((mean - 3.0).abs() < 0.06 && (variance - 4.0).abs() < 0.17, "{mean} {variance}");
}

#[test]
fn a_seed_is_for_what_is_random() {
    for ranks in ways() {
        for (args, parts) in [
            ("map 1 2 --seed 3 -f x", &["--seed is for what is random"][..]),
            ("read jobs/sample.txt --seed 3", &["--seed is for what is random"]),
            ("map --range 0..9 --part 1/3 -f uniform()", &["the same seed"]),
            ("map --range 0..9 --part 1/3 -o x.csv --exec echo {seed}", &["the same seed"]),
            ("map 1 -f uniform", &["with brackets", "-f 'uniform()'"]),
            ("map 1 -f uniform(2)", &["uniform is of 2 numbers, or of none: uniform(), and 1 is given"]),
            ("map --seed -1 1 -f uniform()", &["--seed"]),
        ] {
            parpy(args).ranks(*ranks).done().fails(2, parts);
        }
    }
}
