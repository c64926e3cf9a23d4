//! Tasks over ranks: blocks that go to whichever rank is free, one by one, to ranks that share rank 0's memory and, with
//! PARPY_MPI_SHARED=never, to ranks that do not.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::dsl::*;

/// How ranks meet: in shared memory, or by messages.
const WAYS: [&str; 2] = ["always", "never"];

/// Over so many ranks, which meet in this way.
fn over(ranks: usize, way: &str, args: &str) -> Run {
    parpy(args).ranks(ranks).var("PARPY_MPI_SHARED", way)
}

/// The report of a run that succeeds.
fn report(run: Run) -> Value {
    let dir = Dir::new();
    let path = dir.path("r.json");
    run.args("-o none --report").arg(&path).done().succeeds();
    serde_json::from_slice(&dir.read("r.json")).unwrap()
}

/// Items of each worker.
fn items(report: &Value) -> Vec<u64> {
    report["worker"].as_array().unwrap().iter().map(|worker| worker["items"].as_u64().unwrap()).collect()
}

#[test]
fn every_schedule_gives_the_same_bytes() {
    if !has_mpi() {
        return;
    }
    let expected = parpy("map --range 0..3000 -p serial").text();
    for way in WAYS {
        for (ranks, schedule) in [
            (1, "--schedule dynamic,1"),
            (2, "--schedule dynamic,1"),
            (3, "--schedule guided"),
            (2, "--schedule adaptive --threads 2"),
            (3, "--schedule dynamic --threads 2"),
            (3, "--schedule dynamic,7 -j 2"),
        ] {
            let text = over(ranks, way, "map --range 0..3000 -q").args(schedule).text();
            assert!(text == expected, "{way} {ranks} {schedule}");
        }
        // More ranks than items, and no items at all.
        assert_eq!(over(5, way, "map 3 4 --schedule dynamic,1").text(), "9\n16\n");
        assert_eq!(over(3, way, "map -q --schedule guided --from /dev/null").text(), "");
        let repeated = over(3, way, "map 3 4 --schedule adaptive --repeat 3");
        assert_eq!(repeated.text(), "9\n16\n");
    }
}

/// Rounds are for blocks by turns, and for what takes no time.
#[test]
fn the_report_says_how_blocks_got_to_ranks() {
    if !has_mpi() {
        return;
    }
    for (args, transport) in [
        ("", "rounds"),
        ("--schedule static", "rounds"),
        ("--schedule static,2 -f collatz", "rounds"),
        ("--schedule dynamic", "tasks"),
        ("--schedule guided", "tasks"),
        ("--schedule adaptive", "tasks"),
        ("-f collatz", "tasks"),
    ] {
        let run = parpy("map --range 1..100").args(args).ranks(2);
        assert_eq!(report(run.clone())["mpi"]["transport"], transport, "{args}");
        let done = run.args("-o none --report").done().succeeds();
        assert!(done.stderr.starts_with(&format!("mpi ({transport}), 2 workers: ")), "{}", done.stderr);
    }
}

/// Answers that are longer than the room for them, in the middle of others that are not.
#[test]
fn long_answers_come_in_chunks() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    let long = |i: usize| "a long line ".repeat(if i % 5 == 2 { 20_000 } else { i % 3 });
    let lines: String = (0..40).map(|i| long(i) + "\n").collect();
    let path = dir.write("lines", &lines);
    for way in WAYS {
        for schedule in ["dynamic,1", "adaptive"] {
            let upper = over(3, way, "map -f upper --schedule").arg(schedule).arg("--lines").arg(&path);
            assert!(upper.text() == lines.to_uppercase(), "{way} {schedule}");
        }
        let read = over(3, way, "read --schedule dynamic,10").arg(&path);
        assert!(read.text() == lines, "{way}");
    }
}

