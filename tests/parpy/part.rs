//! One part of an input, as the elements of a job array do it, and all parts joined again.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::data::*;
use crate::dsl::*;

/// Numbers of parts: one, fewer than there are CPUs in most machines, odd ones, and more than items.
const COUNTS: [usize; 5] = [1, 2, 3, 7, 12];

/// Maps of every kind of input, each with few values, with many, and with none.
fn maps(dir: &Dir) -> Vec<Run> {
    let text = dir.write("text.txt", b"\xef\xbb\xbf1\n  2 \r\n-3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n\n \n");
    let long: String =
        (0..5000).map(|i| format!("{}{}\n", if i % 3 == 0 { " " } else { "" }, i * 7)).collect();
    let long = dir.write("long.txt", long);
    // A quoted field goes over several lines.
    let csv = dir.write("table.csv", "name,x\n\"two\nlines\",1\nb,2\n\n\"c,\n\n\",3\nd,4\ne,5\n");
    let npy = npy(dir, "values.npy", "<f8", 777, |i| (i as f64 * 0.37).to_le_bytes());
    let mut maps = vec![
        parpy("map"),
        parpy("map 7 -8 9 0 11"),
        parpy("map 0.5 nan inf 1e300"),
        parpy("map --range 0..1000"),
        parpy("map --range 0..1:0.001"),
        parpy("map --range 10..0:-3 --dtype f64"),
        parpy("map --from").arg(text),
        parpy("map --from").arg(long).args("--dtype f64"),
        parpy("map --from").arg(format!("{}:x", csv.display())),
        parpy("map --from").arg(npy),
        parpy("map --from").arg(dir.write("empty.txt", "\n\n")),
    ];
    if cfg!(feature = "hdf5") {
        let values = dir.path("values.h5");
        parpy("map --range 0..300 -o").arg(&values).stdout();
        maps.push(parpy("map --from").arg(format!("{}:/output", values.display())));
    }
    maps
}

/// Texts whose lines are cut in every awkward place.
fn texts(dir: &Dir) -> Vec<PathBuf> {
    let long_line = [b"short\n".to_vec(), b"long ".repeat(700), b"\nshort".to_vec()].concat();
    let texts: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("newlines", b"\n\n\n\n\n"),
        ("one-line", b"a single line without an end"),
        ("crlf", b"one\r\ntwo\r\n\r\nfour\r\nfive"),
        ("long-line", &long_line),
        ("sample", include_bytes!("../../jobs/sample.txt")),
    ];
    texts.map(|(name, bytes)| dir.write(name, bytes)).into()
}

/// What all parts print, in order.
fn parts_of(run: &Run, count: usize) -> Vec<u8> {
    (1..=count).flat_map(|k| run.clone().args("--part").arg(format!("{k}/{count}")).stdout()).collect()
}

/// Makes all parts of what `run` writes to `file`.
fn make_parts(run: &Run, file: &Path, count: usize) {
    for k in 1..=count {
        run.clone().args("--part").arg(format!("{k}/{count}")).arg("-o").arg(file).done().succeeds();
    }
}

/// Makes all parts of what `run` writes to `file`, and joins them.
fn make(run: &Run, file: &Path, count: usize) {
    make_parts(run, file, count);
    join(run, file, count).succeeds();
}

fn join(run: &Run, file: &Path, count: usize) -> Done {
    run.clone().args("--join").arg(count.to_string()).arg("-o").arg(file).done()
}

#[test]
fn parts_in_order_are_the_whole() {
    let dir = Dir::new();
    let reads = texts(&dir).into_iter().map(|text| parpy("read").arg(text));
    for run in maps(&dir).into_iter().chain(reads) {
        let whole = run.clone().args("-p serial").stdout();
        for count in COUNTS {
            // Not assert_eq: it would print all of both.
            assert!(parts_of(&run, count) == whole, "{count} parts of {:?}", run.words());
        }
    }
}

#[test]
fn parts_are_joined_to_what_a_run_of_the_whole_writes() {
    let dir = Dir::new();
    for (i, run) in maps(&dir).into_iter().enumerate() {
        for extension in extensions() {
            let whole = dir.path(&format!("whole.{extension}"));
            run.clone().args("-p serial -o").arg(&whole).done().succeeds();
            for count in COUNTS {
                let file = dir.path(&format!("{i}-{count}.{extension}"));
                make(&run, &file, count);
                let what = format!("{count} parts of {:?} in {extension}", run.words());
                assert!(lasting(&file) == lasting(&whole), "{what}");
                // The parts stay.
                for k in 1..=count {
                    let part = dir.path(&format!("{i}-{count}.part-{k}-of-{count}.{extension}"));
                    assert!(part.exists(), "{what}: {}", part.display());
                }
            }
        }
    }
}

