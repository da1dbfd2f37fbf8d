//! The rates: a line for each type, and one for all.

use super::state::ViewState;
use crate::clean;
use crate::command::tap::rates::live::{RateOrder, RateRow};
use crate::terminal::{Tone, TonedText, cell};

/// The widths of the columns of numbers: two rates, the rate of the last minute, the total.
const NUMBERS: [usize; 4] = [10, 11, 11, 9];
/// The heading before the columns of rates: the first for which there is room.
const RATES: [&str; 2] = ["EVENTS PER SECOND:", "PER SECOND:"];

/// The headings of the table; the column that it is sorted by has a mark.
pub(super) fn heads(state: &ViewState, width: usize) -> Vec<TonedText> {
    // Numbers begin with the largest, names with the first of the alphabet.
    let is_ascending = (state.order == RateOrder::Name) != state.reversed;
    let mark = if is_ascending { '↑' } else { '↓' };
    let [one, ten, sixty] = state.spans.map(|seconds| format!("last {seconds} s"));
    let columns = [
        (RateOrder::Second, one),
        (RateOrder::Ten, ten),
        (RateOrder::Sixty, sixty),
        (RateOrder::Total, "total".to_owned()),
    ];
    let marked = |order: RateOrder, name: &str| {
        if state.order == order { format!("{name} {mark}") } else { name.to_owned() }
    };
    let (name, room) = (marked(RateOrder::Name, "TYPE"), names(width));
    let beside = room.saturating_sub(name.chars().count());
    let rates = RATES.iter().find(|rates| rates.len() < beside).unwrap_or(&"");
    let mut text = format!(" {}", cell(&format!("{name}{rates:>beside$}"), room));
    for ((order, name), width) in columns.into_iter().zip(NUMBERS) {
        text.push_str(&format!(" {:>width$}", marked(order, &name)));
    }
    vec![(Tone::Strong, text)]
}

pub(super) fn lines(state: &ViewState, width: usize) -> Vec<Vec<TonedText>> {
    let (rows, sum) = &state.table;
    let shown = rows.iter().skip(state.top).take(state.rows.saturating_sub(1));
    let mut lines = vec![line(sum, width, Tone::Strong)];
    lines
        .extend(shown.map(|row| line(row, width, if row.rates[2] == 0.0 { Tone::Dim } else { Tone::Plain })));
    lines
}

fn line(row: &RateRow, width: usize, tone: Tone) -> Vec<TonedText> {
    let mut text = format!(" {}", cell(&clean::text(&row.name), names(width)));
    row.rates.iter().zip(NUMBERS).for_each(|(rate, width)| text.push_str(&format!(" {rate:>width$.1}")));
    text.push_str(&format!(" {:>1$}", row.total, NUMBERS[3]));
    vec![(tone, text)]
}

fn names(width: usize) -> usize {
    width.saturating_sub(NUMBERS.iter().map(|width| width + 1).sum::<usize>() + 2)
}
