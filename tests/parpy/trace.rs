//! `--trace`: who worked on which block when, as a trace viewer reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use serde_json::Value;

use crate::by_rank::by_rank;
use crate::dsl::*;

/// Microseconds that the sums of two floats may differ.
const ROUNDING: f64 = 0.01;

/// A trace that has been read back.
struct Trace {
    json: Value,
    report: Value,
}

/// Runs it with a trace and without, and sees that the results are the same bytes.
fn trace(dir: &Dir, run: &Run) -> Trace {
    let plain = run.done().succeeds();
    let traced = run.clone().arg("--trace").arg(dir.path("t.json")).arg("--report").arg(dir.path("r.json"));
    let traced = traced.done().succeeds();
    assert!(plain.stdout == traced.stdout, "{:?}: not the same results with --trace", run.words());
    let trace = Trace::read(dir);
    trace.check();
    trace
}

impl Trace {
    fn read(dir: &Dir) -> Self {
        let read = |name: &str| serde_json::from_slice(&dir.read(name)).unwrap();
        Self { json: read("t.json"), report: read("r.json") }
    }

    fn events(&self, ph: &str) -> Vec<&Value> {
        let events = self.json["traceEvents"].as_array().unwrap();
        events.iter().filter(|event| event["ph"] == ph).collect()
    }

    fn blocks(&self) -> Vec<&Value> {
        self.events("X").into_iter().filter(|event| event["cat"] == "block").collect()
    }

    /// Numbers of the blocks' args.
    fn args(&self, key: &str) -> Vec<u64> {
        self.blocks().iter().map(|event| event["args"][key].as_u64().unwrap()).collect()
    }

    fn names(&self, kind: &str) -> BTreeMap<(u64, u64), &str> {
        let named = self.events("M").into_iter().filter(|event| event["name"] == kind);
        named.map(|event| (track(event), event["args"]["name"].as_str().unwrap())).collect()
    }

    fn process_names(&self) -> Vec<&str> {
        self.names("process_name").into_values().collect()
    }

