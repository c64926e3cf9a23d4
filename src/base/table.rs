//! Tables for people, of aligned columns without lines. What is in them is for others.

use comfy_table::{CellAlignment, Table, presets};

/// An empty one, of columns with these names. Those in `left` go to the left, as names do; the others, as numbers
/// do, to the right.
pub fn headed(header: &[&str], left: &[usize]) -> Table {
    let mut table = plain();
    table.set_header(header.to_vec());
    align(&mut table, left);
    table
}

/// An empty one without names of columns, to be aligned when it is full.
pub fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// Sees to the columns that there are, as in [`headed`].
pub fn align(table: &mut Table, left: &[usize]) {
    for (i, column) in table.column_iter_mut().enumerate() {
        let alignment = if left.contains(&i) { CellAlignment::Left } else { CellAlignment::Right };
        column.set_cell_alignment(alignment);
        column.set_padding((if i == 0 { 0 } else { 2 }, 0));
    }
}

/// Its lines, without blanks at their ends.
pub fn text(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
