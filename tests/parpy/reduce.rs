//! `--reduce`: many values made one row of results, of all or of groups.

use crate::data::*;
use crate::dsl::*;
use crate::python::python;

#[test]
fn one_line_for_each_reduction() {
    for ranks in ways() {
        let of = |args: &str| parpy("map").args(args).ranks(*ranks).text();
        assert_eq!(
            of("1 2 3 4 --reduce count,sum,mean,var,std,min,max,argmin,argmax"),
            "count\t4\nsum\t10\nmean\t2.5\nvar\t1.25\nstd\t1.118033988749895\nmin\t1\nmax\t4\nargmin\t0\nargmax\t3\n"
        );
        assert_eq!(
            of("--range 0..100000 -f square --reduce sum,max(x)"),
            "sum\t333328333350000\nmax(x)\t99999\n"
        );
        assert_eq!(of("1 2 3 4 --reduce var --ddof 1"), "var\t1.6666666666666667\n");
        assert_eq!(
            of("0 1 2 2.5 5 7 --reduce hist:2:0:5,count"),
            "hist[0.0..2.5)\t3\nhist[2.5..5.0]\t2\ncount\t6\n"
        );
        // What others lose.
        assert_eq!(of("1e100 1 -1e100 --reduce sum,mean"), "sum\t1.0\nmean\t0.3333333333333333\n");
        assert_eq!(of("0.1 0.1 0.1 0.1 0.1 0.1 0.1 0.1 0.1 0.1 --reduce sum"), "sum\t1.0\n");
        assert_eq!(
            of("9223372036854775807 9223372036854775807 --reduce mean"),
            "mean\t9.223372036854776e18\n"
        );
        // As numpy has it.
        assert_eq!(
            of("1 nan -3 --reduce min,max,sum,argmin,count"),
            "min\tNaN\nmax\tNaN\nsum\tNaN\nargmin\t1\ncount\t3\n"
        );
        assert_eq!(of("-q --reduce count,sum"), "count\t0\nsum\t0\n");
    }
}

#[test]
fn bins_whose_range_the_values_give() {
    let dir = Dir::new();
    dir.write("t.csv", "k,x\n2,3\n-1,4.5\n2,-1\n-1,0\n7,1\n");
    for ranks in ways() {
        let of = |args: &str| parpy("map").args(args).folder(dir.path("")).ranks(*ranks).text();
        assert_eq!(of("0 1 2 2.5 5 7 --reduce hist:2"), "hist[0.0..3.5)\t4\nhist[3.5..7.0]\t2\n");
        assert_eq!(
            of("--from t.csv --reduce hist:1,hist(k):2,count"),
            "hist(k)[-1.0..7.0]\t5\nhist(x)[-1.0..4.5]\t5\nhist(k)[-1.0..3.0)\t4\nhist(k)[3.0..7.0]\t1\ncount\t5\n"
        );
        assert_eq!(
            of("--range 0..5 -f square --reduce hist:2 --by x").lines().next(),
            Some("x\thist[0.0..8.0)\thist[8.0..16.0]")
        );
        assert_eq!(of("3 3 --reduce hist:2"), "hist[2.5..3.0)\t0\nhist[3.0..3.5]\t2\n");
    }
}

#[test]
fn groups_and_columns() {
    let dir = Dir::new();
    dir.write("t.csv", "k,x\n2,3\n-1,4.5\n2,-1\n-1,0\n7,1\n");
    for ranks in ways() {
        let run = |args: &str| parpy("map --from t.csv").args(args).folder(dir.path("")).ranks(*ranks);
        assert_eq!(
            run("--reduce sum(x),mean(x),count,argmax(x) --by k").text(),
            "k\tsum(x)\tmean(x)\tcount\targmax(x)\n-1\t4.5\t2.25\t2\t1\n2\t2.0\t1.0\t2\t0\n7\t1.0\t1.0\t1\t4\n"
        );
        assert_eq!(run("--reduce max").text(), "max(k)\t7\nmax(x)\t4.5\n");
        assert_eq!(run("--reduce max --by k").text(), "k\tmax(x)\n-1\t4.5\n2\t3.0\n7\t1.0\n");
        assert_eq!(run("-f x*k --reduce sum,min(x)").text(), "sum\t6.5\nmin(x)\t-1.0\n");
        for (name, content) in [
            ("r.csv", "k,sum\n-1,4.5\n2,2.0\n7,1.0\n"),
            ("r.jsonl", "{\"k\":-1,\"sum\":4.5}\n{\"k\":2,\"sum\":2.0}\n{\"k\":7,\"sum\":1.0}\n"),
            ("r.txt", "k\tsum\n-1\t4.5\n2\t2.0\n7\t1.0\n"),
        ] {
            run("-f x --reduce sum --by k -o").arg(dir.path(name)).done().succeeds();
            assert_eq!(String::from_utf8_lossy(&dir.read(name)), content);
        }
        run("--reduce sum(x),count --by k -o r.npy").done().succeeds();
        let back = parpy("map --from r.npy -f").arg("`sum(x)` * count").folder(dir.path("")).text();
        assert_eq!(back, "9.0\n4.0\n1.0\n");
    }
    #[cfg(feature = "hdf5")]
    {
        parpy("map --from t.csv --reduce sum(x),count --by k -o r.h5").folder(dir.path("")).done().succeeds();
        let found = columns(&dir.path("r.h5"));
        let names: Vec<&str> = found.iter().map(|(name, ..)| &**name).collect();
        assert_eq!(names, ["count", "k", "sum(x)"]);
        assert_eq!(dataset::<f64>(&dir.path("r.h5"), "sum(x)"), [4.5, 2.0, 1.0]);
    }
}