#[test]
fn lines_and_their_counts_are_joined() {
    let dir = Dir::new();
    for text in texts(&dir) {
        let name = text.file_name().unwrap().to_str().unwrap();
        for count in COUNTS {
            let run = parpy("read").arg(&text);
            let copy = dir.path(&format!("{name}-{count}.copy"));
            make(&run, &copy, count);
            assert!(
                std::fs::read(&copy).unwrap() == std::fs::read(&text).unwrap(),
                "{name} of {count} parts"
            );
            for extension in extensions().into_iter().filter(|extension| !["npy", "h5"].contains(extension)) {
                let (file, whole) =
                    (dir.path(&format!("count.{extension}")), dir.path(&format!("w.{extension}")));
                let run = parpy("read --do count").arg(&text);
                make(&run, &file, count);
                run.args("-o").arg(&whole).done().succeeds();
                assert!(lasting(&file) == lasting(&whole), "{name}, {count} parts in {extension}");
            }
        }
    }
}

#[cfg(feature = "hdf5")]
#[test]
fn sections_of_all_parts_stand_in_one_table() {
    use crate::hdf5::sections;
    let dir = Dir::new();
    for text in texts(&dir) {
        let bytes = std::fs::read(&text).unwrap();
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        for count in COUNTS {
            let file = dir.path("count.h5");
            make(&parpy("read --do count --schedule static,100").arg(&text), &file, count);
            let joined = sections(&file);
            let apart: Vec<[u64; 5]> = (1..=count)
                .flat_map(|k| sections(&dir.path(&format!("count.part-{k}-of-{count}.h5"))))
                .collect();
            assert_eq!(joined, apart);
            let ends: Vec<u64> = joined.iter().map(|section| section[1]).collect();
            let starts: Vec<u64> = joined.iter().map(|section| section[0]).collect();
            assert!(starts.iter().skip(1).eq(ends.iter().take(ends.len().saturating_sub(1))), "{joined:?}");
            assert_eq!(ends.last().copied().unwrap_or(0), bytes.len() as u64);
            assert_eq!(joined.iter().map(|section| section[2]).sum::<u64>(), lines);
        }
    }
}

#[test]
fn who_did_it_stays_with_each_value() {
    let dir = Dir::new();
    let run = parpy("map --range 0..20 --who -p pool -j 2 --schedule dynamic,3");
    for extension in ["csv", "jsonl", "txt"] {
        let file = dir.path(&format!("who.{extension}"));
        make(&run, &file, 3);
        let parts = (1..=3).map(|k| dir.read(&format!("who.part-{k}-of-3.{extension}")));
        let rows: Vec<u8> = parts
            .enumerate()
            .flat_map(|(i, part)| {
                let heading = if extension == "csv" && i > 0 {
                    part.iter().position(|b| *b == b'\n').unwrap() + 1
                } else {
                    0
                };
                part[heading..].to_vec()
            })
            .collect();
        assert_eq!(String::from_utf8(std::fs::read(&file).unwrap()), String::from_utf8(rows));
    }
    #[cfg(feature = "hdf5")]
    {
        make(&run, &dir.path("who.h5"), 3);
        let parts = (1..=3).flat_map(|k| dataset::<u32>(&dir.path(&format!("who.part-{k}-of-3.h5")), "rank"));
        assert_eq!(dataset::<u32>(&dir.path("who.h5"), "rank"), parts.collect::<Vec<_>>());
    }
}

#[test]
fn values_without_an_answer_are_joined_and_counted() {
    let dir = Dir::new();
    let run = parpy("map 1 9223372036854775807 3 4 3037000500 -3037000500 -k");
    for extension in extensions().into_iter().filter(|extension| *extension != "npy") {
        let whole = dir.path(&format!("whole.{extension}"));
        assert_eq!(run.clone().arg("-o").arg(&whole).done().code, 1);
        let file = dir.path(&format!("gaps.{extension}"));
        let codes: Vec<i32> = (1..=3)
            .map(|k| run.clone().args("--part").arg(format!("{k}/3")).arg("-o").arg(&file).done().code)
            .collect();
        assert_eq!(codes, [1, 0, 1]);
        join(&run, &file, 3).fails(1, &["3 items have no answer", "part 1/3"]);
        assert!(lasting(&file) == lasting(&whole), "{extension}");
    }
}