/// Rows that rank 0 alone can read.
#[test]
fn rows_travel() {
    if !has_mpi() {
        return;
    }
    let numbers: String = (0..2000).map(|i| format!("{i}\n")).collect();
    let squares: String = (0..2000).map(|i| format!("{}\n", i * i)).collect();
    let dir = Dir::new();
    let table: String = (0..300).map(|i| format!("\"{}\",{i}\n", "name ".repeat(i % 9))).collect();
    let table = dir.write("t.csv", format!("name,n\n{table}"));
    let lengths = parpy("map -p serial -f").arg("length(name) + n").arg("--from").arg(&table).text();
    for way in WAYS {
        for schedule in ["dynamic,1", "dynamic,100", "guided", "adaptive,3"] {
            let run = over(3, way, "map --from - --schedule").arg(schedule);
            assert!(run.stdin(&*numbers).text() == squares, "{way} {schedule}");
            let run = over(3, way, "map --schedule").arg(schedule).arg("-f").arg("length(name) + n");
            assert_eq!(run.arg("--from").arg(&table).text(), lengths, "{way} {schedule}");
        }
    }
}

/// An answer that is there is not held back while more input is awaited.
#[test]
fn input_that_trickles() {
    if !has_mpi() {
        return;
    }
    for way in WAYS {
        let mut child = over(3, way, "map --from - --schedule dynamic,1").spawn();
        let mut stdin = child.stdin.take().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        for i in 1..6 {
            stdin.write_all(format!("{i}\n").as_bytes()).unwrap();
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            assert_eq!(line, format!("{}\n", i * i), "{way}");
        }
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn items_without_an_answer() {
    if !has_mpi() {
        return;
    }
    for args in [
        "map 1 2 3 3037000500 5 6 7 8 --schedule dynamic,1",
        "map 1 2 3 3037000500 5 6 7 8 --schedule dynamic,1 -k",
        "map --range 3037000000..3037001000 --schedule guided -k",
        "map --range 3037000000..3037001000 --schedule dynamic,3",
    ] {
        let serial = parpy(args).args("-q -p serial").done();
        for way in WAYS {
            let got = over(3, way, args).args("-q").done();
            assert!(got.stdout == serial.stdout, "{args} {way}: {}", got.stderr);
            assert_eq!((got.code, got.said()), (serial.code, serial.said()), "{args} {way}");
        }
    }
}

/// Others that are in the middle of long items leave soon, because nobody wants them.
#[test]
fn a_failure_is_not_kept_waiting() {
    if !has_mpi() {
        return;
    }
    for way in WAYS {
        let began = Instant::now();
        let run = over(3, way, "map 0 30 31 32 --schedule dynamic,1 --exec sh -c");
        let done = run.arg("sleep 0.5; sleep {}; exit $((1 - {} / 30))").done();
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(began.elapsed() < Duration::from_secs(15), "{way}: {:?}", began.elapsed());
    }
}

/// A full disk, and a reader that has left.
#[test]
fn outputs_that_take_no_more() {
    if !has_mpi() {
        return;
    }
    for way in WAYS {
        let run = over(3, way, "map --range 0..100000 --schedule dynamic,100 -o /dev/full");
        let done = run.done();
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert_eq!(done.stderr.matches("No space left").count(), 1, "{}", done.stderr);
        let script = format!(
            "PARPY_MPI_SHARED={way} {} -n 3 {BINARY} map --range 0..100000000 --schedule dynamic,1000 | head -n 2",
            mpirun()
        );
        let output = program("sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(output.stdout, b"0\n1\n", "{way}");
    }
}

/// Whoever is asked to stop, all ranks or one of them, all end, and what was done is kept.
#[test]
fn signals() {
    if !has_mpi() {
        return;
    }
    for way in WAYS {
        for (signal, code, whom) in [("-INT", 130, None), ("-TERM", 143, Some(0)), ("-USR1", 138, Some(2))] {
            let dir = Dir::new();
            let naps = "5 5 5 5 5 5 ".to_owned() + &"200 ".repeat(200);
            let run = over(3, way, "-vv map -f nap --schedule dynamic,1 -o");
            let mut child = run.arg(dir.path("out.txt")).args(&naps).spawn();
            let mut log = BufReader::new(child.stderr.take().unwrap());
            let pids = pids_of(3, &mut log);
            until(|| {
                let name = dir.names().into_iter().find(|name| name.ends_with(".partial"))?;
                dir.read(&name).starts_with(b"25\n25\n").then_some(())
            });
            let began = Instant::now();
            match whom {
                None => kill_all(signal, &pids),
                Some(rank) => kill(signal, pids[rank]),
            }
            let mut said = String::new();
            log.read_to_string(&mut said).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(code), "{way} {whom:?}: {said}");
            assert_eq!(said.matches("parpy: stopped by").count(), 1, "{said}");
            assert!(began.elapsed() < Duration::from_secs(5), "{way} {whom:?}: {:?}", began.elapsed());
            let kept = String::from_utf8(dir.read("out.txt.partial")).unwrap();
            let whole = "25\n".repeat(6) + &"40000\n".repeat(200);
            assert!(kept.len() >= 6 && whole.starts_with(&kept), "{kept}");
        }
    }
}

/// What each of several ranks, which have been started with `-v`, says its process is, in order.
fn pids_of(ranks: usize, log: &mut impl BufRead) -> Vec<u32> {
    let mut pids = vec![0; ranks];
    while pids.contains(&0) {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "ended before all ranks were there");
        if line.contains(&format!(" of {ranks}, ")) {
            let words: Vec<&str> = line.split([' ', '[']).collect();
            let after = |word| words.iter().skip_while(move |w| **w != word).nth(1);
            let rank = words.iter().skip_while(|word| **word != "DEBUG").nth(2).unwrap();
            pids[rank.parse::<usize>().unwrap()] = after("pid").unwrap().parse().unwrap();
        }
    }
    pids
}

/// Every rank has its share of many items, rank 0 as well.
#[test]
fn every_rank_has_its_share() {
    if !has_mpi() {
        return;
    }
    for way in WAYS {
        let run = over(3, way, "map -f nap --schedule dynamic,1").args(&"1 ".repeat(600));
        let items = items(&report(run));
        assert_eq!(items.iter().sum::<u64>(), 600);
        assert!(items.iter().all(|items| *items >= 120), "{way}: {items:?}");
    }
}

/// One item takes ten times as long as the others: nobody waits for it.
#[test]
fn a_long_item_keeps_nobody_waiting() {
    if !has_mpi() {
        return;
    }
    for way in WAYS {
        for place in [0, 31] {
            let naps: String = (0..64).map(|i| if i == place { "200 " } else { "20 " }).collect();
            let run = over(3, way, "map -f nap --schedule dynamic,1").args(&naps);
            let seconds = report(run)["seconds"]["map"].as_f64().unwrap();
            // A third of the naps; by turns it would be 0.6 s. Half as much again, for a machine that runs all tests.
            let best = (63.0 * 0.02 + 0.2) / 3.0;
            assert!(seconds < 1.5 * best, "{way} {place}: {seconds} s, and {best} s at best");
        }
    }
}

/// Processor time of a run and all of its ranks, in seconds.
fn processor_time(run: &Run) -> f64 {
    let words: Vec<String> = run.words().iter().map(|word| word.display().to_string()).collect();
    let way = run.command().get_envs().find_map(|(name, value)| {
        (name == "PARPY_MPI_SHARED").then(|| value.unwrap().to_str().unwrap().to_owned())
    });
    let script = format!(
        "PARPY_MPI_SHARED={} {} -n {} {BINARY} {} > /dev/null; times",
        way.unwrap(),
        mpirun(),
        run.ranks,
        words.join(" ")
    );
    let output = program("bash").arg("-c").arg(script).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // `0m0.1s 0m0.0s` of the shell, and below it of its children.
    let seconds = |word: &str| -> f64 {
        let (minutes, seconds) = word.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    };
    text.lines().nth(1).unwrap().split_whitespace().map(seconds).sum()
}

/// Ranks that have nothing to do sleep.
#[test]
fn idle_ranks_take_no_processor_time() {
    if !has_mpi() {
        return;
    }
    for way in WAYS {
        let time = |nap: &str| processor_time(&over(4, way, "map -f nap --schedule dynamic,1").arg(nap));
        // What starting takes is in both; spinning, two cores would be busy for all of the four seconds.
        let (short, long) = (time("0"), time("4000"));
        assert!(long - short < 1.5, "{way}: {short} s, and {long} s with an item of 4 s");
    }
}