    /// What every trace has.
    fn check(&self) {
        assert_eq!(self.json["displayTimeUnit"], "ms");
        let about = &self.json["otherData"];
        assert_eq!(about["parpy_version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(about["pattern"], self.report["pattern"]);
        let all = self.json["traceEvents"].as_array().unwrap();
        assert_eq!(self.events("X").len() + self.events("M").len(), all.len(), "other kinds of events");
        for event in all {
            for key in ["name", "cat", "ph"] {
                assert!(!event[key].as_str().unwrap().is_empty(), "{event}");
            }
            assert!(event["ts"].is_f64() && event["args"].is_object(), "{event}");
            // Viewers take process 0 for the kernel's.
            assert!(event["pid"].as_u64().unwrap() > 0, "{event}");
        }
        let mut tracks = BTreeMap::<_, Vec<(f64, f64)>>::new();
        let (processes, threads) = (self.names("process_name"), self.names("thread_name"));
        for event in self.events("X") {
            let span = span(event);
            assert!(span.0 >= 0.0 && span.1 >= span.0, "{event}");
            tracks.entry(track(event)).or_default().push(span);
            assert!(processes.contains_key(&(track(event).0, 0)), "{event}");
            assert!(threads.contains_key(&track(event)), "{event}");
        }
        for (track, mut spans) in tracks {
            spans.sort_by(|a, b| a.0.total_cmp(&b.0));
            for pair in spans.windows(2) {
                assert!(pair[0].1 <= pair[1].0 + ROUNDING, "events of {track:?} overlap: {pair:?}");
            }
        }
        let end = self.events("X").into_iter().map(|event| span(event).1).fold(0.0, f64::max);
        let runs = self.events("X").into_iter().filter(|event| event["cat"] == "run");
        let runs: Vec<(f64, f64)> = runs.map(span).collect();
        assert!(end <= runs.last().unwrap().1 + ROUNDING, "something goes on after the end of the run");
        if let [only] = &runs[..] {
            let total = self.report["seconds"]["total"].as_f64().unwrap() * 1e6;
            assert!(only.0 == 0.0 && (only.1 - total).abs() < 1.0, "{only:?} is not {total}");
        }
        let count = |key: &str| self.report[key].as_u64().unwrap();
        if runs.len() == 1 {
            assert_eq!(self.args("items").iter().sum::<u64>(), count("items"));
            assert_eq!(self.args("bytes").iter().sum::<u64>(), count("bytes"));
        }
        let report = self.report["worker"].as_array().unwrap();
        for worker in self.args("worker") {
            assert!(report.iter().any(|known| known["worker"] == worker), "no worker {worker} in the report");
        }
    }

    /// Every value or byte is in one block, and in one only.
    #[track_caller]
    fn covers(&self, extent: u64) {
        let first = |event: &&&Value| event["args"].get("piece").is_none();
        let blocks = self.blocks();
        let ends = |event: &&Value| (event["args"]["start"].as_u64(), event["args"]["end"].as_u64());
        let mut blocks: Vec<_> = blocks.iter().filter(first).map(ends).collect();
        blocks.sort();
        let mut next = 0;
        for (start, end) in blocks {
            assert_eq!(start, Some(next));
            next = end.unwrap();
        }
        assert_eq!(next, extent);
    }
}

fn track(event: &Value) -> (u64, u64) {
    (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap())
}

/// When it begins and ends.
fn span(event: &Value) -> (f64, f64) {
    let begin = event["ts"].as_f64().unwrap();
    (begin, begin + event["dur"].as_f64().unwrap())
}

/// Ways to run, of one machine and over ranks.
fn ways() -> Vec<Run> {
    let local = [
        "-p serial",
        "-p simd",
        "-j 1",
        "-p threads -j 3 --schedule dynamic,7",
        "-p threads -j 2 --schedule static",
        "-p process -j 2 --schedule dynamic,50",
        "-p pool -j 2",
        "-p pool -j 3 --schedule guided,5",
    ];
    let mut ways: Vec<Run> = local.map(parpy).into();
    if has_mpi() {
        ways.extend([1, 2, 3].map(|ranks| parpy("--schedule static,40").ranks(ranks)));
        ways.push(parpy("--threads 2").ranks(2));
        ways.push(parpy("-j 2").ranks(3));
        ways.push(parpy("").ranks(2).var("PARPY_MPI_SHARED", "always"));
    }
    ways
}

#[test]
fn blocks_of_every_pattern_cover_the_input_once() {
    let dir = Dir::new();
    let text = dir.write("text", (0..400).map(|i| format!("line {i}\n")).collect::<String>());
    let size = std::fs::metadata(&text).unwrap().len();
    for way in ways() {
        trace(&dir, &way.then(&parpy("map --range 0..300"))).covers(300);
        trace(&dir, &way.then(&parpy("map --from -")).stdin("5\n6\n7\n8\n")).covers(4);
        for action in ["text", "count"] {
            trace(&dir, &way.then(&parpy("read --do").arg(action).arg(&text))).covers(size);
        }
    }
}

#[test]
fn more_ranks_than_items() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    let trace = trace(&dir, &parpy("map 3 4").ranks(5));
    trace.covers(2);
    // Those that have nothing to do are shown, too.
    assert_eq!(trace.process_names().len(), 5);
    // Of blocks without a value nothing is.
    assert_eq!(trace.args("items"), [1, 1]);
}

/// Clocks of other nodes are compared, and not taken for the same. How well that is done depends on how busy
/// the machine is; here it is only seen that it is done.
#[test]
fn clocks_of_other_nodes_are_compared() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    let on_one_axis = || {
        let trace = Trace::read(&dir);
        trace.covers(300);
        let total = trace.report["seconds"]["total"].as_f64().unwrap();
        for event in trace.blocks() {
            let (begin, end) = span(event);
            assert!(begin >= 0.0 && end < (total + 2.0) * 1e6, "{event} of {total} s");
        }
    };
    let words = ["map", "--range", "0..300", "--schedule", "static,40", "-o", "none"].map(OsString::from);
    let files = [("--trace", "t.json"), ("--report", "r.json")];
    let files = files.map(|(flag, name)| [flag.into(), dir.path(name).into_os_string()]);
    let words: Vec<OsString> = words.into_iter().chain(files.into_iter().flatten()).collect();
    let never = words.iter().fold(parpy("").ranks(3), |run, word| run.arg(word));
    never.var("PARPY_MPI_SHARED", "never").done().succeeds();
    on_one_axis();
    // A clock that differs as another computer's does.
    let elsewhere = ["unshare", "--time", "--monotonic", "5000", "--fork"];
    let can = program(elsewhere[0]).args(&elsewhere[1..]).arg("true").output().unwrap();
    if !can.status.success() {
        return skip("namespaces", "no process may have a clock of its own here");
    }
    let start = format!("'{BINARY}' \"$@\"");
    let script = by_rank(&format!("exec {start}"), &format!("exec {} {start}", elsewhere.join(" ")));
    let mut command = program(mpirun());
    command.args(["-n", "3", "sh", "-c", &script, "parpy"]).args(&words);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    on_one_axis();
}

