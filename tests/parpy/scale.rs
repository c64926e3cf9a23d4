//! `parpy scale`: the real program, timed for real. What times mean is tested with known times in the unit
//! tests; here what is run, kept, and said.

use std::os::unix::fs::symlink;

use approx::assert_relative_eq;
use serde_json::Value;

use crate::dsl::*;

/// The points that a study has saved as JSON.
fn points(dir: &Dir, name: &str) -> Vec<Value> {
    studies(dir, name)["studies"][0]["points"].as_array().unwrap().clone()
}

/// How many points a study that is still being made has saved.
fn points_so_far(dir: &Dir, name: &str) -> usize {
    let saved =
        std::fs::read(dir.path(name)).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    saved.map_or(0, |studies| studies["studies"][0]["points"].as_array().map_or(0, Vec::len))
}

fn studies(dir: &Dir, name: &str) -> Value {
    serde_json::from_slice(&dir.read(name)).unwrap()
}

fn names(points: &[Value]) -> Vec<String> {
    points.iter().map(|p| format!("{} {}", p["pattern"].as_str().unwrap(), p["workers"])).collect()
}

#[test]
fn every_pattern_with_every_number_of_workers() {
    let dir = Dir::new();
    let run =
        parpy("scale map --range 0..1000 --workers 1,4,2 --patterns serial,simd,threads,pool,process --save");
    let text = run.arg(dir.path("s.json")).text();
    let points = points(&dir, "s.json");
    let expected = ["serial 1", "simd 1"]
        .map(String::from)
        .into_iter()
        .chain(["threads", "pool", "process"].iter().flat_map(|p| [1, 2, 4].map(|n| format!("{p} {n}"))));
    assert_eq!(names(&points), expected.collect::<Vec<_>>());
    let number = |point: &Value, key: &str| point[key].as_f64().unwrap();
    let median = |point: &Value| point["seconds"]["median"].as_f64().unwrap();
    let single = |point: &&Value| point["workers"] == 1;
    let fastest = points.iter().filter(single).map(median).min_by(f64::total_cmp).unwrap();
    // Serial where it is as fast.
    let serial = median(&points[0]);
    let reference = if serial <= 1.05 * fastest { serial } else { fastest };
    for point in &points {
        assert_eq!((&point["items"], &point["bytes"]), (&1000.into(), &8000.into()));
        assert!(point["runs"].as_u64().unwrap() >= 5);
        assert!(number(&point["seconds"], "low") <= median(point) && median(point) > 0.0);
        assert!(number(point, "startup_seconds") > 0.0);
        assert_relative_eq!(number(point, "speedup"), reference / median(point), max_relative = 1e-9);
        let efficiency = number(point, "speedup") / number(point, "workers");
        assert_relative_eq!(number(point, "efficiency"), efficiency, max_relative = 1e-9);
        let rate = 1000.0 / median(point);
        assert_relative_eq!(number(point, "items_per_second"), rate, max_relative = 1e-9);
        let row = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.first() == point["pattern"].as_str().as_ref()
                && words.get(1).map(|n| n.trim_end_matches('*').to_owned())
                    == Some(point["workers"].to_string())
        };
        assert!(text.lines().any(row), "no row for {point} in\n{text}");
    }
    assert!(text.contains("start-up") && text.contains("values/s"), "{text}");
    assert!(text.contains("fastest"), "{text}");
    assert_eq!(studies(&dir, "s.json")["complete"], true);
}

/// Who took part is in the rows: `--who` writes the rank of each.
fn ranks_of(dir: &Dir, name: &str) -> Vec<String> {
    let text = String::from_utf8(dir.read(name)).unwrap();
    let mut ranks: Vec<String> =
        text.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().into()).collect();
    ranks.sort();
    ranks.dedup();
    ranks
}

