//! `parpy read` as a user types it, against the tools that users know.

use crate::dsl::*;

const SHAKESPEARE: &str = "../shared/data/shakespeare.txt";

/// `wc` itself; for files with bytes that are not ASCII only where it is of the kind whose rule parpy
/// follows (see `Tally::words`).
fn wc(path: &str) -> String {
    let mut old = program("sh");
    let old = old.args(["-c", r"printf '\001 \303\251' | wc -w"]).env("LC_ALL", "C").output().unwrap();
    if String::from_utf8_lossy(&old.stdout).trim() != "0" && !std::fs::read(path).unwrap().is_ascii() {
        skip("wc", "that of this machine counts words that are not ASCII");
        return parpy("read --do count").arg(path).text();
    }
    let output = program("wc").arg(path).env("LC_ALL", "C").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn text_is_the_same_bytes_as_the_file() {
    let expected = std::fs::read("jobs/sample.txt").unwrap();
    assert_eq!(parpy("read jobs/sample.txt").stdout(), expected);
    if has_mpi() {
        assert_eq!(parpy("read jobs/sample.txt").ranks(4).stdout(), expected);
    }
}

#[test]
fn counts_are_those_of_wc() {
    assert_eq!(parpy("read jobs/sample.txt --do count").text(), wc("jobs/sample.txt"));
    // A program is full of bytes that are no text at all.
    assert_eq!(parpy("read --do count").arg(BINARY).text(), wc(BINARY));
    if has_mpi() {
        assert_eq!(parpy("read --do count").arg(BINARY).ranks(3).text(), wc(BINARY));
    }
}

/// Whatever kind of `wc` this machine has.
#[test]
fn what_counts_as_a_word() {
    let dir = Dir::new();
    let path = dir.write("bytes", b"a \x01 b\xc3\xa9 \xc3\xa9\n\0c");
    assert_eq!(parpy("read --do count").arg(&path).text(), format!(" 1  3 13 {}\n", path.display()));
}

#[test]
fn shakespeare() {
    let Ok(expected) = std::fs::read(SHAKESPEARE) else {
        return skip("shakespeare", "the text is not beside this checkout");
    };
    let ranks: &[usize] = if has_mpi() { &[0, 1, 2, 3, 4, 7] } else { &[0] };
    for ranks in ranks {
        let read = parpy("read").arg(SHAKESPEARE).ranks(*ranks);
        assert!(read.stdout() == expected, "{ranks} ranks");
        assert_eq!(read.args("--do count").text(), wc(SHAKESPEARE));
    }
}

#[test]
fn a_copy_to_a_file() {
    let dir = Dir::new();
    for ranks in if has_mpi() { vec![0, 2, 3] } else { vec![0] } {
        parpy("read jobs/sample.txt -o").arg(dir.path("copy")).ranks(ranks).done().succeeds();
        assert_eq!(dir.read("copy"), std::fs::read("jobs/sample.txt").unwrap());
    }
}

#[test]
fn file_names_need_not_be_utf8() {
    use std::os::unix::ffi::OsStringExt;
    let dir = Dir::new();
    let name = std::ffi::OsString::from_vec(b"caf\xe9".to_vec());
    let path = dir.path("x").with_file_name(name);
    std::fs::write(&path, "a b\n").unwrap();
    let out = parpy("read --do count").arg(&path).stdout();
    assert!(out.starts_with(b"1 2 4 ") && out.ends_with(b"caf\xe9\n"));
}