#[test]
fn ranks_and_their_threads_have_tracks_of_their_own() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    let trace = trace(&dir, &parpy("map --range 0..100 --threads 2").ranks(3));
    let pids: Vec<u64> =
        trace.report["worker"].as_array().unwrap().iter().map(|w| w["pid"].as_u64().unwrap()).collect();
    for (rank, name) in trace.process_names().into_iter().enumerate() {
        assert!(name.starts_with(&format!("rank {rank} on host ")), "{name}");
        assert!(name.ends_with(&format!("(pid {})", pids[2 * rank])), "{name}");
    }
    for event in trace.blocks() {
        let worker = event["args"]["worker"].as_u64().unwrap();
        assert_eq!(track(event), (worker / 2 + 1, worker % 2 + 1));
        assert_eq!(event["args"]["pid"], pids[worker as usize]);
    }
}

#[test]
fn workers_have_names() {
    let dir = Dir::new();
    let threads = trace(&dir, &parpy("map --range 0..100 -p threads -j 2 --schedule static,10"));
    assert_eq!(threads.process_names().len(), 1);
    assert!(threads.process_names()[0].starts_with("parpy on host "));
    let names: BTreeSet<&str> = threads.names("thread_name").into_values().collect();
    assert!(names.contains("worker 0") && names.contains("worker 1"), "{names:?}");
    let pool = trace(&dir, &parpy("map --range 0..100 -p pool -j 2 --schedule static,10"));
    let names = pool.process_names();
    assert!(names[1].starts_with("worker 0 on host ") && names[2].starts_with("worker 1"), "{names:?}");
    let process = trace(&dir, &parpy("map 1 2 3 4 -p process -j 2"));
    assert_eq!(process.args("pid").into_iter().collect::<BTreeSet<_>>().len(), 4);
    assert_eq!(process.blocks()[3]["name"], "value 4");
    assert_eq!(threads.blocks()[1]["name"], "values 11 to 20");
}

#[test]
fn an_answer_in_pieces_is_one_block() {
    let dir = Dir::new();
    let text =
        dir.write("text", [b"short\n".to_vec(), vec![b'x'; 1_200_000], b"\nshort\n".to_vec()].concat());
    for (args, ranks) in [("-p serial", 0), ("-p threads -j 2", 0), ("-p pool -j 2", 0), ("", 2)] {
        if ranks > 0 && !has_mpi() {
            continue;
        }
        let run = parpy("--schedule static,100000").args(args).ranks(ranks).then(&parpy("read").arg(&text));
        let trace = trace(&dir, &run);
        trace.covers(1_200_013);
        let names: Vec<&str> = trace.blocks().iter().map(|event| event["name"].as_str().unwrap()).collect();
        assert!(names.iter().any(|name| name.ends_with(", piece 2")), "{args}: {names:?}");
    }
}

