//! `sweep.sbatch`: a Python function over combinations of parameters, on several nodes.

use crate::dsl::{Dir, parpy};
use crate::lab::*;

#[test]
fn as_it_stands() {
    let Some(cluster) = cluster() else { return };
    for launcher in launchers() {
        let (dir, serial) = (Dir::new(), Dir::new());
        cluster.batch(&dir, "sweep.sbatch", "-N 2 -n 4").launch(launcher).submit().done().succeeds();
        serial.write("walk.py", dir.read("walk.py"));
        let words = "map --sweep steps=10,100,1000,10000 --sweep run=0..250 --python ./walk.py:distance --answers i64 \
                     --reduce count,mean,std --by steps -o walk.csv -p serial";
        parpy(words).folder(serial.path("")).done().succeeds();
        let table = String::from_utf8(dir.read("walk.csv")).unwrap();
        assert_eq!(table, String::from_utf8(serial.read("walk.csv")).unwrap(), "{launcher}");
        assert_eq!(table.lines().count(), 5, "{table}");
        // In the mean a walk comes as far as the root of 2 N / pi.
        for line in table.lines().skip(1) {
            let words: Vec<f64> = line.split(',').map(|word| word.parse().unwrap()).collect();
            let [steps, count, mean, _] = words[..] else { panic!("{line}") };
            let expected = (2.0 * steps / std::f64::consts::PI).sqrt();
            assert!(count == 250.0 && (mean / expected - 1.0).abs() < 0.2, "{line}");
        }
    }
}

#[test]
fn each_node_imports_a_module_once() {
    let Some(cluster) = cluster() else { return };
    for launcher in launchers() {
        let dir = Dir::new();
        let source = "import os, socket\n\
                      with open('imports', 'a') as file: file.write(socket.gethostname() + '\\n')\n\
                      def f(x): return x + 0.5\n";
        dir.write("model.py", source);
        let words = "--range 0..5000 --schedule dynamic,100 --python ./model.py:f -o f.txt";
        let batch = cluster.batch(&dir, "sweep.sbatch", "-N 2 -n 4").launch(launcher).args(words);
        batch.submit().done().succeeds();
        let mut hosts: Vec<String> =
            String::from_utf8(dir.read("imports")).unwrap().lines().map(str::to_owned).collect();
        hosts.sort_unstable();
        assert_eq!(hosts, NODES, "{launcher}");
        let expected: String = (0..5000).map(|i| format!("{i}.5\n")).collect();
        assert!(dir.read("f.txt") == expected.into_bytes(), "{launcher}");
    }
}

#[test]
fn a_module_that_one_node_alone_can_see() {
    let Some(cluster) = cluster() else { return };
    let module = cluster.private(NODES[0], "model.py", b"def f(x): return x\n");
    for launcher in launchers() {
        let dir = Dir::new();
        let batch = cluster.batch(&dir, "sweep.sbatch", "-N 2 -n 4").launch(launcher);
        let batch = batch.args("--range 0..100 --python").arg(format!("{}:f", module.display()));
        batch.submit().done().ends_with(1).says(&["there is no file", &format!("model.py on {}", NODES[1])]);
    }
}
