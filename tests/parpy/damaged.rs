//! HDF5 files that are damaged, that were left by a killed writer, or that refer to what is not there: always a
//! sentence, never a crash, and never values that nobody has written.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use hdf5::{File, Selection};

use crate::data::*;
use crate::dsl::*;
use crate::hdf5::Section;

/// A small file with a table, numbers and texts; its bytes.
fn small(dir: &Dir) -> Vec<u8> {
    let path = dir.path("small.h5");
    let file = File::create(&path).unwrap();
    let row = |i: u64| Section { start: i, end: i + 1, lines: 1, words: 2, bytes: 3 };
    file.new_dataset_builder().with_data(&[row(0), row(1)]).create("sections").unwrap();
    file.new_dataset_builder().with_data(&[7i64, 8, 9]).chunk(2).create("numbers").unwrap();
    file.close().unwrap();
    fs::read(path).unwrap()
}

/// Where the part of a type's header stands that is called `name`, and the number behind it: its place in a row.
fn place_of(bytes: &[u8], name: &str) -> usize {
    let at = bytes.windows(name.len() + 1).position(|w| w == format!("{name}\0").as_bytes()).unwrap();
    // Names fill up to a multiple of 8 bytes.
    at + (name.len() + 1).next_multiple_of(8)
}

#[test]
fn a_row_that_reaches_beyond_its_end() {
    let dir = Dir::new();
    let mut bytes = small(&dir);
    let at = place_of(&bytes, "words");
    assert_eq!(bytes[at..at + 4], 24u32.to_le_bytes());
    // Beyond the end, by much and by a little; into its neighbours is what the library itself notices.
    for (byte, value, why) in
        [(at + 3, 0xc9, "no room"), (at + 1, 1, "no room"), (at, 36, "no room"), (at, 8, "overlaps")]
    {
        let before = std::mem::replace(&mut bytes[byte], value);
        let path = dir.write("damaged.h5", &bytes);
        bytes[byte] = before;
        let done = parpy("show").arg(&path).done().fails(1, &["damaged.h5:/sections"]);
        // Later versions of the library (1.14.5) notice the first, too.
        let says_why = [why, "extends outside its parent"].iter().any(|why| done.stderr.contains(why));
        assert!(says_why, "no {why} in {}", done.stderr);
        // The other datasets are shown.
        assert!(String::from_utf8_lossy(&done.stdout).contains("/numbers 3, int64"));
    }
    // As it was.
    parpy("show").arg(dir.write("damaged.h5", &bytes)).done().succeeds();
}

/// How many runs must be made of files with one changed byte each, and which byte.
struct Flips<'a> {
    bytes: &'a [u8],
    dir: &'a Dir,
    next: AtomicUsize,
}

impl Flips<'_> {
    /// Tries every `step`-th byte, with a mask, on two threads. Calls `try_it` with each file.
    fn all(&self, mask: u8, step: usize, try_it: impl Fn(&Path, usize) + Sync) {
        self.next.store(0, Ordering::Relaxed);
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let try_it = &try_it;
                scope.spawn(move || {
                    loop {
                        let at = self.next.fetch_add(step, Ordering::Relaxed);
                        if at >= self.bytes.len() {
                            return;
                        }
                        let mut bytes = self.bytes.to_vec();
                        bytes[at] ^= mask;
                        try_it(&self.dir.write(&format!("flipped{thread}.h5"), bytes), at);
                    }
                });
            }
        });
    }
}

/// Every byte of a small file by turns, or with less patience one of 31.
#[test]
fn a_byte_that_is_not_what_it_was() {
    let dir = Dir::new();
    let bytes = small(&dir);
    let flips = Flips { bytes: &bytes, dir: &dir, next: AtomicUsize::new(0) };
    // All of them, with every mask, take some minutes: PARPY_TEST_ALL_BYTES=1.
    let all = std::env::var_os("PARPY_TEST_ALL_BYTES").is_some();
    for mask in if all { vec![0xff, 0x80, 0x01, 0x10] } else { vec![0xff] } {
        flips.all(mask, if all { 1 } else { 31 }, |path, at| {
            for words in ["show", "map --from", "map -p process -j 2 --from"] {
                if words != "show" && !all && at % 2 == 0 {
                    continue;
                }
                let part = if words == "show" { "" } else { ":/numbers" };
                let done = parpy(words).arg(format!("{}{part}", path.display())).done();
                assert!([0, 1].contains(&done.code), "byte {at} ^ {mask}: {words} ended with {}", done.code);
                if done.code == 1 {
                    assert_eq!(done.said().len(), 1, "byte {at}: {}", done.stderr);
                    assert!(done.stderr.ends_with('\n') && done.stderr.len() < 1000, "{}", done.stderr);
                }
            }
        });
    }
}

