//! Text with numbers: the same as the standard library reads line by line, in whatever pieces and by however many
//! threads.

#![no_main]

mod common;

use common::{Pieces, drain};
use libfuzzer_sys::fuzz_target;
use parpy::data::dtype::Dtype;
use parpy::input::text::Text;

/// The numbers, of the type that they have, unless it is said, and whether a message ended them.
fn read(bytes: &[u8], dtype: Option<Dtype>, piece: usize, threads: usize, room: usize) -> (Vec<u64>, bool) {
    let reader = Pieces::of(bytes, piece);
    let mut text = Text::open(reader, "numbers.txt".into(), dtype, threads, false).expect("memory can be read");
    let (found, fault) = drain(&mut text, room);
    assert!(fault.as_ref().is_none_or(|message| message.len() < 1000), "a long message");
    (found, fault.is_some())
}

fn expected(bytes: &[u8], dtype: Dtype) -> (Vec<u64>, bool) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (mut found, mut is_behind_blank) = (Vec::new(), false);
    for line in bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        // At the end of a text blank lines are none.
        if line.is_empty() {
            is_behind_blank = true;
            continue;
        }
        if is_behind_blank {
            return (found, true);
        }
        let word = std::str::from_utf8(line).ok();
        let bits = match dtype {
            Dtype::I64 => word.and_then(|word| word.parse::<i64>().ok()).map(|number| number as u64),
            Dtype::F64 => {
                word.and_then(|word| Some((word, word.parse::<f64>().ok()?))).and_then(|(word, x)| {
                    let is_said = x.is_finite() || !word.contains(|c: char| c.is_ascii_digit());
                    is_said.then(|| x.to_bits())
                })
            }
        };
        match bits {
            Some(bits) => found.push(bits),
            None => return (found, true),
        }
    }
    (found, false)
}

fuzz_target!(|data: (u8, &[u8])| {
    let (choice, bytes) = data;
    // A longer line is refused, whatever it says.
    if bytes.split(|byte| *byte == b'\n').any(|line| line.len() > 4000) {
        return;
    }
    // Of what is not valid no type is told.
    let lines = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).split(|byte| *byte == b'\n');
    let words = lines.filter_map(|line| std::str::from_utf8(line.trim_ascii()).ok());
    let looked_at = Dtype::of_words(words);
    assert_eq!(read(bytes, None, usize::MAX, 1, 1000), expected(bytes, looked_at), "a look");
    for dtype in [Dtype::I64, Dtype::F64] {
        let expected = expected(bytes, dtype);
        let (piece, room) = (1 + usize::from(choice & 15), 1 + usize::from(choice >> 4));
        assert_eq!(read(bytes, Some(dtype), piece, 1, room), expected, "{dtype:?} in pieces");
        assert_eq!(read(bytes, Some(dtype), usize::MAX, 3, 1000), expected, "{dtype:?} by threads");
    }
});
