//! Values from numpy's `.npy` files: whole numbers, truth values, and floats of up to 64 bits, in either byte
//! order.
//!
//! A header is a literal of Python: a dictionary of three keys. It is read here in one pass over no more bytes
//! than numpy itself takes, without recursion, so that no header can make parpy wait or take memory. What a type that
//! is a list of fields means, is in `npy_fields`.

use std::io::Read;
use std::path::Path;

use crate::base::error::{Error, Result, did_you_mean};
use crate::base::fmt::{listed, shown};
use crate::data::dtype::Dtype;
use crate::data::schema::ANSWERS;
use crate::input::flat::{Flat, FlatColumn, Kind, Stored};
use crate::input::holes::{Finder, WithHoles};
use crate::input::npy_fields::NpyField;
use crate::input::{ArrayFile, Indexed, count_of, npy_fields, open_regular, several, start};
use crate::job::input::{of_columns, split_columns};

/// What a file begins with.
pub const MAGIC: &[u8] = b"\x93NUMPY";
/// Bytes of the longest header that is read: as many as numpy reads from files that it does not trust.
const LONGEST: usize = 10_000;
/// Bytes before the header, of the versions that have most.
const PREFIX: usize = 12;

/// Opens `path`, of the types that its header says or, where that loses nothing, `wanted`. An array of rows with named
/// fields has those for its columns, and one of two dimensions its own, unless what is done is done `by_element`; `part`
/// says which of them: names, or `[:,K]`, from 0.
///
/// # Errors
/// Not a `.npy` file, one of a shape or type that parpy does not read, one that is shorter than its header says, or
/// without such columns.
pub fn open(file: &ArrayFile) -> Result<Box<dyn Indexed>> {
    let (values, valid) = open_all(file)?;
    let mut finders = Vec::new();
    if let Some(valid) = valid {
        // It is the answers that parpy says this of.
        let fields = values.schema().fields;
        let is_answer = |name: &str| name == ANSWERS || fields.len() == 1 && name.is_empty();
        let of = (0..fields.len()).filter(|k| is_answer(&fields[*k].name)).collect();
        finders.push(Finder::Valid(valid, of));
    }
    // Else a NaN is a float like any other.
    if file.may_lack {
        finders.push(Finder::Nan);
    }
    if finders.is_empty() {
        return Ok(values);
    }
    Ok(Box::new(WithHoles::new(values, finders, file.path, file.may_lack)))
}

/// The values, and where a field says which of them are there, that.
type WithValidity = (Box<dyn Indexed>, Option<Box<dyn Indexed>>);

/// The field of truth values that says of rows which parpy has written whether there is an answer.
pub const VALID: &str = "valid";