/// Joins parts of whole numbers from `start` on, so that the values from `failing` on have no answer, and compares
/// with what a run of the whole writes.
fn join_failing(dir: &Dir, extension: &str, values: std::ops::Range<u64>, count: u64, who: bool) {
    let gaps = values.end.saturating_sub(values.start.max(3_037_000_500));
    let run = parpy(&format!("map --range {}..{} -k -q", values.start, values.end));
    // Serial, so that the same process has answered or not answered all of it.
    let run = if who { run.args("--who -p serial") } else { run };
    let (whole, file) = (dir.path(&format!("whole.{extension}")), dir.path(&format!("gaps.{extension}")));
    for k in 1..=count {
        run.clone().args("--part").arg(format!("{k}/{count}")).arg("-o").arg(&file).done();
    }
    let what = format!("{values:?} in {count} parts, {extension}, --who {who}");
    let items = if gaps == 1 { "1 item has".into() } else { format!("{gaps} items have") };
    let said = join(&run, &file, count as usize).fails(1, &[]);
    assert!(said.stderr.replace(',', "").contains(&format!("{items} no answer")), "{what}: {}", said.stderr);
    if !who {
        assert_eq!(run.clone().arg("-o").arg(&whole).done().code, 1);
        assert!(lasting(&file) == lasting(&whole), "{what}");
    }
    let report = dir.path("report.json");
    join(&run.arg("--report").arg(&report), &file, count as usize).fails(1, &["no answer"]);
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let numbers = (report["items"].as_u64(), report["failed"].as_u64());
    assert_eq!(numbers, (Some(values.end - values.start - gaps), Some(gaps)), "{what}");
}

/// Bytes of a row of a value without an answer, as files of `extension` have it between two others.
fn gap_bytes(dir: &Dir, extension: &str) -> u64 {
    let size = |count: u64| {
        let file = dir.path(&format!("size.{extension}"));
        let end = 3_037_000_500 + count;
        let run = parpy(&format!("map --range 3037000500..{end} -k -q -o")).arg(&file);
        assert_eq!(run.done().code, 1);
        let bytes = std::fs::read(file).unwrap();
        // Behind the results of JSON stands what differs from run to run.
        memchr::memmem::find(&bytes, b"\n],").unwrap_or(bytes.len()) as u64
    };
    size(3) - size(2)
}

#[test]
fn gaps_are_counted_over_many_pieces_and_where_a_piece_is_full() {
    let dir = Dir::new();
    for extension in extensions().into_iter().filter(|extension| *extension != "npy") {
        // The gaps begin in the middle of a part, whose file is of several pieces.
        join_failing(&dir, extension, 3_036_900_000..3_037_100_000, 2, false);
        join_failing(&dir, extension, 3_036_990_000..3_037_040_000, 2, true);
        // As many as fill one piece in which parts are read back, and one more and one fewer.
        let full = match extension {
            "h5" => 64 * 1024,
            _ => (1024 * 1024u64).div_ceil(gap_bytes(&dir, extension)),
        };
        for count in [full - 1, full, full + 1] {
            join_failing(&dir, extension, 3_037_000_500..3_037_000_500 + count, 1, false);
        }
    }
}

#[test]
fn a_part_with_gaps_is_not_joined_as_if_it_had_none() {
    let dir = Dir::new();
    for extension in extensions().into_iter().filter(|extension| *extension != "npy") {
        let file = dir.path(&format!("out.{extension}"));
        let run = parpy("map 3037000499 3037000500 1");
        for k in 1..=2 {
            run.clone().args("-kq --part").arg(format!("{k}/2")).arg("-o").arg(&file).done();
        }
        let first = format!("1 value of {}", dir.path(&format!("out.part-1-of-2.{extension}")).display());
        join(&run, &file, 2).fails(1, &[&first, "give that to --join too"]);
        assert!(!file.exists());
        join(&run.clone().args("-k"), &file, 2).fails(1, &["1 item has no answer"]);
        // The other way round there is nothing to lose.
        let run = parpy("map 1 2 3");
        make_parts(&run, &file, 2);
        join(&run.clone().args("-k"), &file, 2).succeeds();
        run.args("-k -o").arg(dir.path(&format!("whole.{extension}"))).done().succeeds();
        assert!(lasting(&file) == lasting(&dir.path(&format!("whole.{extension}"))), "{extension}");
    }
}

