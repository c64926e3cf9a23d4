//! Functions of texts. A text is bytes, which need not be UTF-8: what is not is left as it is.

use super::{Function, OfText};

pub const FUNCTIONS: &[Function] = &[
    Function::of_texts("length", "how many characters it has", OfText::Whole(length)),
    Function::of_texts(
        "wordcount",
        "how many words, which have blanks between them",
        OfText::Whole(wordcount),
    ),
    Function::of_texts(
        "upper",
        "in capital letters",
        OfText::Text(|text, out| map(text, out, str::to_uppercase)),
    ),
    Function::of_texts(
        "lower",
        "in small letters",
        OfText::Text(|text, out| map(text, out, str::to_lowercase)),
    ),
];

/// Characters of Unicode; a byte that is part of none counts as one.
fn length(text: &[u8]) -> i64 {
    if text.is_ascii() {
        return text.len() as i64;
    }
    text.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum::<usize>()
        as i64
}

/// Runs of what is no white space, as Python's `str.split` tells it; bytes that are no UTF-8 are none.
fn wordcount(text: &[u8]) -> i64 {
    let is_blank = |c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c);
    let (mut words, mut in_word) = (0, false);
    let mut next = |is_part: bool| {
        words += i64::from(is_part && !in_word);
        in_word = is_part;
    };
    for chunk in text.utf8_chunks() {
        chunk.valid().chars().for_each(|c| next(!is_blank(c)));
        chunk.invalid().iter().for_each(|_| next(true));
    }
    words
}

fn map(text: &[u8], out: &mut Vec<u8>, of: impl Fn(&str) -> String) {
    for chunk in text.utf8_chunks() {
        out.extend_from_slice(of(chunk.valid()).as_bytes());
        out.extend_from_slice(chunk.invalid());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bytes_that_may_be_unicode() {
        for (text, characters, words, capitals) in [
            (&b""[..], 0, 0, &b""[..]),
            (b"  one\ttwo ", 10, 2, b"  ONE\tTWO "),
            ("größe 日本".as_bytes(), 8, 2, "GRÖSSE 日本".as_bytes()),
            ("a\u{3000}b".as_bytes(), 3, 2, "A\u{3000}B".as_bytes()),
            (b"a\xff\xfeb c", 6, 2, b"A\xff\xfeB C"),
            (b"\0x", 2, 1, b"\0X"),
            (b"a\x0bb\x1fc \xff d", 9, 5, b"A\x0bB\x1fC \xff D"),
        ] {
            let mut out = Vec::new();
            map(text, &mut out, str::to_uppercase);
            assert_eq!((length(text), wordcount(text), &out[..]), (characters, words, capitals), "{text:?}");
        }
    }
}