#[test]
fn what_cannot_be_reduced() {
    let dir = Dir::new();
    dir.write("t.csv", "k,x\n2,3\n-1,4.5\n");
    let fails = |args: &str, code, parts: &[&str]| {
        parpy("map").args(args).folder(dir.path("")).done().fails(code, parts);
    };
    fails("1 --reduce sun", 2, &["unknown reduction 'sun'", "did you mean sum?"]);
    fails("1 --reduce hist", 2, &["how many bins"]);
    fails("1 --reduce hist:0", 2, &["1 to 65536 bins"]);
    fails("1 nan --reduce hist:10", 1, &["hist:10", "no range"]);
    fails("1e308 -1e308 --reduce hist:3", 1, &["hist:3", "no range"]);
    fails("9223372036854775807 9223372036854775806 --reduce hist:4", 1, &["hist:4", "no range"]);
    fails("1 --reduce hist:3(x)", 2, &["hist(x):10"]);
    fails("1 --reduce sum()", 2, &["no name in the brackets"]);
    fails("1 --reduce sum,,mean", 2, &["no name"]);
    fails("1 --reduce hist:3:0:inf", 2, &["finite"]);
    parpy("map --from - --reduce hist:10").stdin("1\n2\n").done().fails(2, &["standard input", "only once"]);
    parpy("scale map 1 2 --reduce hist:10 --quick").done().fails(2, &["hist:10:0:1"]);
    fails("1 --reduce sum(y)", 2, &["there is no column y"]);
    fails("--from t.csv --reduce sum(y)", 2, &["there is no column y; there are k, x"]);
    fails("--from t.csv --reduce sum --by z", 2, &["--by z: there is no column z"]);
    fails("1 --by x", 2, &["--by is for reductions"]);
    fails("1 --ddof 1", 2, &["--ddof is for reductions"]);
    fails("1 --reduce sum --who", 2, &["--who and --columns"]);
    fails("1 --reduce sum --part 1/2", 2, &["--part and --join"]);
    fails("9223372036854775807 1 --reduce sum", 1, &["9223372036854775808 does not fit", "--dtype f64"]);
    fails("1e308 1e308 --reduce sum", 1, &["sum: it is larger than any 64-bit float"]);
    fails("-q --reduce mean", 1, &["mean: there are too few values"]);
    fails("1 --reduce var --ddof 1", 1, &["var: there are too few values"]);
    fails("3 9223372036854775807 -f square --reduce sum", 1, &["9223372036854775807: square("]);
    // With --keep-going they are left out, and said; what has no answer then is a gap.
    let done = parpy("map 3 9223372036854775807 -f square --reduce sum,count,argmax -k").done();
    assert_eq!((done.code, &*done.stdout), (1, &b"sum\t9\ncount\t1\nargmax\t0\n"[..]));
    assert!(done.stderr.contains("1 item has no answer"), "{}", done.stderr);
    parpy("map -q -k --reduce mean,count -o").arg(dir.path("m.csv")).done().succeeds();
    assert_eq!(dir.read("m.csv"), b"mean,count\n,0\n");
    // Each group that could be is one: bounded memory, and a clear error.
    fails("--range 0..5000000 --reduce sum --by x", 1, &["--by x: there are more than", "groups", "MiB"]);
}