#[test]
fn communicators_of_the_first_ranks() {
    if !has_mpi() {
        return;
    }
    for ranks in 1..=5 {
        let dir = Dir::new();
        let all: Vec<String> = (1..=ranks).map(|n| n.to_string()).collect();
        let run = parpy("scale map --range 0..1000 --who --patterns mpi").ranks(ranks).args("--workers");
        let run = run.arg(all.join(",")).arg("--save").arg(dir.path("s.json"));
        // One rank alone is no MPI run: it starts one of its own.
        let run = run.arg("-o").arg(dir.path("out.csv")).var("PATH", &shim(&dir));
        run.done().succeeds();
        assert_eq!(
            names(&points(&dir, "s.json")),
            all.iter().map(|n| format!("mpi {n}")).collect::<Vec<_>>()
        );
        // What was written last is of all ranks, and of the largest communicator only.
        assert_eq!(ranks_of(&dir, "out.csv"), (0..ranks).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(dir.read("out.csv").iter().filter(|b| **b == b'\n').count(), 1001);
    }
}

#[test]
fn a_part_of_the_ranks_does_all_of_the_work() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    let run = parpy("scale map --range 0..1000 --who --patterns serial,threads,mpi --workers 2 -o").ranks(5);
    run.arg(dir.path("out.csv")).done().succeeds();
    assert_eq!(ranks_of(&dir, "out.csv"), ["0", "1"]);
    let alone = parpy("map --range 0..1000").text();
    let text = String::from_utf8(dir.read("out.csv")).unwrap();
    let answers: String =
        text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().to_owned() + "\n").collect();
    assert_eq!(answers, alone);
}

#[test]
fn reading_under_mpirun_and_more_ranks_than_lines() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    let text = dir.write("text", "one\ntwo\n");
    for action in ["text", "count"] {
        let run = parpy("scale read").arg(&text).args("--do").arg(action).ranks(4).arg("--save");
        run.arg(dir.path("s.json")).done().succeeds();
        let points = points(&dir, "s.json");
        assert!(points.iter().all(|point| point["items"] == 2 && point["bytes"] == 8), "{points:?}");
        assert_eq!(names(&points).last().unwrap(), "mpi 4");
    }
}

#[test]
fn alone_it_starts_mpirun_for_the_points_of_mpi() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    let run = parpy("scale map --range 0..1000 --patterns serial,mpi --workers 1,2,3 --save");
    let text = run.arg(dir.path("s.json")).var("PATH", &shim(&dir)).text();
    assert_eq!(names(&points(&dir, "s.json")), ["serial 1", "mpi 1", "mpi 2", "mpi 3"]);
    let launch = &studies(&dir, "s.json")["studies"][0]["launch"];
    assert!(launch["ranks"] == 3 && launch["seconds"].as_f64().unwrap() > 0.0, "{launch}");
    assert!(text.contains("Starting and ending 3 ranks by mpirun took"), "{text}");
}

#[test]
fn without_an_mpirun_the_other_points_are_kept() {
    let dir = Dir::new();
    let run = parpy("scale map 1 2 3 --patterns serial,mpi --workers 1,2 --save").arg(dir.path("s.json"));
    let path = std::env::var_os("PATH").unwrap();
    let timeout = std::env::split_paths(&path).map(|folder| folder.join("timeout"));
    std::fs::create_dir(dir.path("bin")).unwrap();
    symlink(timeout.into_iter().find(|path| path.exists()).unwrap(), dir.path("bin/timeout")).unwrap();
    let done = run.var("PATH", dir.path("bin").to_str().unwrap()).done();
    let why = if has_mpi() { "there is no mpirun" } else { "built without MPI" };
    assert!(String::from_utf8_lossy(&done.stdout).contains("serial"));
    done.fails(1, &["2 of 3 points have no time", why]);
    assert_eq!(names(&points(&dir, "s.json")), ["serial 1", "mpi 1", "mpi 2"]);
}

