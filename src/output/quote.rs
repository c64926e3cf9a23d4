//! Texts among other fields of a row, as each format has them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::base::names;

/// Formats that differ in how a text stands in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quoting {
    /// As it is, but for what would end a line or a field: a newline is `\n`, and between fields a tab `\t`.
    #[default]
    Plain,
    /// In quotes where it needs them (RFC 4180).
    Csv,
    /// A JSON string, in which a byte that is no UTF-8 is `\xff`.
    Json,
}

impl Quoting {
    /// Appends `text`, a field of a row.
    pub fn put(self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Plain => escaped(text, out, |byte| matches!(byte, b'\n' | b'\t')),
            Self::Csv => csv(text, out),
            Self::Json => json(text, out),
        }
    }
}

/// Appends a text that is a line of its own.
pub fn line(text: &[u8], out: &mut Vec<u8>) {
    escaped(text, out, |byte| byte == b'\n');
    out.push(b'\n');
}

fn escaped(text: &[u8], out: &mut Vec<u8>, is_escaped: impl Fn(u8) -> bool) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| is_escaped(*byte)) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(if rest[at] == b'\n' { b"\\n" } else { b"\\t" });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn csv(text: &[u8], out: &mut Vec<u8>) {
    let is_special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    let at_an_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    // An empty field without quotes is one that has no value; not all readers tell it apart, parpy's own does not.
    if !text.is_empty() && !text.iter().any(is_special) && !at_an_end(text.first()) && !at_an_end(text.last())
    {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

fn json(text: &[u8], out: &mut Vec<u8>) {
    let put = |text: &str, out: &mut Vec<u8>| {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut *out, text);
    };
    match std::str::from_utf8(text) {
        Ok(text) => put(text, out),
        Err(_) => put(&names::readable(Path::new(OsStr::from_bytes(text))), out),
    }
}

/// The fields of a row of CSV, with their quotes. A quote within quotes is doubled, so that it closes and opens them.
pub fn csv_fields(row: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    row.split(move |byte| {
        is_quoted ^= *byte == b'"';
        !is_quoted && *byte == b','
    })
}

/// Where the rows of CSV that begin in `bytes` end: behind newlines that stand in no quotes.
pub fn csv_row_ends(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let mut is_quoted = false;
    memchr::memchr2_iter(b'"', b'\n', bytes).filter_map(move |at| {
        is_quoted ^= bytes[at] == b'"';
        (!is_quoted && bytes[at] == b'\n').then_some(at + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(quoting: Quoting, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        quoting.put(text, &mut out);
        out
    }

    #[test]
    fn fields_stay_fields() {
        assert_eq!(put(Quoting::Plain, b"a\tb\nc\\n\r"), b"a\\tb\\nc\\n\r");
        assert_eq!(put(Quoting::Json, b"a\"\n\xff"), br#""a\"\n\\xff""#);
        assert_eq!(put(Quoting::Csv, b""), b"\"\"");
        let row = b"1,\"a,\"\"b\n\",,\"\"\n2,x\n";
        let ends: Vec<usize> = csv_row_ends(row).collect();
        assert_eq!(ends, [15, 19]);
        let fields: Vec<&[u8]> = csv_fields(&row[..14]).collect();
        assert_eq!(fields, [&b"1"[..], b"\"a,\"\"b\n\"", b"", b"\"\""]);
    }

    proptest! {
        #[test]
        fn other_readers_read_the_same(
            texts in prop::collection::vec(
                prop::collection::vec(prop_oneof![Just(b','), Just(b'"'), Just(b'\n'), Just(b'\r'), Just(b' '), any::<u8>()], 0..12),
                1..5,
            ),
        ) {
            let mut row = texts.iter().map(|text| put(Quoting::Csv, text)).collect::<Vec<_>>().join(&b',');
            row.push(b'\n');
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&row[..]);
            let read = reader.byte_records().next().unwrap().unwrap();
            prop_assert_eq!(read.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), texts.clone());
            prop_assert_eq!(csv_row_ends(&row).collect::<Vec<_>>(), [row.len()]);
            prop_assert_eq!(csv_fields(&row).count(), texts.len());
            for text in &texts {
                let read: String = serde_json::from_slice(&put(Quoting::Json, text)).unwrap();
                prop_assert_eq!(read, names::readable(Path::new(OsStr::from_bytes(text))));
            }
        }
    }
}
