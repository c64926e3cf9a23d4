//! Rows with texts in them on their way to a file of columns: fields one behind the other, a number as its 64 bits, a text
//! as its length (32 bits) and its bytes; behind them, where rows may have gaps, a byte that says whether one has. Numbers
//! are little-endian.

use crate::data::schema::{ColumnType, Schema};
use crate::data::texts::Texts;
use crate::output::encode::{Values, fields_of, missing};

/// Appends a row of fields, each of its type and with its bits, where it has a value.
fn pack(
    fields: impl Iterator<Item = (ColumnType, Option<u64>)>,
    gap: Option<bool>,
    texts: Texts,
    out: &mut Vec<u8>,
) {
    let field = |(dtype, bits): (ColumnType, Option<u64>)| {
        let bits = bits.unwrap_or(missing(dtype));
        match dtype {
            ColumnType::Bytes => Field::Text(texts.get(bits)),
            ColumnType::I64 | ColumnType::F64 => Field::Number(bits),
        }
    };
    pack_fields(fields.map(field), gap, out);
}

/// Appends `count` rows of `columns` and answers; where there are fewer answers than rows the rest have none.
pub fn pack_rows(
    count: usize,
    columns: &[Values],
    answers: Values,
    gaps: bool,
    texts: Texts,
    out: &mut Vec<u8>,
) {
    for row in 0..count {
        let gap = gaps.then_some(row >= answers.bits.len());
        pack(fields_of(row, columns, &answers), gap, texts, out);
    }
}

/// Rows of `table` as [`pack_rows`] has them; one has a gap where it lacks any value.
pub fn pack_table(rows: &[Vec<Option<u64>>], table: &Schema, gaps: bool, texts: Texts) -> Vec<u8> {
    let mut out = Vec::new();
    for row in rows {
        let fields = table.dtypes().zip(row.iter().copied());
        pack(fields, gaps.then(|| row.iter().any(Option::is_none)), texts, &mut out);
    }
    out
}

/// A field of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// The bits of a number.
    Number(u64),
    /// A text.
    Text(&'a [u8]),
}

/// Appends a row of fields as [`unpack`] has given them.
pub fn pack_fields<'a>(fields: impl Iterator<Item = Field<'a>>, gap: Option<bool>, out: &mut Vec<u8>) {
    for field in fields {
        match field {
            Field::Number(bits) => out.extend(bits.to_le_bytes()),
            Field::Text(text) => {
                out.extend((text.len() as u32).to_le_bytes());
                out.extend_from_slice(text);
            }
        }
    }
    out.extend(gap.map(u8::from));
}

/// Takes the first row, of columns of these types, from the front of `bytes`: its fields, and whether it has a gap.
/// `None` where it is not all there.
pub fn unpack<'a>(
    bytes: &mut &'a [u8],
    dtypes: impl Iterator<Item = ColumnType>,
    gaps: bool,
) -> Option<(Vec<Field<'a>>, bool)> {
    let mut rest = *bytes;
    let mut fields = Vec::new();
    for dtype in dtypes {
        match dtype {
            ColumnType::Bytes => {
                let (len, behind) = rest.split_first_chunk::<4>()?;
                let (text, behind) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)?;
                (rest, _) = (behind, fields.push(Field::Text(text)));
            }
            ColumnType::I64 | ColumnType::F64 => {
                let (word, behind) = rest.split_first_chunk::<8>()?;
                (rest, _) = (behind, fields.push(Field::Number(u64::from_le_bytes(*word))));
            }
        }
    }
    let has_gap = match gaps {
        true => {
            let (gap, behind) = rest.split_first()?;
            rest = behind;
            *gap != 0
        }
        false => false,
    };
    *bytes = rest;
    Some((fields, has_gap))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::schema;
    use crate::data::texts::KnownTexts;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_back_however_they_are_cut(
            rows in prop::collection::vec((prop::option::of(any::<i64>()), prop::option::of(".{0,9}"), any::<u64>()), 1..20),
            gaps: bool, cut in any::<prop::sample::Index>(),
        ) {
            let field = |(name, dtype): (&str, _)| schema::Field { name: name.to_owned(), dtype };
            let fields = [("a", ColumnType::I64), ("b", ColumnType::Bytes), ("c", ColumnType::I64)];
            let table = Schema { fields: fields.map(field).to_vec() };
            let mut known = KnownTexts::default();
            let packed: Vec<Vec<Option<u64>>> = rows
                .iter()
                .map(|(a, b, c)| vec![a.map(|a| a as u64), b.as_ref().and_then(|b| known.word(b.as_bytes())), Some(*c)])
                .collect();
            let bytes = pack_table(&packed, &table, gaps, known.texts());
            let (mut found, mut waiting) = (Vec::new(), Vec::new());
            let cut = cut.index(bytes.len());
            for piece in [&bytes[..cut], &bytes[cut..]] {
                waiting.extend_from_slice(piece);
                let mut rest = &waiting[..];
                while let Some((fields, gap)) = unpack(&mut rest, table.dtypes(), gaps) {
                    let [Field::Number(a), Field::Text(b), Field::Number(c)] = fields[..] else { panic!() };
                    found.push((a, b.to_vec(), c, gap));
                }
                waiting = rest.to_vec();
            }
            prop_assert!(waiting.is_empty());
            let expected: Vec<_> = rows
                .into_iter()
                .map(|(a, b, c)| {
                    let gap = gaps && (a.is_none() || b.is_none());
                    (a.unwrap_or(0) as u64, b.unwrap_or_default().into_bytes(), c, gap)
                })
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