fn open_all(file: &ArrayFile) -> Result<WithValidity> {
    let ArrayFile { path, part, wanted, by_element, .. } = *file;
    let wrong = |why: String| Error::Failed(format!("cannot read {}: {why}", path.display()));
    let mut file = open_regular(path)?;
    let failed = |e| Error::io("read", path, &e);
    let mut bytes = Vec::new();
    file.by_ref().take((LONGEST + PREFIX) as u64).read_to_end(&mut bytes).map_err(failed)?;
    let header = Header::parse(&bytes).map_err(wrong)?;
    let Header { descr, is_fortran, shape, len } = &header;
    if shape.is_empty() {
        return Err(wrong("it is a single number, without dimensions (in numpy: a.reshape(1))".into()));
    }
    let Some(count) = count_of(shape) else {
        return Err(wrong(format!("its shape {shape:?} is of too many values")));
    };
    let fields = npy_fields::fields(descr);
    let element = match (&fields, stored(descr)) {
        (Some((_, row)), _) => *row,
        (None, Some(stored)) => stored.bytes,
        (None, None) => {
            let descr = shown(descr.as_bytes());
            return Err(wrong(format!(
                "its type is {descr}; parpy reads whole numbers, and floats of 16, 32 and 64 bits, and bool (in \
                 numpy: a.astype('int64') or 'float64')"
            )));
        }
    };
    // Before the first value, not after what is there: all of them would be for nothing.
    let there = file.metadata().map_err(failed)?.len().saturating_sub(*len);
    let there = there.checked_div(element as u64).unwrap_or(u64::MAX);
    if there < count {
        return Err(wrong(format!("it ends after {there} of the {count} values that its header promises")));
    }
    let of_type = |stored: Stored| stored.dtype(wanted).map_err(|why| wrong(why.into()));
    match (fields, stored(descr), &shape[..]) {
        (Some((fields, row)), _, [_]) if row > 0 => {
            let is_validity = |field: &&NpyField| {
                field.name == VALID
                    && fields.len() > 1
                    && field.stored.is_some_and(|stored| stored.kind == Kind::Bool)
            };
            let validity = fields.iter().find(is_validity).map(|field| -> Result<Box<dyn Indexed>> {
                let Some(stored) = field.stored else { return Err(wrong("it is damaged".into())) };
                let column = FlatColumn { offset: field.offset, ..FlatColumn::alone(stored, Dtype::I64) };
                let file = file.try_clone().map_err(failed)?;
                Ok(Box::new(Flat::new(file, path, *len, (count, row), vec![column])))
            });
            let others: Vec<NpyField> = match part {
                None => fields.iter().filter(|field| !is_validity(field)).cloned().collect(),
                Some(_) => fields.clone(),
            };
            let columns = choose_fields(path, &others, part, of_type)?;
            // Whoever takes answers alone need not see that they are in a table.
            let is_only = columns.len() == 1 && part.is_none() && validity.is_some();
            let columns = match is_only {
                true => {
                    columns.into_iter().map(|column| FlatColumn { name: String::new(), ..column }).collect()
                }
                false => columns,
            };
            Ok((Box::new(Flat::new(file, path, *len, (count, row), columns)), validity.transpose()?))
        }
        (Some(_), ..) => {
            Err(wrong(format!("its rows have fields, and its shape is {shape:?} (in numpy: a.ravel())")))
        }
        (None, Some(stored), [rows, columns])
            if *columns > 0 && (part.is_some() || *columns > 1 && !by_element) =>
        {
            let chosen = choose_columns(path, *columns, part)?;
            let dtype = of_type(stored)?;
            let (rows, of) = (*rows, *columns);
            let column = |k: u64, offset: usize, is_only: bool| {
                let name = if is_only { String::new() } else { format!("c{k}") };
                FlatColumn { name, offset, stored, dtype }
            };
            let is_only = chosen.len() == 1;
            if *is_fortran {
                // Each lies by itself.
                let one = |k: &u64| -> Result<Box<dyn Indexed>> {
                    let file = file.try_clone().map_err(failed)?;
                    let first = len + k * rows * stored.bytes as u64;
                    let column = column(*k, 0, is_only);
                    Ok(Box::new(Flat::new(file, path, first, (rows, stored.bytes), vec![column])))
                };
                return Ok((several::beside(chosen.iter().map(one).collect::<Result<_>>()?, path)?, None));
            }
            let columns = chosen.iter().map(|k| column(*k, *k as usize * stored.bytes, is_only));
            let row = usize::try_from(of).unwrap_or(usize::MAX).saturating_mul(stored.bytes);
            Ok((Box::new(Flat::new(file, path, *len, (rows, row), columns.collect())), None))
        }
        (None, Some(stored), _) => {
            if let Some(part) = part {
                return Err(Error::Usage(format!(
                    "--from {}:{part}: its shape is {shape:?}, and columns are of two dimensions",
                    path.display()
                )));
            }
            if *is_fortran && shape.len() > 1 {
                return Err(wrong(format!(
                    "its shape is {shape:?} in Fortran's order; parpy reads rows one after the other (in numpy: a.ravel())"
                )));
            }
            let column = FlatColumn::alone(stored, of_type(stored)?);
            Ok((Box::new(Flat::elements(file, path, *len, shape, column)), None))
        }
        (None, None, _) => Err(wrong("it holds no numbers".into())),
    }
}

/// The most columns that are taken at once.
const MOST_COLUMNS: u64 = 4096;