/// A named pipe that nobody writes to, in place of a file that values are in.
#[test]
fn a_file_that_waits_for_ever() {
    let dir = Dir::new();
    let path = dir.path("waits.h5");
    let file = File::create(&path).unwrap();
    file.link_external("pipe", "/x", "far").unwrap();
    file.close().unwrap();
    settle(&path);
    assert!(program("mkfifo").arg(dir.path("pipe")).status().unwrap().success());
    let from = format!("{}:/far", path.display());
    std::thread::scope(|scope| {
        for run in [parpy("show").arg(&path), parpy("map --from").arg(from)] {
            scope.spawn(move || run.done().fails(1, &["waits.h5", "nothing has come of it for 30 s"]));
        }
    });
}

#[test]
fn more_rows_than_anybody_waits_for() {
    let dir = Dir::new();
    let path = dir.path("huge.h5");
    let file = File::create(&path).unwrap();
    file.new_dataset::<i64>().shape(1usize << 40).create("contiguous").unwrap();
    file.new_dataset::<i64>().shape(1usize << 40).chunk(1000).create("chunks").unwrap();
    file.new_dataset::<Section>().shape(1usize << 40).chunk(1000).create("table").unwrap();
    let some = file.new_dataset::<i64>().shape(1usize << 40).chunk(1000).create("written").unwrap();
    some.write_slice(&[1i64, 2, 3], 0..3).unwrap();
    some.write_slice(&[9i64], (1 << 40) - 1..1 << 40).unwrap();
    file.new_dataset::<i64>().shape(3).create("few").unwrap();
    drop(some);
    file.close().unwrap();
    settle(&path);
    let seen = parpy("show -n 3").arg(&path).text();
    for part in [
        "/contiguous 1099511627776, int64, never written: every value is the fill value",
        "/chunks 1099511627776, int64, never written",
        "/table 1099511627776, rows of start, end, lines, words, bytes, never written",
        "/few 3, int64, never written",
        "/written 1099511627776, int64\n  1\n  2\n  3\n  … 1,099,511,627,770 rows more\n  0\n  0\n  9\n  of a sample of \
         266,240 rows:\n  min 0",
    ] {
        assert!(seen.contains(part), "no {part} in\n{seen}");
    }
    assert_eq!(seen.matches("of a sample of").count(), 4, "{seen}");
}

/// A virtual dataset of two rows, of which the second is in another file.
fn virtual_dataset(dir: &Dir) -> PathBuf {
    for name in ["one.h5", "two.h5"] {
        let file = File::create(dir.path(name)).unwrap();
        file.new_dataset_builder().with_data(&[1i64, 2, 3]).create("x").unwrap();
        file.close().unwrap();
        settle(&dir.path(name));
    }
    let path = dir.path("virtual.h5");
    let file = File::create(&path).unwrap();
    let builder = file.new_dataset::<i64>().shape(6);
    let builder = ["one.h5", "two.h5"].into_iter().enumerate().fold(builder, |builder, (i, name)| {
        let there = Selection::try_new(3 * i..3 * i + 3).unwrap();
        builder.virtual_map(name, "x", 3, Selection::All, 6, there)
    });
    builder.create("all").unwrap();
    // All of it: what is still open keeps the file open.
    drop((builder, file));
    settle(&path);
    path
}