/// What a killed worker had is shown once, with the worker that has done it.
#[test]
fn workers_that_die_leave_no_gap() {
    let dir = Dir::new();
    for pattern in ["pool", "process"] {
        let run = parpy("map 1 2 -9 4 5 6 7 8 -f die -k -q -j 5 --schedule dynamic,4 -p").arg(pattern);
        let run = run.arg("--trace").arg(dir.path("t.json")).arg("--report").arg(dir.path("r.json"));
        run.done().fails(1, &["1 item has no answer"]);
        let trace = Trace::read(&dir);
        trace.check();
        let mut starts: Vec<_> = trace.args("start").into_iter().zip(trace.args("end")).collect();
        starts.sort();
        assert_eq!(starts, [(0, 2), (3, 4), (4, 8)], "{pattern}");
    }
}

/// A worker of its own looks for what kills the others, while those are at work: nobody does two things at a time.
#[test]
fn who_helps_out_is_nobody_who_is_at_work() {
    if !cfg!(debug_assertions) {
        return;
    }
    let dir = Dir::new();
    let files = [("--trace", "t.json"), ("--report", "r.json")];
    let common = "map --range=-9..35999991:9 -f die -k -q -j 2 --schedule dynamic,2000000 -o none -p";
    // They meet most times, but not each time.
    for pattern in ["pool", "process"].repeat(4) {
        let run = parpy(common).arg(pattern);
        let run = files.iter().fold(run, |run, (flag, name)| run.arg(*flag).arg(dir.path(name)));
        run.done().fails(1, &["-9 (no. 1) has killed 2 workers"]);
        let trace = Trace::read(&dir);
        trace.check();
        assert_eq!(trace.args("items").iter().sum::<u64>(), 3_999_999, "{pattern}");
    }
}