/// The fields that `part` names, or all.
fn choose_fields(
    path: &Path,
    fields: &[NpyField],
    part: Option<&str>,
    of_type: impl Fn(Stored) -> Result<Dtype>,
) -> Result<Vec<FlatColumn>> {
    let wrong = |why: String| Error::Failed(format!("cannot read {}: {why}", path.display()));
    let by_name = |name: &str| fields.iter().find(|field| field.name == name);
    let there = || fields.iter().map(|field| &*field.name);
    let find = |name: &String| {
        by_name(name).ok_or_else(|| {
            let near = did_you_mean(name, there());
            wrong(format!("it has no field {name}; its fields are {}{near}", listed(there())))
        })
    };
    let chosen: Vec<&NpyField> = match part {
        None => fields.iter().collect(),
        Some(part) => match by_name(part) {
            Some(field) => vec![field],
            None => split_columns(part).iter().map(find).collect::<Result<_>>()?,
        },
    };
    let column = |field: &&NpyField| {
        let NpyField { name, offset, stored, descr } = field;
        let stored = stored.ok_or_else(|| {
            let numbers = fields.iter().filter(|field| field.stored.is_some()).map(|field| &*field.name);
            wrong(format!(
                "its field {name} is of type {}; parpy reads numbers: --from {}",
                shown(descr.as_bytes()),
                of_columns(path, &numbers.collect::<Vec<_>>())
            ))
        })?;
        Ok(FlatColumn { name: name.clone(), offset: *offset, stored, dtype: of_type(stored)? })
    };
    if chosen.is_empty() {
        return Err(wrong("its rows have no fields".into()));
    }
    chosen.iter().map(column).collect()
}

/// Of `count` columns those that `part` says, or all.
fn choose_columns(path: &Path, count: u64, part: Option<&str>) -> Result<Vec<u64>> {
    let Some(part) = part else {
        return match count {
            ..=MOST_COLUMNS => Ok((0..count).collect()),
            _ => Err(Error::Failed(format!(
                "cannot read {0}: it has {count} columns, and parpy takes {MOST_COLUMNS} at the most: --from \
                 {0}:[:,0],[:,1]",
                path.display()
            ))),
        };
    };
    let wrong = |why: String| Error::Usage(format!("--from {}:{part}: {why}", path.display()));
    let column = |name: &String| {
        let index = name.strip_prefix("[:,").and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        let k: u64 = index.trim().parse().map_err(|_| {
            wrong(format!(
                "{name} is no column of an array of two dimensions; they are [:,0] to [:,{}]",
                count - 1
            ))
        })?;
        if k < count {
            Ok(k)
        } else {
            Err(wrong(format!("there is no column {k}: it has {count}, from 0 on")))
        }
    };
    split_columns(part).iter().map(column).collect()
}

/// What the header of a `.npy` file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The type, as numpy spells it: `<f8`, or of arrays with named fields a list.
    pub descr: String,
    /// Its first index counts fastest.
    pub is_fortran: bool,
    /// How many there are in each dimension; numbers that no 64 bits hold are the largest that do.
    pub shape: Vec<u64>,
    /// At which byte of the file the numbers begin.
    pub len: u64,
}

impl Header {
    /// Reads the header that `bytes`, the beginning of a file, begin with.
    ///
    /// # Errors
    /// There is none, or it is damaged; says how, for a message that names the file.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let damaged = |why: &str| format!("it is not a .npy file, or its header is damaged ({why})");
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return Err(match start::kind(bytes) {
                Some(kind) => format!("it is not a .npy file, but {kind}"),
                None => "it is not a .npy file, which begins with \\x93NUMPY".to_owned(),
            });
        };
        let (len, text, is_utf8) = match *rest {
            [1, _, a, b, ref text @ ..] => (u32::from(u16::from_le_bytes([a, b])), text, false),
            [version @ 2..=3, _, a, b, c, d, ref text @ ..] => {
                (u32::from_le_bytes([a, b, c, d]), text, version == 3)
            }
            [version @ (0 | 4..), ..] => return Err(damaged(&format!("its version {version} is unknown"))),
            _ => return Err(damaged("it is cut off")),
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > LONGEST {
            return Err(damaged(&format!("it claims to be of {len} bytes; no more than {LONGEST} are read")));
        }
        let before = bytes.len() - text.len();
        let text = text.get(..len).ok_or_else(|| damaged("it is cut off"))?;
        let mut literal = Literal { rest: text };
        let found = literal.dictionary().ok_or_else(|| {
            let at = text.len() - literal.rest.len();
            damaged(&format!("at its byte {at} it says '{}'", shown(literal.rest.trim_ascii_end())))
        })?;
        let (Some(descr), Some(is_fortran), Some(shape)) = found else {
            return Err(damaged("it does not say descr, fortran_order and shape"));
        };
        // Latin-1 before the third version.
        let latin = || descr.iter().map(|byte| char::from(*byte)).collect();
        let descr = if is_utf8 { String::from_utf8_lossy(descr).into_owned() } else { latin() };
        Ok(Self { descr, is_fortran, shape, len: (before + len) as u64 })
    }
}

