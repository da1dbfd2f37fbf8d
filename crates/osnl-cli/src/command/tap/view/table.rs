//! The rates: a line for each type, and one for all.

use super::state::ViewState;
use crate::command::tap::clean;
use crate::command::tap::rates::live::{Order, Row};
use crate::terminal::{Span, Tone, cell};

/// Columns of numbers.
const NUMBER: usize = 9;

/// The headings of the table; the column that it is sorted by has a mark.
pub(super) fn heads(state: &ViewState, width: usize) -> Vec<Span> {
    // Numbers begin with the largest, names with the first of the alphabet.
    let is_ascending = (state.order == Order::Name) != state.reversed;
    let mark = if is_ascending { '↑' } else { '↓' };
    let [one, ten, sixty] = state.spans.map(|seconds| format!("{seconds} s"));
    let columns =
        [(Order::Second, one), (Order::Ten, ten), (Order::Sixty, sixty), (Order::Total, "total".to_owned())];
    let marked = |order: Order, name: &str| {
        if state.order == order { format!("{name} {mark}") } else { name.to_owned() }
    };
    let mut text = format!(" {}", cell(&marked(Order::Name, "TYPE, EVENTS PER SECOND OVER"), names(width)));
    for (order, name) in columns {
        text.push_str(&format!(" {:>NUMBER$}", marked(order, &name)));
    }
    vec![(Tone::Strong, text)]
}

pub(super) fn lines(state: &ViewState, width: usize) -> Vec<Vec<Span>> {
    let (rows, sum) = &state.table;
    let shown = rows.iter().skip(state.top).take(state.rows.saturating_sub(1));
    let mut lines = vec![line(sum, width, Tone::Strong)];
    lines
        .extend(shown.map(|row| line(row, width, if row.rates[2] == 0.0 { Tone::Dim } else { Tone::Plain })));
    lines
}

fn line(row: &Row, width: usize, tone: Tone) -> Vec<Span> {
    let mut text = format!(" {}", cell(&clean::text(&row.name), names(width)));
    row.rates.iter().for_each(|rate| text.push_str(&format!(" {rate:>NUMBER$.1}")));
    text.push_str(&format!(" {:>NUMBER$}", row.total));
    vec![(tone, text)]
}

fn names(width: usize) -> usize {
    width.saturating_sub(4 * (NUMBER + 1) + 2)
}