#[test]
fn runs_and_tasks_follow_one_another() {
    let dir = Dir::new();
    for ranks in crate::data::ways() {
        let repeated = trace(&dir, &parpy("map --range 0..50 --repeat 3 -o none").ranks(*ranks));
        let runs = repeated.events("X").into_iter().filter(|event| event["cat"] == "run");
        let names: Vec<&str> = runs.map(|event| event["name"].as_str().unwrap()).collect();
        let of = "map square over 0..50";
        assert_eq!(names, [1, 2, 3].map(|run| format!("{of}, run {run}")));
        let numbers: BTreeSet<u64> = repeated.args("run").into_iter().collect();
        assert_eq!(numbers.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
        let tasks = trace(&dir, &parpy("run jobs/shakespeare.toml jobs/sample.txt").ranks(*ranks));
        let of: BTreeSet<&str> =
            tasks.blocks().iter().map(|event| event["args"]["task"].as_str().unwrap()).collect();
        let of: Vec<&str> = of.into_iter().collect();
        let names = ["count", "text"].map(|what| format!("read jobs/sample.txt ({what})"));
        assert_eq!(of, [format!("task 1: {}", names[0]), format!("task 2: {}", names[1])]);
        assert_eq!(tasks.json["otherData"]["tasks"], serde_json::json!(names));
    }
}

#[test]
fn loading_and_writing_have_a_track() {
    let dir = Dir::new();
    let numbers = dir.write("n", "7\n".repeat(20_000));
    for ranks in crate::data::ways() {
        let run = parpy("map --from").arg(&numbers).arg("-o").arg(dir.path("out.txt")).ranks(*ranks);
        let trace = trace(&dir, &run);
        for (chore, key) in [("load", "load"), ("write", "write")] {
            let spans = trace.events("X").into_iter().filter(|event| event["cat"] == chore).map(span);
            let sum: f64 = spans.map(|(begin, end)| end - begin).sum();
            let seconds = trace.report["seconds"][key].as_f64().unwrap();
            // Shorter ones than anybody could see are left out.
            assert!(sum > 0.0 && sum <= seconds * 1e6 + 1.0, "{chore}: {sum} µs of {seconds} s");
        }
    }
}

#[test]
fn what_was_done_before_a_failure_is_kept() {
    let dir = Dir::new();
    let job = "[[task]]\nmap = { values = [1, 2] }\n[[task]]\nmap = { values = [3037000500] }\n";
    let job = dir.write("job.toml", job);
    for ranks in crate::data::ways() {
        let run = parpy("run --report").arg(dir.path("r.json")).arg("--trace").arg(dir.path("t.json"));
        run.arg(&job).ranks(*ranks).done().fails(1, &["task 2", "3037000500"]);
        Trace::read(&dir).check();
        Trace::read(&dir).covers(2);
    }
    // Nothing at all is a trace as well.
    let done = parpy("map 3037000500 --trace").arg(dir.path("none.json")).done();
    done.fails(1, &["3037000500"]);
    let json: Value = serde_json::from_slice(&dir.read("none.json")).unwrap();
    let events = json["traceEvents"].as_array().unwrap();
    assert!(
        events.iter().any(|event| event["cat"] == "run")
            && events.iter().all(|event| event["cat"] != "block")
    );
}

#[test]
fn traces_replace_nothing_and_must_be_writable() {
    let dir = Dir::new();
    dir.write("n.txt", "1\n");
    let job = "[[task]]\nmap = { values = [3] }\n";
    dir.write("job.toml", job);
    dir.write("job.json", "{\"parpy\": {\"job\": \"[[task]]\\nmap = { values = [3] }\\n\"}}");
    std::os::unix::fs::symlink("n.txt", dir.path("link.json")).unwrap();
    std::os::unix::fs::symlink("out.txt", dir.path("dangling.json")).unwrap();
    std::os::unix::fs::symlink("r.json", dir.path("report.json")).unwrap();
    parpy("map 3 -o out.txt").folder(dir.path("")).done().succeeds();
    for ranks in crate::data::ways() {
        let fails = |args: &str, code: i32, parts: &[&str]| {
            parpy(args).folder(dir.path("")).ranks(*ranks).done().fails(code, parts);
        };
        fails("map 1 --trace t.txt", 2, &["--trace t.txt", "ends in .json"]);
        fails("map 1 --trace t", 2, &["ends in .json"]);
        fails("map 1 -o t.json --trace ./t.json", 2, &["the results go to this file", "trace"]);
        fails("map 1 --report=t.json --trace t.json", 2, &["the report goes to this file"]);
        fails("map 1 --trace no/t.json", 1, &["cannot write no/t.json"]);
        fails(
            "map 1 --report=r.json --trace report.json",
            1,
            &["the trace to report.json: it is also r.json"],
        );
        fails("map --from n.txt --trace link.json", 1, &["the trace to link.json: it is also n.txt"]);
        fails("map 4 -o out.txt --trace dangling.json", 1, &["it is also out.txt"]);
        fails("run job.json --trace job.json", 1, &["the trace to job.json: it is also job.json"]);
        assert!(!dir.path("t.json").exists());
    }
    assert_eq!((dir.read("out.txt"), dir.read("n.txt")), (b"9\n".to_vec(), b"1\n".to_vec()));
    parpy("cpus --trace t.json").folder(dir.path("")).done().fails(2, &["parpy cpus"]);
}

#[test]
fn of_a_run_that_fails_there_is_what_was_done_before() {
    let dir = Dir::new();
    for pattern in ["serial", "threads -j 2", "pool -j 2"] {
        let run = parpy("map 1 2 3 3037000500 --schedule dynamic,1 -p").args(pattern).arg("--trace");
        run.arg(dir.path("t.json")).done().fails(1, &["3037000500"]);
        let trace: Value = serde_json::from_slice(&dir.read("t.json")).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let blocks = events.iter().filter(|event| event["cat"] == "block").count();
        assert!(blocks >= 3, "{pattern}: {blocks}");
    }
}