/// The values of the three keys of a header, where it has them.
type Dictionary<'a> = (Option<&'a [u8]>, Option<bool>, Option<Vec<u64>>);

/// What has not been read yet of a literal of Python. All that is read is passed over; of what is not
/// understood `rest` says where it stands.
struct Literal<'a> {
    rest: &'a [u8],
}

impl<'a> Literal<'a> {
    /// The whole of a header.
    fn dictionary(&mut self) -> Option<Dictionary<'a>> {
        let mut found = (None, None, None);
        self.expect(b"{")?;
        while !self.has(b"}") {
            let key = self.string()?;
            self.expect(b":")?;
            match key {
                b"descr" => found.0 = Some(self.descr()?),
                b"fortran_order" if self.has(b"True") => found.1 = Some(true),
                b"fortran_order" => {
                    self.expect(b"False")?;
                    found.1 = Some(false);
                }
                b"shape" => found.2 = Some(self.shape()?),
                _ => return None,
            }
            if !self.has(b",") {
                self.expect(b"}")?;
                break;
            }
        }
        self.rest.trim_ascii().is_empty().then_some(found)
    }

    /// Passes over blanks, and over `word` where it comes next.
    fn has(&mut self, word: &[u8]) -> bool {
        let rest = self.rest.trim_ascii_start();
        let behind = rest.strip_prefix(word);
        self.rest = behind.unwrap_or(rest);
        behind.is_some()
    }

    fn expect(&mut self, word: &[u8]) -> Option<()> {
        self.has(word).then_some(())
    }

    /// What stands between quotes, as it stands there. Python 2 may have written a `u` or a `b` before it.
    fn string(&mut self) -> Option<&'a [u8]> {
        let _ = self.has(b"u") || self.has(b"b");
        let quote = if self.has(b"\"") { b'"' } else { self.has(b"'").then_some(b'\'')? };
        let mut at = 0;
        while *self.rest.get(at)? != quote {
            at += if self.rest[at] == b'\\' { 2 } else { 1 };
        }
        let (text, rest) = self.rest.split_at(at);
        self.rest = &rest[1..];
        Some(text)
    }

    /// A type: a string, or a list in brackets with all that is in it.
    fn descr(&mut self) -> Option<&'a [u8]> {
        self.rest = self.rest.trim_ascii_start();
        let all = self.rest;
        if !matches!(all.first()?, b'[' | b'(') {
            return self.string();
        }
        let mut depth = 0u32;
        loop {
            match *self.rest.first()? {
                b'\'' | b'"' => {
                    self.string()?;
                    continue;
                }
                b'[' | b'(' => depth += 1,
                b']' | b')' => depth -= 1,
                _ => {}
            }
            self.rest = &self.rest[1..];
            if depth == 0 {
                return Some(&all[..all.len() - self.rest.len()]);
            }
        }
    }

    /// Whole numbers in round brackets, with commas between. Python 2 may have written an `L` behind each.
    fn shape(&mut self) -> Option<Vec<u64>> {
        let mut shape = Vec::new();
        self.expect(b"(")?;
        while !self.has(b")") {
            let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (number, rest) = self.rest.split_at(digits);
            let next = |n: u64, byte: &u8| n.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
            shape.push((digits > 0).then(|| number.iter().fold(0, next))?);
            self.rest = rest;
            self.has(b"L");
            if !self.has(b",") {
                self.expect(b")")?;
                break;
            }
        }
        Some(shape)
    }
}