/// Infinity is null in JSON, and no gap.
#[test]
fn infinite_answers_in_json_are_answers() {
    let dir = Dir::new();
    let file = dir.path("out.json");
    let run = parpy("map inf 1e300 nan 2 -k");
    make(&run, &file, 2);
    let run = parpy("map inf 1e300 -9 nan 2 -9 -f die -p pool -j 2 --retries 0 -q -k");
    for k in 1..=2 {
        run.clone().args("--part").arg(format!("{k}/2")).arg("-o").arg(&file).done();
    }
    join(&run, &file, 2).fails(1, &["2 items have no answer"]);
}

#[test]
fn positions_are_those_of_the_whole_input() {
    let dir = Dir::new();
    let fault = dir.write("fault.txt", "1\n2\n3\nfour\n5\n");
    parpy("map --part 2/2 --from").arg(&fault).done().fails(1, &["fault.txt, line 4: 'four'"]);
    assert_eq!(parpy("map --part 1/2 --from").arg(&fault).text(), "1\n4\n9\n");
    let fault = dir.write("fault.csv", "a\n1\n2\n3\nfour\n5\n");
    parpy("map --part 2/2 --from").arg(&fault).done().fails(1, &["fault.csv, line 5: 'four'"]);
    let die = parpy("map 1 2 3 4 5 -9 7 -f die -p pool -j 2 --retries 0 -q");
    die.args("--part 2/2").done().fails(1, &["value -9 (no. 6)"]);
}

#[test]
fn a_part_is_missing() {
    let dir = Dir::new();
    let run = parpy("map --range 0..10");
    let file = dir.path("out.csv");
    let part = |k: usize| run.clone().args("--part").arg(format!("{k}/8")).arg("-o").arg(&file);
    for k in [1, 3, 4] {
        part(k).done().succeeds();
    }
    let again = "--part 2/8, and so on, in place of --join 8; in a job array: --array=2,5-8";
    join(&run, &file, 8).fails(1, &["parts 2,5-8 of 8 are missing", "out.part-2-of-8.csv", again]);
    dir.write("out.part-6-of-8.csv.partial", "input,output\n");
    join(&run, &file, 8).fails(1, &["out.part-6-of-8.csv.partial is of one that was cut short"]);
    dir.write("out.part-7-of-8.csv.a1b2c3.partial", "input,output\n");
    join(&run, &file, 8)
        .fails(1, &["out.part-7-of-8.csv.a1b2c3.partial is of one that is being made, or was killed"]);
    for k in [2, 5, 7, 8] {
        part(k).done().succeeds();
    }
    join(&run, &file, 8).fails(1, &["part 6 of 8 is missing", "--array=6"]);
    // Of another number of parts.
    join(&run, &file, 4)
        .fails(1, &["parts 1-4 of 4 are missing", "there are parts of 8, which --join 8 joins"]);
    assert!(!file.exists());
    part(6).done().succeeds();
    join(&run, &file, 8).succeeds();
    run.args("-o").arg(dir.path("whole.csv")).done().succeeds();
    assert_eq!(dir.read("out.csv"), dir.read("whole.csv"));
}

