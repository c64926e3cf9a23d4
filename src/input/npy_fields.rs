//! Rows with named fields in numpy's `.npy` files: which fields there are, and where in a row each stands.
//!
//! The type of such an array is a literal of Python, a list of tuples: `[('x', '<f8'), ('', '|V4'), ('m', '<i2', (3,))]`,
//! where fields without a name are padding, and the type of one may be a list again.

use crate::input::flat::Stored;
use crate::input::npy::stored;

/// Lists within lists that are looked into.
const DEEPEST: usize = 8;

/// A field of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpyField {
    /// Its name.
    pub name: String,
    /// Its first byte within the row.
    pub offset: usize,
    /// How its number is stored; `None` where it is something else.
    pub stored: Option<Stored>,
    /// Its type, as numpy spells it.
    pub descr: String,
}

/// The fields of rows of type `descr`, and how many bytes a row has; `None` where that is no list of fields.
pub fn fields(descr: &str) -> Option<(Vec<NpyField>, usize)> {
    let mut parser = Parser { rest: descr };
    let found = parser.list(0)?;
    parser.rest.trim().is_empty().then_some(found)
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// Passes over blanks, and over `word` where it comes next.
    fn has(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start();
        let behind = rest.strip_prefix(word);
        self.rest = behind.unwrap_or(rest);
        behind.is_some()
    }

    fn expect(&mut self, word: &str) -> Option<()> {
        self.has(word).then_some(())
    }

    /// A list of fields.
    fn list(&mut self, depth: usize) -> Option<(Vec<NpyField>, usize)> {
        if depth > DEEPEST {
            return None;
        }
        self.expect("[")?;
        let (mut fields, mut end) = (Vec::new(), 0usize);
        while !self.has("]") {
            let (name, stored, descr, bytes) = self.field(depth)?;
            if !name.is_empty() {
                fields.push(NpyField { name, offset: end, stored, descr });
            }
            end = end.checked_add(bytes)?;
            if !self.has(",") {
                self.expect("]")?;
                break;
            }
        }
        Some((fields, end))
    }

    /// A field: its name, what number it is if it is one, its type, and how many bytes it takes.
    fn field(&mut self, depth: usize) -> Option<(String, Option<Stored>, String, usize)> {
        self.expect("(")?;
        let name = if self.has("(") {
            // A title, and the name.
            self.string()?;
            self.expect(",")?;
            let name = self.string()?;
            self.expect(")")?;
            name
        } else {
            self.string()?
        };
        self.expect(",")?;
        self.rest = self.rest.trim_start();
        let (number, bytes, descr) = if self.rest.starts_with('[') {
            let start = self.rest;
            let (_, bytes) = self.list(depth + 1)?;
            (None, bytes, start[..start.len() - self.rest.len()].to_owned())
        } else {
            let descr = self.string()?;
            (stored(&descr), item_bytes(&descr)?, descr)
        };
        let (mut count, mut is_array) = (1usize, false);
        if self.has(",") && self.has("(") {
            is_array = true;
            while !self.has(")") {
                let digits =
                    self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                count = count.checked_mul(self.rest[..digits].parse().ok()?)?;
                self.rest = self.rest[digits..].trim_start_matches('L');
                if !self.has(",") {
                    self.expect(")")?;
                    break;
                }
            }
        }
        let _ = self.has(",");
        self.expect(")")?;
        Some((name, number.filter(|_| !is_array), descr, bytes.checked_mul(count)?))
    }

    /// What stands between quotes, as Python means it.
    fn string(&mut self) -> Option<String> {
        let _ = self.has("u") || self.has("b");
        let quote = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let mut text = String::new();
        let mut letters = self.rest[1..].char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                _ if letter == quote => {
                    self.rest = &self.rest[1 + at + 1..];
                    return Some(text);
                }
                '\\' => {
                    let digits = match letters.next()?.1 {
                        'x' => 2,
                        'u' => 4,
                        'U' => 8,
                        other => {
                            text.push(match other {
                                'n' => '\n',
                                't' => '\t',
                                'r' => '\r',
                                other => other,
                            });
                            continue;
                        }
                    };
                    let code: String = letters.by_ref().take(digits).map(|(_, letter)| letter).collect();
                    text.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
                }
                letter => text.push(letter),
            }
        }
        None
    }
}

/// Bytes that a value of numpy's type takes; `None` where that is not known.
fn item_bytes(descr: &str) -> Option<usize> {
    let name = descr.trim_start_matches(['<', '>', '=', '|']);
    let mut letters = name.chars();
    let kind = letters.next()?;
    let rest = letters.as_str();
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let count: usize = rest[..digits].parse().ok()?;
    match kind {
        'U' => count.checked_mul(4),
        'b' | 'i' | 'u' | 'f' | 'c' | 'S' | 'a' | 'V' | 'M' | 'm' => Some(count),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_numpy_has_them() {
        type Seen = Vec<(String, usize, bool)>;
        let found = |descr: &str| {
            let (fields, bytes) = fields(descr)?;
            let seen: Seen =
                fields.into_iter().map(|field| (field.name, field.offset, field.stored.is_some())).collect();
            Some((seen, bytes))
        };
        let of = |name: &str, offset, is_number| (name.to_owned(), offset, is_number);
        assert_eq!(
            found("[('x', '<f8'), ('y', '<i4')]"),
            Some((vec![of("x", 0, true), of("y", 8, true)], 12))
        );
        assert_eq!(
            found("[('a', '|u1'), ('', '|V7'), ('b', '<f8'), ('name', '<U10'), ('z', '>i2')]"),
            Some((vec![of("a", 0, true), of("b", 8, true), of("name", 16, false), of("z", 56, true)], 58))
        );
        assert_eq!(
            found("[(('title', 'n'), '<f4'), ('v', '<f4', (2, 3)), ('in', [('p', '<i8')]), ('e', '|b1')]"),
            Some((vec![of("n", 0, true), of("v", 4, false), of("in", 28, false), of("e", 36, true)], 37))
        );
        assert_eq!(
            found(r"[('it\'s', '<f8'), ('gr\xf6\u00dfe', '<M8[ns]')]"),
            Some((vec![of("it's", 0, true), of("größe", 8, false)], 16))
        );
        for wrong in
            ["<f8", "[('x', '<f8'", "[('x', '|O')]", "[('x',)]", "[(1, '<f8')]", "[('x', '<f8')] x", ""]
        {
            assert_eq!(found(wrong), None, "{wrong}");
        }
        assert_eq!(found(&format!("{}('x', '<f8'){}", "[('a', ".repeat(20), ")]".repeat(20))), None);
    }
}