/// How numbers of numpy's type are stored; `None` for what is no number, or too wide.
pub(super) fn stored(descr: &str) -> Option<Stored> {
    let native = cfg!(target_endian = "big");
    let (is_big_endian, name) = match descr.split_at_checked(1)? {
        (">", name) => (true, name),
        ("<", name) => (false, name),
        ("=" | "|", name) => (native, name),
        _ => (native, descr),
    };
    let (kind, bytes) = match name {
        "b1" => (Kind::Bool, 1),
        "i1" => (Kind::Signed, 1),
        "i2" => (Kind::Signed, 2),
        "i4" => (Kind::Signed, 4),
        "i8" => (Kind::Signed, 8),
        "u1" => (Kind::Unsigned, 1),
        "u2" => (Kind::Unsigned, 2),
        "u4" => (Kind::Unsigned, 4),
        "u8" => (Kind::Unsigned, 8),
        "f2" => (Kind::Float, 2),
        "f4" => (Kind::Float, 4),
        "f8" => (Kind::Float, 8),
        _ => return None,
    };
    Some(Stored { kind, bytes, is_big_endian })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, text: &[u8]) -> Vec<u8> {
        let len = text.len() as u32;
        let len = if version == 1 { (len as u16).to_le_bytes().to_vec() } else { len.to_le_bytes().to_vec() };
        [MAGIC, &[version, 0], &len, text].concat()
    }

    fn parse(text: &str) -> std::result::Result<(String, bool, Vec<u64>), String> {
        Header::parse(&file(1, text.as_bytes())).map(|found| (found.descr, found.is_fortran, found.shape))
    }

    #[test]
    fn headers_as_numpy_has_written_them_at_all_times() {
        let found = |descr: &str, shape: &[u64]| Ok((descr.to_owned(), false, shape.to_vec()));
        for text in [
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }     \n",
            "{'shape': (3L,), 'fortran_order': False, 'descr': '<f8'}",
            "{\"descr\":\"<f8\",\"fortran_order\":False,\"shape\":(3,)}\n",
            "{u'descr': b'<f8', 'fortran_order': False, 'shape': (3),}",
        ] {
            assert_eq!(parse(text), found("<f8", &[3]), "{text}");
        }
        assert_eq!(
            parse("{'descr': '|b1', 'fortran_order': False, 'shape': (2, 0L, 7), }"),
            found("|b1", &[2, 0, 7])
        );
        assert_eq!(parse("{'descr': 'i8', 'fortran_order': False, 'shape': ()}"), found("i8", &[]));
        assert!(parse("{'descr': 'i8', 'fortran_order': True, 'shape': (1,)}").unwrap().1);
        let large = parse("{'descr': 'i8', 'fortran_order': False, 'shape': (99999999999999999999,)}");
        assert_eq!(large.unwrap().2, [u64::MAX]);
    }

    #[test]
    fn named_fields_are_passed_over_whatever_their_names() {
        let list = b"[('gr\xf6\\'\xdfe]', '<i8'), (\"b'(\", [('x', '<f4', (2,))])]";
        let text = [b"{'descr': ", &list[..], b", 'fortran_order': False, 'shape': (1,), }\n"].concat();
        let latin = Header::parse(&file(1, &text)).unwrap();
        assert!(latin.descr.starts_with("[('gr\u{f6}\\'\u{df}e]', '<i8')"), "{}", latin.descr);
        assert!(latin.descr.ends_with("(2,))])]"), "{}", latin.descr);
        let utf8 = "{'descr': [('gr\u{f6}\u{df}e', '<i8')], 'fortran_order': False, 'shape': (1,), }";
        let utf8 = Header::parse(&file(3, utf8.as_bytes())).unwrap();
        assert_eq!(utf8.descr, "[('gr\u{f6}\u{df}e', '<i8')]");
    }

    #[test]
    fn headers_that_are_wrong_say_where() {
        for (text, part) in [
            ("", "at its byte 0"),
            ("{'descr': '<f8', 'fortran_order': False}", "does not say"),
            ("{'descr': '<f8', 'fortran_order': Falsch, 'shape': (3,)}", "Falsch"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}", "-3"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (3,)", "it says ''"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (3,)} import os", "import os"),
            ("{'descr': '<f8, 'fortran_order': False, 'shape': (3,)}", "fortran_order"),
            ("{'descr': '<f8\\", "<f8"),
            ("{'descr': [[[", "it says ''"),
            ("{'colour': 1}", "1"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        for (bytes, part) in [
            (&b""[..], "not a .npy file"),
            (b"\x93NUMPY", "cut off"),
            (b"\x93NUMPY\x01\x00\x10", "cut off"),
            (b"\x93NUMPY\x01\x00\x10\x00{", "cut off"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "4294967295 bytes"),
            (b"\x93NUMPY\x09\x00\x10\x00{", "version 9"),
            (b"\x1f\x8b\x08\x00", "gzip"),
        ] {
            let error = Header::parse(bytes).unwrap_err();
            assert!(error.contains(part), "{bytes:?}: {error}");
        }
    }
}