#[test]
fn a_part_that_does_not_fit_is_refused_and_the_old_result_stays() {
    let dir = Dir::new();
    let run = parpy("map --range 0..100");
    for extension in extensions() {
        let file = dir.write(&format!("out.{extension}"), "what was there before");
        let refused = |run: &Run, parts: &[&str]| {
            let name = format!("out.part-2-of-3.{extension}");
            let parts = [&[&*name, "--part 2/3 in place of --join 3"], parts].concat();
            join(run, &file, 3).fails(1, &parts);
            assert_eq!(std::fs::read(&file).unwrap(), b"what was there before");
            assert!(!dir.names().iter().any(|name| name.contains("partial")), "{:?}", dir.names());
        };
        for k in 1..=3 {
            run.clone().args("--part").arg(format!("{k}/3")).arg("-o").arg(&file).done().succeeds();
        }
        let part = dir.path(&format!("out.part-2-of-3.{extension}"));
        let whole = std::fs::read(&part).unwrap();
        // Cut off in the middle, and of text also where a line ends.
        let line_end = whole.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        let line_end = whole[..line_end].iter().rposition(|byte| *byte == b'\n').unwrap_or(0) + 1;
        for len in [0, 5, whole.len() / 2, line_end, whole.len() - 1] {
            std::fs::write(&part, &whole[..len]).unwrap();
            refused(&run, &[]);
        }
        // Results of another input: as many as another share gives, and more.
        for other in ["map --range 0..90 --part 2/3", "map --range 0..1000 --part 2/3"] {
            parpy(other).arg("-o").arg(&file).done().succeeds();
            refused(&run, &[]);
        }
        std::fs::write(&part, &whole).unwrap();
        join(&run, &file, 3).succeeds();
    }
}

#[test]
fn what_is_of_another_job_is_refused_where_files_say_so() {
    let dir = Dir::new();
    for extension in extensions().into_iter().filter(|extension| ["json", "h5"].contains(extension)) {
        let file = dir.path(&format!("out.{extension}"));
        make(&parpy("map --range 0..10"), &file, 2);
        join(&parpy("map --range 1..11"), &file, 2).fails(1, &["another job has made it"]);
    }
    let file = dir.path("out.csv");
    make(&parpy("map --range 0..10"), &file, 2);
    join(&parpy("map --range 0..10 --who"), &file, 2).fails(1, &["does not begin with 'input,output,rank"]);
    let file = dir.path("out.npy");
    make(&parpy("map --range 0..10"), &file, 2);
    join(&parpy("map --range 0..10 --dtype f64"), &file, 2).fails(1, &["its type is i64, and not f64"]);
    let file = dir.path("lines.txt");
    make(&parpy("read jobs/sample.txt"), &file, 3);
    let other = dir.write("other.txt", "a\n".repeat(8600));
    join(&parpy("read").arg(other), &file, 3)
        .fails(1, &["lines.part-1-of-3.txt is not whole, or not of this job"]);
    let file = dir.path("count.txt");
    make(&parpy("read --do count jobs/sample.txt"), &file, 3);
    let other = dir.write("sample.txt", std::fs::read("jobs/sample.txt").unwrap());
    join(&parpy("read --do count").arg(other), &file, 3)
        .fails(1, &["what one file, which is the input, comes to"]);
}

#[test]
fn an_element_that_runs_again_and_fails_leaves_no_old_part() {
    let dir = Dir::new();
    let text = dir.write("values.txt", "1\n2\n3\n4\n");
    let file = dir.path("out.csv");
    let run = parpy("map --from").arg(&text);
    make(&run, &file, 2);
    std::fs::write(&text, "1\n2\n3\nvier\n").unwrap();
    run.clone().args("-q --part 2/2 -o").arg(&file).done().fails(1, &["line 4"]);
    join(&run, &file, 2).fails(1, &["part 2 of 2 is missing", "out.part-2-of-2.csv.partial"]);
}

#[test]
fn what_cannot_be_done_in_parts_says_so() {
    let dir = Dir::new();
    for (args, part) in [
        ("--part 1/2", "the demo"),
        ("--join 2", "the demo"),
        ("map 1 --part 0/2", "from 1 to N"),
        ("map 1 --part 3/2", "from 1 to N"),
        ("map 1 --part 1-2", "no '/'"),
        ("map 1 --part 1/99999999", "1000000 parts at the most"),
        ("map 1 --join 0 -o x.csv", "a number from 1"),
        ("map 1 --join -1 -o x.csv", "a number from 1"),
        ("map 1 --join 2", "-o FILE"),
        ("map 1 --join 2 -o -", "-o FILE"),
        ("map 1 --join 2 -o none", "-o FILE"),
        ("map 1 --join 2 --part 1/2 -o x.csv", "cannot be used with"),
        ("map --from - --part 1/2", "standard input can be read only once"),
        ("scale map 1 --part 1/2", "a study"),
        ("scale map 1 --join 2", "a study"),
    ] {
        parpy(args).done().fails(2, &[part]);
    }
    let pipe = dir.path("pipe");
    assert!(program("mkfifo").arg(&pipe).status().unwrap().success());
    parpy("map --part 1/2 --from").arg(&pipe).done().fails(2, &["pipe can be read only once"]);
    let people = dir.write("people.toml", "[[task]]\nmap = { range = \"0..3\" }\noutput = \"people\"\n");
    parpy("run").arg(people).args("--part 1/2").done().fails(2, &["people"]);
    // A report that would replace a part.
    make(&parpy("map 1 2"), &dir.path("out.json"), 2);
    let report = dir.path("out.part-2-of-2.json");
    let joins = parpy("map 1 2 --join 2 -o").arg(dir.path("out.json"));
    joins.arg("--report").arg(report).done().fails(1, &["would be replaced"]);
}

