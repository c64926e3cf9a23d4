//! Expressions: a message that shows a place in the text, or the same answers and faults in vector lanes as one by one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use parpy::base::lanes::Lanes;
use parpy::op::expr::{Column, Kind, Node, Program, WINDOW, parse};

/// Answers by their bits, `None` where there is none.
fn answers(node: &Node, columns: &[&[u64]; 2], lanes: Lanes) -> Vec<Option<u64>> {
    let mut program = Program::new(node.clone(), lanes);
    let rows = columns[0].len();
    let mut found = Vec::new();
    while found.len() < rows {
        let window = found.len()..rows.min(found.len() + program.rows_at_once());
        let columns = columns.map(|column| &column[window.clone()]);
        let mut out = vec![0; window.len()];
        let faults = program.answer(&columns, &mut out);
        for (row, bits) in out.into_iter().enumerate() {
            let is_fault = faults.is_some_and(|faults| faults[row / 64] >> (row % 64) & 1 == 1);
            assert_eq!(is_fault, program.fault(&columns, row).is_some(), "row {row}");
            let is_nan = program.kind() == Kind::Float && f64::from_bits(bits).is_nan();
            found.push((!is_fault).then_some(if is_nan { f64::NAN.to_bits() } else { bits }));
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
    let column = |name: &str, kind| Column { name: name.to_owned(), kind: Some(kind) };
    match parse(text, &[column("i", Kind::Whole), column("x", Kind::Float)]) {
        Ok(node) => {
            let wholes: Vec<u64> = rows.iter().map(|(i, _)| *i as u64).collect();
            let floats: Vec<u64> = rows.iter().map(|(_, x)| x.to_bits()).collect();
            let expected = answers(&node, &[&wholes, &floats], Lanes::Scalar);
            for lanes in Lanes::all() {
                assert_eq!(answers(&node, &[&wholes, &floats], lanes), expected, "{lanes:?}");
            }
        }
        Err(fault) => {
            let shown = fault.shown_in(text);
            assert!(shown.lines().count() == 2 && shown.len() < 1000, "{shown}");
        }
    }
});
