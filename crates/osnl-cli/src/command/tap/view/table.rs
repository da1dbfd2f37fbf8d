use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Block, Padding, Row, Table};

use super::state::ViewState;
use crate::clean;
use crate::command::tap::rates::live::{RateOrder, RateRow};
use crate::terminal::clipped;

const NUMBERS: [u16; 4] = [10, 11, 11, 9];
const RATES: [&str; 2] = ["EVENTS PER SECOND:", "PER SECOND:"];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &ViewState) {
    let names = area.width.saturating_sub(NUMBERS.iter().map(|width| width + 1).sum::<u16>() + 2);
    let row = |row: &RateRow| {
        let name = Line::from(clipped(&clean::text(&row.name), names.into()).into_owned());
        let numbers = row.rates.map(|rate| format!("{rate:.1}")).into_iter().chain([row.total.to_string()]);
        Row::new([name].into_iter().chain(numbers.map(|number| Line::from(number).right_aligned())))
    };
    let (rows, sum) = &state.table;
    let shown = rows.iter().skip(state.top).take(state.rows.saturating_sub(1));
    let shown = shown.map(|found| match found.rates[2] == 0.0 {
        true => row(found).dim(),
        false => row(found),
    });
    let widths = [names].into_iter().chain(NUMBERS).map(Constraint::Length);
    let table = Table::new([row(sum).bold()].into_iter().chain(shown), widths)
        .header(heads(state, names.into()).style(Style::new().bold()))
        .block(Block::new().padding(Padding::horizontal(1)));
    frame.render_widget(table, area);
}

fn heads(state: &ViewState, names: usize) -> Row<'static> {
    // By default numbers descend, and names ascend.
    let is_ascending = (state.order == RateOrder::Name) != state.reversed;
    let mark = if is_ascending { '↑' } else { '↓' };
    let marked = |order: RateOrder, name: String| {
        if state.order == order { format!("{name} {mark}") } else { name }
    };
    let name = marked(RateOrder::Name, "TYPE".to_owned());
    let beside = names.saturating_sub(name.chars().count());
    let rates = RATES.iter().find(|rates| rates.len() < beside).unwrap_or(&"");
    let [one, ten, sixty] = state.spans.map(|seconds| format!("last {seconds} s"));
    let numbers = [
        marked(RateOrder::Second, one),
        marked(RateOrder::Ten, ten),
        marked(RateOrder::Sixty, sixty),
        marked(RateOrder::Total, "total".to_owned()),
    ];
    let name = Line::from(format!("{name}{rates:>beside$}"));
    Row::new([name].into_iter().chain(numbers.map(|number| Line::from(number).right_aligned())))
}