#[test]
fn what_could_not_be_joined_is_not_begun() {
    let dir = Dir::new();
    let (values, folder) = (dir.write("values.csv", "x\n1\n2\n"), dir.path("folder"));
    std::fs::create_dir(&folder).unwrap();
    let run = parpy("map --part 1/2 --from").arg(&values).arg("-o");
    run.clone().arg(&values).done().fails(1, &["values.csv: it is the input, and would be replaced"]);
    run.arg(&folder).done().fails(1, &["folder: it is a directory"]);
    assert_eq!(dir.names(), ["folder", "values.csv"]);
}

#[test]
fn a_part_behind_a_link_is_made_anew_like_others() {
    let dir = Dir::new();
    let (text, file) = (dir.write("values.txt", "1\n2\n3\n4\n"), dir.path("out.csv"));
    let run = parpy("map -q --from").arg(&text);
    std::os::unix::fs::symlink("elsewhere", dir.path("out.part-2-of-2.csv")).unwrap();
    make(&run, &file, 2);
    assert!(dir.path("elsewhere").exists());
    let joined = dir.read("out.csv");
    // It fails: no old part is left to be joined.
    std::fs::write(&text, "1\n2\n3\nvier\n").unwrap();
    run.clone().args("--part 2/2 -o").arg(&file).done().fails(1, &["line 4"]);
    join(&run, &file, 2).fails(1, &["part 2 of 2 is missing"]);
    std::fs::write(&text, "1\n2\n3\n4\n").unwrap();
    make(&run, &file, 2);
    assert_eq!(dir.read("out.csv"), joined);
    // A folder is no part.
    std::fs::remove_file(dir.path("out.part-1-of-2.csv")).unwrap();
    std::fs::create_dir(dir.path("out.part-1-of-2.csv")).unwrap();
    join(&run, &file, 2).fails(1, &["out.part-1-of-2.csv: it is a directory", "--part 1/2"]);
}

#[test]
fn every_task_of_a_job_has_its_parts() {
    let dir = Dir::new();
    let text = dir.write("text.txt", "a\nb\nc\nd\n");
    let job = dir.write(
        "job.toml",
        "[[task]]\nmap = { range = \"0..10\" }\noutput = \"squares.csv\"\n\
         [[task]]\nread = { file = \"$1\", do = \"count\" }\noutput = \"count\"\n",
    );
    let run = parpy("run").arg(job).arg(&text);
    for k in 1..=3 {
        run.clone().args("--part").arg(format!("{k}/3")).done().succeeds();
    }
    // A name without an extension is text, also that of a part.
    assert!(parpy("show").arg(dir.path("count.part-1-of-3")).done().stderr.is_empty());
    run.clone().args("--join 3").done().succeeds();
    let (squares, count) = (dir.read("squares.csv"), dir.read("count"));
    run.done().succeeds();
    assert_eq!((squares, count), (dir.read("squares.csv"), dir.read("count")));
}

#[cfg(feature = "hdf5")]
#[test]
fn a_part_says_which_it_is_and_can_be_made_again_from_what_it_says() {
    let dir = Dir::new();
    for extension in ["h5", "json"] {
        let file = dir.path(&format!("out.{extension}"));
        make(&parpy("map --range 0..10"), &file, 3);
        let part = dir.path(&format!("out.part-2-of-3.{extension}"));
        let shown = parpy("show").arg(&part).text();
        assert!(shown.contains("part: 2/3") && shown.contains("part = \"2/3\""), "{shown}");
        let shown = parpy("show").arg(&file).text();
        assert!(shown.contains("joined_parts: 3") && !shown.contains("part = "), "{shown}");
        let (before, names) = (lasting(&part), dir.names());
        parpy("run").arg(&part).done().succeeds();
        assert!(lasting(&part) == before);
        assert_eq!(dir.names(), names);
        // The joined file's job is that of the whole.
        let before = lasting(&file);
        parpy("run").arg(&file).done().succeeds();
        assert!(lasting(&file) == before);
    }
}