#[test]
fn weak_scaling_gives_each_worker_the_same_share() {
    let dir = Dir::new();
    let text = dir.write("text", "12345678\n".repeat(1000));
    let flags = "--patterns serial,threads --workers 1,2,4 --weak --save";
    for input in ["map --range 0..1000", "map --range 0..1000 --dtype f64", "read"] {
        let run = parpy("scale").args(input);
        let run = if input == "read" { run.arg(&text) } else { run };
        run.args(flags).arg(dir.path("s.json")).done().succeeds();
        let items: Vec<u64> = points(&dir, "s.json").iter().map(|p| p["items"].as_u64().unwrap()).collect();
        assert_eq!(items, [250, 250, 500, 1000], "{input}");
        if has_mpi() && input != "read" {
            let run = parpy("scale").args(input).args("--patterns mpi --workers 1,3 --weak --save").ranks(3);
            run.arg(dir.path("s.json")).done().succeeds();
            let items: Vec<u64> =
                points(&dir, "s.json").iter().map(|p| p["items"].as_u64().unwrap()).collect();
            // The first third, rounded up.
            assert_eq!(items, [334, 1000], "{input}");
        }
    }
    let values: Vec<String> = (0..8).map(|n| n.to_string()).collect();
    parpy("scale map").args(&values.join(" ")).args(flags).arg(dir.path("s.json")).done().succeeds();
    assert_eq!(
        points(&dir, "s.json").iter().map(|p| p["items"].as_u64().unwrap()).collect::<Vec<_>>(),
        [2, 2, 4, 8]
    );
    let numbers = dir.write("numbers", "1\n2\n");
    parpy("scale map --weak --from").arg(numbers).done().fails(2, &["--weak", "not known"]);
}

#[test]
fn a_quick_estimate_says_that_it_is_one() {
    let text = parpy("scale map --range 0..3000000 --quick --workers 1,2").text();
    assert!(text.contains("; estimates") && text.contains("These are estimates"), "{text}");
    assert!(text.contains("serial") && text.contains("threads") && text.contains("pool"), "{text}");
}

#[test]
fn a_job_file_says_what_to_time_and_beside_what() {
    let dir = Dir::new();
    let run = parpy("scale jobs/seed-study.toml jobs/sample.txt --repeat 2 --save").arg(dir.path("s.json"));
    let text = run.text();
    let all = studies(&dir, "s.json");
    let names_of = |i: usize| names(all["studies"][i]["points"].as_array().unwrap());
    assert_eq!(names_of(0), ["pool 1", "pool 2"]);
    assert_eq!(names_of(1), ["pool 1", "pool 2", "pool 3", "pool 4"]);
    assert_eq!(all["studies"][1]["points"][0]["items"], 345);
    for figure in ["9.77 ms", "28.1 ms", "4.19 s", "1.99 s", "1.27 s", "911 ms"] {
        assert!(text.contains(figure), "no {figure} in\n{text}");
    }
    // The command line comes before the file.
    let run = parpy("scale jobs/seed-study.toml jobs/sample.txt --repeat 2 -j 2 --patterns threads --save");
    run.arg(dir.path("s.json")).done().succeeds();
    assert_eq!(names(&points(&dir, "s.json")), ["threads 2"]);
    // And to run it does what it says.
    let squares = parpy("map --range 0..1000").text();
    let both = parpy("run jobs/seed-study.toml jobs/sample.txt").text();
    assert!(both.starts_with(&squares) && both.len() > squares.len());
}

