//! Expressions: a message that shows a place in the text, or the same answers and faults in vector lanes as one by one.

#![no_main]

use std::hash::{DefaultHasher, Hash, Hasher};

use libfuzzer_sys::fuzz_target;
use parpy::base::lanes::Lanes;
use parpy::data::texts::Texts;
use parpy::op::expr::{Column, Kind, Node, Program, WINDOW, parse};

/// Answers by their bits, of texts a hash, `None` where there is none. Words of texts lead to `memory`.
fn answers(node: &Node, columns: &[&[u64]; 3], memory: &[u8], lanes: Lanes) -> Vec<Option<u64>> {
    let mut program = Program::new(node.clone(), lanes, 1);
    let rows = columns[0].len();
    let mut found = Vec::new();
    while found.len() < rows {
        let window = found.len()..rows.min(found.len() + program.rows_at_once());
        let (first, columns) = (window.start as u64, columns.map(|column| &column[window.clone()]));
        let mut out = vec![0; window.len()];
        let faults = program.answer(&columns, memory, first, &mut out);
        for (row, bits) in out.into_iter().enumerate() {
            let is_fault = faults.has(row);
            assert_eq!(is_fault, program.fault(&columns, memory, first, row).is_some(), "row {row}");
            let is_nan = program.kind() == Kind::Float && f64::from_bits(bits).is_nan();
            let bits = match program.kind() {
                Kind::Text => {
                    let mut hash = DefaultHasher::new();
                    Texts { input: memory, made: program.made() }.get(bits).hash(&mut hash);
                    hash.finish()
                }
                _ if is_nan => f64::NAN.to_bits(),
                _ => bits,
            };
            found.push((!is_fault).then_some(bits));
        }
    }
    found
}

fuzz_target!(|data: (Vec<(i64, f64)>, &str)| {
    let (rows, text) = data;
    // These take their time.
    if ["isprime", "sleep", "collatz"].iter().any(|name| text.contains(name)) || rows.len() > 2 * WINDOW {
        return;
    }
    let column = |name: &str, kind| Column { name: name.to_owned(), kind };
    match parse(text, &[column("i", Kind::Whole), column("x", Kind::Float), column("t", Kind::Text)]) {
        Ok(node) => {
            let wholes: Vec<u64> = rows.iter().map(|(i, _)| *i as u64).collect();
            let floats: Vec<u64> = rows.iter().map(|(_, x)| x.to_bits()).collect();
            // Pieces of the expression, whatever letters they cut.
            let texts = (0..rows.len() as u64).map(|row| row % 3 | (row % 7).min(text.len() as u64 - text.len().min(3) as u64) << 32);
            let texts: Vec<u64> = texts.collect();
            let columns = [&wholes[..], &floats, &texts];
            let expected = answers(&node, &columns, text.as_bytes(), Lanes::Scalar);
            for lanes in Lanes::all() {
                assert_eq!(answers(&node, &columns, text.as_bytes(), lanes), expected, "{lanes:?}");
            }
        }
        Err(fault) => {
            let shown = fault.shown_in(text);
            assert!(shown.lines().count() == 2 && shown.len() < 1000, "{shown}");
        }
    }
});