#[test]
fn reports_traces_and_repeats_work_of_a_part_and_of_a_join() {
    let dir = Dir::new();
    let file = dir.path("out.csv");
    let told = |run: Run, part: &str| {
        let file = |what: &str| dir.path(&format!("{what}{part}.json"));
        let run = run.arg("--report").arg(dir.path("report.json")).arg("--trace").arg(dir.path("trace.json"));
        run.args("--repeat 2").done().succeeds();
        let read = |what: &str| -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(file(what)).unwrap()).unwrap()
        };
        let (report, trace) = (read("report"), read("trace"));
        assert!(trace["traceEvents"].as_array().is_some_and(|events| !events.is_empty()));
        (report["pattern"].as_str().unwrap().to_owned(), report["items"].as_u64().unwrap())
    };
    let run = |args: &str| parpy("map --range 0..11 -o").arg(&file).args(args);
    assert_eq!(told(run("--part 1/2 -p serial"), ".part-1-of-2"), ("serial".into(), 6));
    assert_eq!(told(run("--part 2/2 -p pool"), ".part-2-of-2"), ("pool".into(), 5));
    // Elements of an array do not replace each other's, nor does anybody else's name stand there.
    assert!(!dir.path("report.json").exists() && !dir.path("trace.json").exists());
    assert_eq!(told(run("--join 2"), ""), ("join".into(), 11));
    assert_eq!(told(run("--part 1/2 -p serial"), ".part-1-of-2").1, 6);
    let clash =
        parpy("map 1 2 --part 1/2 -o").arg(dir.path("x.json")).arg("--report").arg(dir.path("x.json"));
    clash.done().fails(2, &["x.part-1-of-2.json: the results go to this file"]);
}

/// Ranks make parts as anybody does, and one of them alone joins.
#[test]
fn over_ranks() {
    if !has_mpi() {
        return;
    }
    let dir = Dir::new();
    for (extension, ranks) in extensions().into_iter().zip([2, 3, 2, 3, 2, 3]) {
        let run = parpy("map --range 0..100000 --schedule static,7000").ranks(ranks);
        let (file, whole) = (dir.path(&format!("out.{extension}")), dir.path(&format!("whole.{extension}")));
        make(&run, &file, 3);
        parpy("map --range 0..100000 -p serial -o").arg(&whole).done().succeeds();
        assert!(lasting(&file) == lasting(&whole), "{extension}");
        assert_eq!(join(&run, &file, 3).succeeds().stderr, "");
        join(&run, &file, 4).fails(1, &["parts 1-4 of 4 are missing"]);
    }
}

/// More than the pieces in which parts are read back, in no more memory than one of them takes.
#[test]
fn joining_takes_little_memory() {
    let dir = Dir::new();
    for extension in extensions() {
        let file = dir.path(&format!("large.{extension}"));
        let run = parpy("map --range 0..5000000");
        for k in 1..=2 {
            run.clone().args("--part").arg(format!("{k}/2")).arg("-o").arg(&file).done().succeeds();
        }
        let script =
            format!("ulimit -d 65536; exec {BINARY} map --range 0..5000000 --join 2 -o {}", file.display());
        let output = program("sh").args(["-c", &script]).output().unwrap();
        let done = Done::of(&run, output);
        done.succeeds();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_text_in_any_number_of_parts(
        text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..120),
        count in 1usize..9,
    ) {
        let dir = Dir::new();
        let run = parpy("read").arg(dir.write("text", &text));
        prop_assert_eq!(parts_of(&run, count), text);
    }

    #[test]
    fn any_lines_of_numbers_in_any_number_of_parts(
        lines in prop::collection::vec(prop_oneof!["-?[0-9]{1,6}", " [0-9]{1,3}\r"], 0..40),
        count in 1usize..9,
        ends in any::<bool>(),
    ) {
        let dir = Dir::new();
        let text = lines.join("\n") + if ends { "\n" } else { "" };
        let run = parpy("map --from").arg(dir.write("numbers.txt", text));
        prop_assert_eq!(parts_of(&run, count), run.stdout());
    }
}
