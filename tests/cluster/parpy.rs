//! `parpy.sbatch`: results are those of a serial run to the byte, and the job ends as parpy does.

use crate::dsl::{Dir, Run, mpirun, mpirun_is_open_mpi, parpy};
use crate::lab::*;

/// Jobs, and what sbatch is told of them.
fn jobs(dir: &Dir, serial: &Dir) -> Vec<(Run, &'static str)> {
    let numbers: String = (0..5000).map(|i| format!("{}\n", i * 7919 % 100_003 - 50_000)).collect();
    let numbers = dir.write("numbers.txt", numbers);
    // Lines of every length, and the last is open.
    let text: Vec<u8> =
        (0..3000).flat_map(|i| [vec![b'a' + (i % 26) as u8; i % 83], b"\n".to_vec()].concat()).collect();
    let text = dir.write("text", &text[..text.len() - 1]);
    let job = format!(
        "[[task]]\nmap = {{ from = {numbers:?} }}\noutput = \"squares.csv\"\n\n\
         [[task]]\nread = {{ file = {text:?} }}\noutput = \"job.txt\"\n"
    );
    // Its outputs are beside it.
    for dir in [dir, serial] {
        dir.write("job.toml", &job);
    }
    vec![
        (parpy("map --range 0..100000 -o range.txt"), "-N 2 -n 2"),
        (parpy("map --range 10..-30000:-7 -o range.csv"), "-N 2 -n 3"),
        (parpy("map -o numbers.npy --from").arg(numbers), "-N 2 -n 4"),
        // One rank, which is no MPI run.
        (parpy("map 0.5 1e300 -7 -o few.csv"), "-n 1"),
        (parpy("read -o copy").arg(text), "-N 2 --ntasks-per-node=2"),
        (parpy("run job.toml"), "-N 2"),
    ]
}

#[test]
fn same_bytes_as_serial() {
    let Some(cluster) = cluster() else { return };
    for launcher in launchers() {
        let (dir, serial) = (Dir::new(), Dir::new());
        let jobs = jobs(&dir, &serial);
        // All at once, as a user would.
        let running: Vec<_> = jobs
            .iter()
            .map(|(run, options)| {
                cluster.batch(&dir, "parpy.sbatch", options).launch(launcher).words(run.words()).submit()
            })
            .collect();
        let logs: Vec<String> = running.into_iter().map(|job| job.done().succeeds().log).collect();
        jobs.iter().for_each(|(run, _)| _ = run.clone().args("-p serial").folder(serial.path(".")).stdout());
        let names = serial.names();
        assert_eq!(names.len(), 8);
        for name in names {
            assert!(dir.read(&name) == serial.read(&name), "{name} with {launcher}\n{}", logs.join("\n"));
        }
    }
}

#[test]
fn the_log_begins_with_what_runs_where() {
    let Some(cluster) = cluster() else { return };
    for launcher in launchers() {
        let dir = Dir::new();
        let batch = cluster.batch(&dir, "parpy.sbatch", "-N 2 --ntasks-per-node=2 --job-name parpy");
        let done = batch.launch(launcher).args("map --range 0..4").arg("-o").arg("a b.txt").done().succeeds();
        let head: Vec<&str> = done.log.lines().take(3).collect();
        let parts: [&[&str]; 3] = [
            &[&done.id, "n[1-2]", "2 nodes", "2(x2)"],
            &["Z in /", "parpy ", env!("CARGO_PKG_VERSION"), "MPI: "],
            &[launcher, crate::dsl::BINARY, " map --range 0..4 -o a\\ b.txt"],
        ];
        for (line, parts) in head.iter().zip(parts) {
            for part in parts.iter().flat_map(|part| part.split_inclusive(' ')) {
                assert!(line.contains(part), "no '{part}' in: {line}\n{}", done.log);
            }
        }
        assert!(done.log.lines().last().unwrap().ends_with("ended with exit code 0"), "{}", done.log);
        assert_eq!(dir.read("a b.txt"), b"0\n1\n4\n9\n");
    }
}

/// More than fits into the buffers between here and rank 0.
#[test]
fn a_file_as_standard_input() {
    let Some(cluster) = cluster() else { return };
    for launcher in launchers() {
        // MPICH 4.0's mpirun breaks off when megabytes of standard input are for a rank on one of several nodes.
        let few = launcher == mpirun() && !mpirun_is_open_mpi();
        let numbers: String = (0..if few { 500 } else { 500_000 }).map(|i| format!("{i}\n")).collect();
        let serial = parpy("map --from - -p serial").stdin(numbers.as_bytes()).stdout();
        let dir = Dir::new();
        dir.write("numbers.txt", &numbers);
        let jobs = ["parpy", "hybrid"].map(|script| {
            let options = "-N 2 --cpus-per-task=1 --input=numbers.txt";
            let batch = cluster.batch(&dir, &format!("{script}.sbatch"), options).launch(launcher);
            (script, batch.args(&format!("map --from - -o {script}.txt")).submit())
        });
        for (script, job) in jobs {
            let done = job.done().succeeds();
            assert!(dir.read(&format!("{script}.txt")) == serial, "{}", done.log);
        }
    }
}

#[test]
fn a_job_file_alone_is_run() {
    let Some(cluster) = cluster() else { return };
    let dir = Dir::new();
    dir.write("job.toml", "[[task]]\nmap = { range = \"0..3\" }\noutput = \"out.txt\"\n");
    cluster.batch(&dir, "parpy.sbatch", "-N 2").args("job.toml").done().succeeds();
    assert_eq!(dir.read("out.txt"), b"0\n1\n4\n");
}

#[test]
fn the_exit_code_is_parpys() {
    let Some(cluster) = cluster() else { return };
    for launcher in launchers() {
        let dir = Dir::new();
        let batch =
            |args| cluster.batch(&dir, "parpy.sbatch", "-N 2 -n 4").launch(launcher).args(args).submit();
        let [failing, passed_over, wrong] =
            ["map 1 2 3037000500 -o out.txt", "map 1 2 3037000500 4 5 -k -o passed.txt", "mop"].map(batch);
        let fault = ["parpy: 3037000500: square(3037000500) does not fit"];
        failing.done().ends_with(1).says(&fault);
        // What stands before it is kept, under a name that says that it is not all.
        assert_eq!(dir.read("out.txt.partial"), b"1\n4\n");
        passed_over.done().ends_with(1).says(&["1 item has no answer and was passed over"]);
        assert_eq!(dir.read("passed.txt"), b"1\n4\n\n16\n25\n");
        wrong.done().ends_with(2).says(&["unrecognized subcommand 'mop'"]);
    }
}

#[test]
fn a_parpy_that_is_not_there() {
    let Some(cluster) = cluster() else { return };
    let dir = Dir::new();
    let batch = cluster.batch(&dir, "parpy.sbatch", "-N 2").args("map 1");
    let missing = batch.clone().var("PARPY", "").submit();
    // On a site where nobody has given a thought to where it is.
    missing.done().ends_with(2).says(&["no parpy in", "PARPY=/path/to/parpy sbatch"]);
    batch.var("PARPY", dir.path("nowhere")).done().ends_with(2).says(&["nowhere"]);
}