#[test]
fn what_was_saved_is_shown_again() {
    let dir = Dir::new();
    let extensions = if cfg!(feature = "hdf5") { &["json", "h5"][..] } else { &["json"] };
    let run = parpy("scale map --range 0..1000 --workers 1,2");
    for extension in extensions {
        let file = dir.path(&format!("s.{extension}"));
        let text = run.clone().arg("--save").arg(&file).text();
        assert_eq!(parpy("scale --from").arg(&file).text(), text);
    }
    let csv = dir.path("s.csv");
    parpy("scale --from").arg(dir.path("s.json")).arg("--save").arg(&csv).done().succeeds();
    let rows = String::from_utf8(dir.read("s.csv")).unwrap();
    assert!(rows.starts_with("study,title,pattern,workers,worked,cpus,"), "{rows}");
    assert_eq!(rows.lines().count(), 1 + points(&dir, "s.json").len());
    let both = parpy("scale --from").arg(dir.path("s.json")).arg(dir.path("s.json")).text();
    assert!(both.contains("ratio") && both.contains("1.00"), "{both}");
    parpy("scale --from").arg(csv).done().fails(2, &["s.csv", ".json or .h5"]);
    let other = dir.write("other.json", "{}");
    parpy("scale --from").arg(other).done().fails(1, &["other.json", "no scaling study"]);
    parpy("scale --from nosuch.json").done().fails(1, &["nosuch.json", "No such file"]);
}

#[test]
fn what_cannot_be_under_mpirun_is_refused_before_anything_runs() {
    if !has_mpi() {
        return;
    }
    let run = parpy("scale map --range 0..1000 --patterns").ranks(2);
    run.clone().args("serial,pool").done().fails(2, &["pool", "cannot be forked from an MPI rank"]);
    run.clone().args("serial,mpi --workers 2,4").done().fails(2, &["there are only 2 ranks", "mpirun -n 4"]);
}

#[test]
fn a_killed_rank_costs_its_points_and_no_others() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    // The function sleeps, so that there is time.
    let run = parpy(
        "scale map --range 0..100 --function nap --patterns serial,mpi --workers 1,2 --repeat 1 --save",
    );
    let run = run.arg(dir.path("s.json")).var("PATH", &shim(&dir));
    let child = run.spawn();
    // Serial and one rank have been measured: what there is is seen while mpirun still runs.
    until(|| (points_so_far(&dir, "s.json") >= 2).then_some(()));
    // Ranks of this study are those that name its file on their command line, and in their environment the file for
    // what they find.
    let file = dir.path("s.json").display().to_string();
    let of_process = |pid: &u32, what: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let is_rank = |pid: &u32| {
        let environ = of_process(pid, "environ");
        of_process(pid, "cmdline").contains(&file)
            && environ.contains("PARPY_SCALE_MPI_INTO")
            && (environ.contains("OMPI_COMM_WORLD_RANK") || environ.contains("PMI_RANK"))
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    kill("-KILL", pids.filter(is_rank).max().expect("there are ranks"));
    let done = Done::of(&run, child.wait_with_output().unwrap());
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(done.stderr.contains("1 of 3 points has no time; mpi with 2 workers"), "{}", done.stderr);
    assert_eq!(names(&points(&dir, "s.json")), ["serial 1", "mpi 1", "mpi 2"]);
}

#[test]
fn an_input_that_fails_has_no_table() {
    for run in
        [parpy("scale map --range 9223372036854775800..9223372036854775807"), parpy("scale read nosuch")]
    {
        for ranks in if has_mpi() { vec![0, 3] } else { vec![0] } {
            let done = run.clone().ranks(ranks).done();
            assert!(done.stdout.is_empty());
            let why =
                if run.words().contains(&"nosuch".into()) { "cannot open nosuch" } else { "does not fit" };
            done.fails(1, &[why]);
        }
    }
}

#[test]
fn pictures_are_drawn_of_one_study_and_of_two() {
    let dir = Dir::new();
    let run = parpy("scale map --range 0..100000 --workers 1,2 --save").arg(dir.path("s.json")).arg("--plot");
    run.arg(dir.path("s.svg")).done().succeeds();
    let svg = String::from_utf8(dir.read("s.svg")).unwrap();
    for text in
        ["map square over 0..100000", "serial", "threads", "pool", "workers", "efficiency", "time of one run"]
    {
        assert!(svg.contains(text), "no {text}");
    }
    let both = parpy("scale --from").arg(dir.path("s.json")).arg(dir.path("s.json"));
    both.arg("--plot").arg(dir.path("both.png")).done().succeeds();
    let png = dir.read("both.png");
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert!(png.starts_with(b"\x89PNG") && (side(16), side(20)) == (3000, 960));
}