/// The states of a block come in many pieces, whose worker may die between any two of them.
#[test]
fn a_killed_worker_loses_nothing_and_counts_nothing_twice() {
    if !cfg!(feature = "fault-injection") {
        return skip("die", "this build has no feature fault-injection");
    }
    for pattern in ["pool", "process"] {
        let done = parpy("map 1 2 3 -9 5 -11 -f die -k -q -j 2 --reduce count,sum,argmax --by x -p")
            .arg(pattern)
            .done();
        assert_eq!(done.code, 1, "{}", done.stderr);
        let text = String::from_utf8(done.stdout).unwrap();
        assert_eq!(text.lines().count(), 7, "{text}");
        assert!(text.contains("-9\t0\t0\t\n") && text.contains("5\t1\t25\t4\n"), "{text}");
    }
}

#[test]
fn the_same_as_exact_fractions() {
    let dir = Dir::new();
    let script = "
import random, struct
random.seed(7)
def wild():
    return random.choice([random.uniform(-1, 1), random.gauss(1e9, 1), random.uniform(-1, 1) * 10.0 ** random.randint(-300, 150)])
with open('wild.txt', 'w') as file:
    file.writelines(f'{wild()!r}\\n' for _ in range(3000))
with open('near.txt', 'w') as file:
    file.writelines(f'{random.gauss(1e6, 1e-3)!r}\\n' for _ in range(3000))
with open('whole.txt', 'w') as file:
    file.writelines(f'{random.randint(-2**63, 2**63 - 1)}\\n' for _ in range(999))
";
    if !python(&dir, "fractions", script) {
        return;
    }
    let reductions = "mean,var,std,min,max,argmin,argmax,count";
    for name in ["wild", "near", "whole"] {
        let sum = if name == "whole" { "" } else { "sum," };
        let run = parpy("map --from")
            .arg(dir.path(&format!("{name}.txt")))
            .arg("--reduce")
            .arg(format!("{sum}{reductions}"));
        run.clone().args("-o").arg(dir.path(&format!("{name}.json"))).done().succeeds();
        if has_mpi() {
            let over = dir.path("ranks.txt");
            run.clone().args("--schedule static,7 -o").arg(&over).ranks(3).done().succeeds();
            run.args("-p serial -o").arg(dir.path("serial.txt")).done().succeeds();
            assert_eq!(dir.read("ranks.txt"), dir.read("serial.txt"));
        }
    }
    let script = "
import json, math
from fractions import Fraction
def nearest(fraction):
    return fraction.numerator / fraction.denominator
for name, number in [('wild', float), ('near', float), ('whole', int)]:
    values = [number(line) for line in open(name + '.txt')]
    found = json.load(open(name + '.json'))['results'][0]
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    var = sum((value - mean) ** 2 for value in exact) / len(exact)
    if 'sum' in found:
        assert found['sum'] == nearest(sum(exact)), name
    assert found['mean'] == nearest(mean), (name, found['mean'], nearest(mean))
    assert found['var'] == nearest(var), (name, found['var'], nearest(var))
    assert abs(found['std'] - math.sqrt(var)) <= 2e-16 * found['std'], name
    assert found['min'] == min(values) and found['max'] == max(values) and found['count'] == len(values)
    assert found['argmin'] == values.index(min(values)) and found['argmax'] == values.index(max(values))
";
    python(&dir, "fractions", script);
}

#[test]
fn the_same_as_numpy_and_pandas() {
    let dir = Dir::new();
    let make = "
import numpy as np
rng = np.random.default_rng(3)
x = rng.normal(size=20000)
np.save('x.npy', x)
np.save('kx.npy', np.array(list(zip(rng.integers(-5, 5, 20000), x)), dtype=[('k', 'i8'), ('x', 'f8')]))
";
    if !python(&dir, "numpy, pandas", make) {
        return;
    }
    let run = |args: &str| parpy("map").args(args).folder(dir.path("")).done().succeeds();
    run("--from x.npy --reduce hist:50:-3:3,std,argmax -o h.npy");
    run("--from kx.npy --reduce sum(x),mean(x),std(x),min(x),count --by k --ddof 1 -o g.csv");
    let check = "
import numpy as np, pandas as pd
x, found = np.load('x.npy'), np.load('h.npy')[0].tolist()
assert list(found[:50]) == np.histogram(x, 50, (-3, 3))[0].tolist()
assert np.isclose(found[50], x.std(), rtol=1e-14) and found[51] == x.argmax()
found = pd.read_csv('g.csv', float_precision='round_trip')
expected = pd.DataFrame(np.load('kx.npy')).groupby('k').x.agg(['sum', 'mean', 'std', 'min', 'count']).reset_index()
assert list(found.columns) == ['k', 'sum(x)', 'mean(x)', 'std(x)', 'min(x)', 'count']
assert np.allclose(found.to_numpy(), expected.to_numpy(), rtol=1e-12)
";
    python(&dir, "numpy, pandas", check);
}
