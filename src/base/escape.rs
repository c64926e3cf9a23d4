//! Foreign text among parpy's own words: what files hold and are called, and what was typed, must be no commands to
//! a terminal, begin no line of its own, and fill no screen. Done where text leaves for people; what programs
//! read (`.json`, `.csv` and so on) is not touched.
//!
//! All of it may be done to a text twice, and changes nothing the second time.

/// The most characters of a line.
const LONGEST: usize = 1000;
/// Of a longer one, what is kept of its beginning and its end: what failed stands there, and what to do.
const KEPT: (usize, usize) = (700, 250);

/// A text as one line: with an escape for each character that is a command (`\n`, `\x1b`, `\u{202e}`), and with its
/// middle left out where it is long.
pub fn line(text: &str) -> String {
    cut(escaped(text, |_| false))
}

/// As [`line()`], for text that has lines of parpy's own: each of them.
pub fn lines(text: &str) -> String {
    text.split('\n').map(|text| cut(escaped(text, |c| c == '\t'))).collect::<Vec<_>>().join("\n")
}

/// As [`lines`], with all of it: for what may be read again.
pub fn whole(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// A file's name in a row of a result, which need not be UTF-8: all of it, as one line.
pub fn name(name: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        row.extend_from_slice(escaped(chunk.valid(), |_| false).as_bytes());
        for byte in chunk.invalid() {
            match byte {
                // To a terminal of 8-bit letters these are commands.
                0x80..=0x9f => row.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
                letter => row.push(*letter),
            }
        }
    }
    row
}

/// With escapes for all commands but those that are `kept`.
fn escaped(text: &str, kept: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if !is_order(c) || kept(c) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if c < '\u{100}' => safe.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => safe.extend(c.escape_unicode()),
        }
    }
    safe
}

/// Control characters, ends of lines by other names, and what turns the direction of the text around it.
pub fn is_order(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn cut(text: String) -> String {
    let count = text.chars().count();
    if count <= LONGEST {
        return text;
    }
    let (first, last) = KEPT;
    let begin: String = text.chars().take(first).collect();
    let end: String = text.chars().skip(count - last).collect();
    format!("{begin} … {end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn orders_are_told_and_not_given() {
        assert_eq!(line("a\x1b[31m\nparpy: b\t\u{9b}\u{7f}\0"), r"a\x1b[31m\nparpy: b\t\x9b\x7f\x00");
        assert_eq!(line("gpj\u{202e}exe\u{2028}"), r"gpj\u{202e}exe\u{2028}");
        assert_eq!(line(r"C:\new – „Größe“ 数"), r"C:\new – „Größe“ 数");
        assert_eq!(lines("a\n\tb\r\n"), "a\n\tb\\r\n");
        assert_eq!(name(b"caf\xe9\n\x9b\xc2\x9b"), b"caf\xe9\\n\\x9b\\x9b");
    }

    #[test]
    fn of_a_long_line_both_ends_are_kept() {
        let text = format!("cannot read x: {} is too much; do this", "é\x1b".repeat(1_000_000));
        let safe = line(&text);
        assert!(
            safe.starts_with(r"cannot read x: é\x1bé") && safe.ends_with("is too much; do this"),
            "{safe}"
        );
        assert!(safe.chars().count() <= LONGEST && safe.contains(" … "));
        assert_eq!(whole(&"a".repeat(5000)).len(), 5000);
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_line_and_stays_it(text in "\\PC*|(.|\n|\r|\t|\u{1b}|\u{9b}){0,1500}") {
            let safe = line(&text);
            prop_assert!(!safe.chars().any(is_order) && safe.chars().count() <= LONGEST);
            prop_assert_eq!(&line(&safe), &safe);
            let several = lines(&text);
            prop_assert_eq!(&lines(&several), &several);
            prop_assert_eq!(several.matches('\n').count(), text.matches('\n').count());
        }
    }
}
