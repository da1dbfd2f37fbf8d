//! The tables of listings: no borders, two spaces between columns, no trailing blanks, and no cell
//! is cut.
//!
//! Callers clean foreign text before, and colour finished lines.

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table};
use unicode_width::UnicodeWidthStr as _;

pub(super) fn table<R: Into<Row>>(rows: impl IntoIterator<Item = R>) -> String {
    table_within(rows, None, &[])
}

/// Returns the table for a terminal of `columns`. A table that is too wide loses these columns, the
/// first named first.
pub(super) fn table_within<R: Into<Row>>(
    rows: impl IntoIterator<Item = R>,
    within: Option<usize>,
    expendable: &[usize],
) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text =
        |table: &Table| -> String { table.lines().map(|line| line.trim_end().to_owned() + "\n").collect() };
    let mut lines = text(&table);
    for &column in expendable {
        if within.is_none_or(|within| breadth(&lines) <= within) {
            break;
        }
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::Hidden);
        }
        lines = text(&table);
    }
    lines
}

pub(super) fn paragraph(text: &str, columns: usize) -> String {
    let mut table = Table::new();
    let width = u16::try_from(columns).unwrap_or(u16::MAX);
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.add_row([text]);
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 0));
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

pub(super) fn breadth(lines: &str) -> usize {
    lines.lines().map(|line| line.width()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_a_narrow_terminal_loses_the_least_important() {
        let rows =
            [["name", "since", "dead", "target"], ["仮想", "12 s", "1", "http://x/"], ["a", "", "", ""]];
        for (within, expected) in [
            (None, "name  since  dead  target\n仮想  12 s   1     http://x/\na\n"),
            (Some(28), "name  since  dead  target\n仮想  12 s   1     http://x/\na\n"),
            (Some(27), "name  since  dead\n仮想  12 s   1\na\n"),
            (Some(16), "name  dead\n仮想  1\na\n"),
            (Some(2), "name  dead\n仮想  1\na\n"),
        ] {
            assert_eq!(table_within(rows, within, &[3, 1]), expected, "{within:?}");
        }
        assert_eq!(table::<[&str; 0]>([]), "");
    }
}