#[test]
fn tables_say_the_same_as_the_json() {
    let dir = Dir::new();
    parpy("scale map --range 0..1000 --save").arg(dir.path("s.json")).done().succeeds();
    parpy("scale --from").arg(dir.path("s.json")).arg("--save").arg(dir.path("s.csv")).done().succeeds();
    let csv = String::from_utf8(dir.read("s.csv")).unwrap();
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().unwrap();
    for (row, point) in rows.zip(points(&dir, "s.json")) {
        let cell = |name: &str| row[header.iter().position(|column| *column == name).unwrap()];
        assert_eq!(cell("pattern"), point["pattern"].as_str().unwrap());
        for name in ["workers", "cpus", "items", "bytes", "runs", "batch", "speedup", "startup_seconds"] {
            assert_eq!(cell(name).parse::<f64>().unwrap(), point[name].as_f64().unwrap(), "{name}");
        }
        let median = point["seconds"]["median"].as_f64().unwrap();
        assert_eq!(cell("seconds_median").parse::<f64>().unwrap(), median);
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_runs() {
    let dir = Dir::new();
    let out = dir.path("out.csv").display().to_string();
    let bad = [
        ("scale", "scale what?"),
        ("scale map 1 --workers 1,0", "a number of workers is from 1"),
        ("scale map 1 --workers 1,x", "'x' is not a whole number"),
        ("map 1 2 --workers 1,2", "only parpy scale"),
        ("scale map 1 --patterns serial,auto", "auto"),
        ("scale map 1 --patterns serial -p pool", "the same here"),
        ("scale map 1 --save s.txt", ".json, .csv or .h5"),
        ("scale map 1 --plot s.pdf", ".svg"),
        ("scale map 1 -o -", "-o FILE"),
        ("scale map 1 --report", "is its own report"),
        ("scale map --from -", "read only once"),
        ("scale map 1 --repeat 0", "--repeat 0"),
        ("scale map 1 --quick --repeat 9", "--repeat"),
        ("scale map 1 --weak -o x.txt", "-o"),
        ("scale map 1 --keep-going", "--keep-going"),
        ("scale map 1 --threads 2", "--threads"),
        ("scale map", "nothing to time"),
        ("scale map --range 5..5", "nothing to time"),
        ("scale --from a.json --quick", "--from"),
        ("scale --from a.json b.json c.json", "--from"),
    ];
    for (words, part) in bad {
        let done = parpy(words).done();
        assert!(done.code == 2 && done.stderr.contains(part), "{words}: {}\n{}", done.code, done.stderr);
        assert!(done.stdout.is_empty(), "{words}");
    }
    let done = parpy("scale map 1 -o").arg(&out).arg("--save").arg(&out).done();
    assert!(done.code != 0, "{}", done.stderr);
    parpy("scale map 1 --save /nowhere/s.json").done().fails(1, &["/nowhere/s.json"]);
    parpy("scale map 1 --plot /nowhere/s.svg").done().fails(1, &["/nowhere/s.svg"]);
    assert_eq!(dir.names(), Vec::<String>::new());
}

#[test]
fn what_was_measured_before_ctrl_c_is_kept() {
    let dir = Dir::new();
    // A process for each value: the second point takes long.
    let run = parpy("scale map --range 0..100000 --workers 1 --patterns serial,process --save");
    let run = run.arg(dir.path("s.json"));
    let child = run.spawn();
    until(|| (points_so_far(&dir, "s.json") > 0).then_some(()));
    // `timeout` passes the signal on.
    kill("-INT", child.id());
    let done = Done::of(&run, child.wait_with_output().unwrap());
    assert!(String::from_utf8_lossy(&done.stdout).contains("serial"));
    done.fails(130, &["stopped by Ctrl-C"]);
    assert_eq!(names(&points(&dir, "s.json")), ["serial 1"]);
    assert_eq!(studies(&dir, "s.json")["complete"], false);
}
