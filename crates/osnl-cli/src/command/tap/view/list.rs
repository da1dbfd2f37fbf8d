use ratatui::Frame;
use ratatui::layout::{Constraint, Offset, Rect};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{HighlightSpacing, Row, Table, TableState};

use super::super::line;
use super::kept::KeptEntry;
use super::state::ViewState;
use crate::clean;
use crate::terminal::{Tone, clipped};

const TIME: usize = 12;
const EXCHANGE: usize = 9;
const PRIORITY: usize = 5;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &ViewState) {
    let left = usize::from(area.width).saturating_sub(TIME + EXCHANGE + PRIORITY + 5);
    let event = (left * 45 / 100).clamp(20.min(left), 44);
    let widths = [TIME, EXCHANGE, PRIORITY, event, left.saturating_sub(event)];
    let row = |kept: &KeptEntry| {
        let priority =
            kept.priority.as_ref().map_or(String::new(), |priority| priority.as_str().to_uppercase());
        let cells = [&kept.time, &kept.exchange, &*clean::text(&priority), &kept.event_type, &kept.what];
        let cells = cells.into_iter().zip(widths).map(|(text, width)| clipped(text, width).into_owned());
        Row::new(cells).style(shade(kept))
    };
    let on_screen = || state.listed.on_screen().filter_map(|number| Some((number, state.ring.get(number)?)));
    let selected = on_screen().position(|(number, _)| Some(number) == state.listed.selected());
    let table =
        Table::new(on_screen().map(|(_, kept)| row(kept)), widths.map(|width| Constraint::Max(width as u16)))
            .header(Row::new(["SENT (UTC)", "EXCHANGE", "PRIO", "EVENT TYPE", "RESOURCE"]).bold())
            .highlight_symbol(">")
            .highlight_spacing(HighlightSpacing::Always)
            .row_highlight_style(Style::new().reversed());
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(selected));
    if selected.is_none() {
        frame.render_widget(nothing(state).dim(), area.offset(Offset::new(0, 1)).intersection(area));
    }
}

fn nothing(state: &ViewState) -> Line<'static> {
    match (state.ring.last(), &state.search) {
        (0, _) => "  no event yet; m shows the connection log".into(),
        (_, Some((typed, _))) => {
            format!("  no event matches the filter \"{typed}\"; Esc lists all events").into()
        }
        (_, None) => Line::default(),
    }
}

fn shade(kept: &KeptEntry) -> Tone {
    match kept {
        KeptEntry { readable: false, .. } => Tone::Warn,
        KeptEntry { is_failure: true, .. } => Tone::Bad,
        KeptEntry { priority, .. } => line::shade(priority.as_ref()),
    }
}
