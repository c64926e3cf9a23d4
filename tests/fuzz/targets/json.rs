//! JSON lines, and lines that are texts: rows or a message, and the same ones however many are asked for at once, in
//! whatever pieces they come and by however many threads.

#![no_main]

mod common;

use std::path::Path;

use common::{Pieces, drain};
use libfuzzer_sys::fuzz_target;
use parpy::data::schema::ColumnType;
use parpy::input::json_lines::Objects;
use parpy::input::text_lines::TextLines;

type Found = (Vec<u64>, Option<String>);

fn objects(bytes: &[u8], piece: usize, part: Option<&str>, dtype: Option<ColumnType>, may_lack: bool, room: usize) -> Found {
    match Objects::open(Pieces::of(bytes, piece), Path::new("x.jsonl"), part, dtype, may_lack, 3) {
        Ok(mut objects) => drain(&mut objects, room),
        Err(error) => (Vec::new(), Some(error.to_string())),
    }
}

/// As `drain` has texts: the length of each, and its bytes.
fn expected(bytes: &[u8]) -> Vec<u64> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line));
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.flat_map(|line| [line.len() as u64].into_iter().chain(line.iter().map(|byte| u64::from(*byte)))).collect()
}

fuzz_target!(|data: (u8, &[u8])| {
    let (choice, bytes) = data;
    let part = [None, Some("a"), Some("b,a"), Some("\"a b\"")][usize::from(choice & 3)];
    let dtype = [None, Some(ColumnType::I64), Some(ColumnType::F64), Some(ColumnType::Bytes)][usize::from(choice >> 2 & 3)];
    let (piece, may_lack) = (1 + usize::from(choice >> 4 & 7), choice > 127);
    let all = objects(bytes, usize::MAX, part, dtype, may_lack, 1000);
    assert_eq!(objects(bytes, usize::MAX, part, dtype, may_lack, 1), all);
    assert_eq!(objects(bytes, piece, part, dtype, may_lack, 7), all);
    assert!(all.1.is_none_or(|message| message.len() < 8000), "a long message");
    for (piece, room) in [(usize::MAX, 1000), (piece, 3)] {
        let found = drain(&mut TextLines::new(Pieces::of(bytes, piece), "x.txt".into()), room);
        // What is no text says so.
        assert!(found.1.is_some() || found.0 == expected(bytes));
    }
});