#[test]
fn a_virtual_dataset_with_a_missing_source() {
    let dir = Dir::new();
    let path = virtual_dataset(&dir);
    let from = parpy("map --from").arg(format!("{}:/all", path.display()));
    for ranks in ways() {
        assert_eq!(from.clone().ranks(*ranks).text(), "1\n4\n9\n1\n4\n9\n");
    }
    // From another folder, and by a link, too.
    std::os::unix::fs::symlink(&path, dir.path("link.h5")).unwrap();
    assert_eq!(parpy("map --from link.h5:all").folder(dir.path("")).text(), "1\n4\n9\n1\n4\n9\n");
    let two = fs::read(dir.path("two.h5")).unwrap();
    for wrong in [None, Some(&b"no HDF5"[..]), Some(&two[..two.len() / 2])] {
        fs::remove_file(dir.path("two.h5")).unwrap();
        wrong.into_iter().for_each(|bytes| drop(dir.write("two.h5", bytes)));
        for ranks in ways() {
            let done = from.clone().ranks(*ranks).done();
            let done = done.fails(1, &["virtual.h5:/all", "two.h5 ", "put it back"]);
            assert!(done.stdout.is_empty());
        }
        parpy("show").arg(&path).done().fails(1, &["virtual.h5:/all", "two.h5 "]);
        dir.write("two.h5", &two);
    }
    let file = File::create(dir.path("two.h5")).unwrap();
    file.new_dataset_builder().with_data(&[1i64, 2, 3]).create("y").unwrap();
    file.close().unwrap();
    settle(&dir.path("two.h5"));
    from.done().fails(1, &["there is no x in two.h5"]);
}

#[test]
fn links_that_lead_nowhere() {
    let dir = Dir::new();
    let path = dir.path("main.h5");
    let file = File::create(&path).unwrap();
    file.link_external("away.h5", "/x", "far").unwrap();
    file.link_soft("/nothing", "near").unwrap();
    file.close().unwrap();
    settle(&path);
    let from = |part: &str| parpy("map --from").arg(format!("{}{part}", path.display()));
    for ranks in ways() {
        from(":/far").ranks(*ranks).done().fails(1, &["/far is a link into away.h5", "cannot be opened"]);
        from(":far/below").ranks(*ranks).done().fails(1, &["/far is a link into away.h5"]);
        from(":/near").ranks(*ranks).done().fails(1, &["/near is a link that leads nowhere"]);
        from("").ranks(*ranks).done().fails(1, &["only links that lead nowhere, /far, /near"]);
    }
    let seen = parpy("show").arg(&path).text();
    assert!(seen.contains("/far is a link into away.h5") && seen.contains("/near is a link"), "{seen}");
    from(":/other").done().fails(1, &["no dataset /other"]);
}

/// Its writer has set a mark in the file, and was killed before it took it away.
#[test]
fn a_file_that_a_killed_writer_has_left() {
    let dir = Dir::new();
    let file = File::with_options().with_fapl(|access| access.libver_latest()).create(dir.path("open.h5"));
    let file = file.unwrap();
    file.new_dataset_builder().with_data(&[1i64]).create("x").unwrap();
    file.flush().unwrap();
    // A copy has the mark, and nobody who has it open.
    let left = dir.path("left.h5");
    fs::copy(dir.path("open.h5"), &left).unwrap();
    file.close().unwrap();
    for ranks in ways() {
        let run = parpy("map --from").arg(&left).ranks(*ranks);
        run.done().fails(1, &["left.h5", "was killed while it had", "h5clear -s"]);
    }
    parpy("show").arg(&left).done().fails(1, &["h5clear -s", "left.h5"]);
    parpy("map --from").arg(dir.path("open.h5")).done().succeeds();
}

/// The numbers of what a job has made are not squared where its table of sections is damaged.
#[test]
fn a_part_that_is_damaged() {
    let dir = Dir::new();
    let out = dir.path("out.h5");
    for part in ["1/2", "2/2"] {
        let run = parpy("read jobs/sample.txt --do count --part").arg(part).arg("-o").arg(&out);
        run.done().succeeds();
    }
    let part = dir.names().into_iter().find(|name| name.contains('2') && name.ends_with(".h5")).unwrap();
    let mut bytes = dir.read(&part);
    let at = place_of(&bytes, "words");
    bytes[at + 3] = 0xc9;
    dir.write(&part, bytes);
    let run = parpy("read jobs/sample.txt --do count --join 2 -o").arg(&out);
    run.done().fails(1, &[&part, "Make this part again"]);
}
