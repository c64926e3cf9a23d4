//! CSV files: numbers or a message, and the same ones however many are asked for at once.

#![no_main]

mod common;

use std::path::Path;

use common::{Pieces, drain};
use libfuzzer_sys::fuzz_target;
use parpy::data::schema::ColumnType;
use parpy::input::csv_table::Table;
use parpy::job::input::TableLayout;

type Found = (Vec<u64>, Option<String>);

fn table(bytes: &[u8], part: Option<&str>, layout: &TableLayout, dtype: Option<ColumnType>, may_lack: bool, room: usize) -> Found {
    let reader = Pieces::of(bytes, usize::MAX);
    // No file of this name is looked into again.
    match Table::open(reader, Path::new("/nowhere/x.csv"), part, layout, dtype, may_lack, 3) {
        Ok(mut table) => drain(&mut table, room),
        Err(error) => (Vec::new(), Some(error.to_string())),
    }
}

fuzz_target!(|data: (u8, &[u8])| {
    let (choice, bytes) = data;
    let parts = [None, Some("1"), Some("2,1"), Some("a")];
    let part = parts[usize::from(choice & 3)];
    let delimiter = [None, Some(b'\t'), Some(b';'), Some(b' ')][usize::from(choice >> 2 & 3)];
    let layout = TableLayout { no_header: choice & 16 > 0, delimiter, texts: Vec::new() };
    let dtype = [None, Some(ColumnType::I64), Some(ColumnType::F64), Some(ColumnType::Bytes)][usize::from(choice >> 5 & 3)];
    let all = table(bytes, part, &layout, dtype, choice > 127, 1000);
    assert_eq!(table(bytes, part, &layout, dtype, choice > 127, 1), all);
    assert!(all.1.is_none_or(|message| message.len() < 4000), "a long message");
});
