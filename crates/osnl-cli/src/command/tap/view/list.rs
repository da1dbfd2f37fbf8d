//! The list: a line for each event.

use osnl_model::Priority;

use super::kept::KeptEntry;
use super::state::ViewState;
use crate::terminal::{Tone, TonedText, cell};

/// Columns: a time, an exchange, a priority.
const TIME: usize = 12;
const EXCHANGE: usize = 9;
const PRIORITY: usize = 5;

/// The headings of the list.
pub(super) fn heads(width: usize) -> Vec<TonedText> {
    let [event, what] = rest(width);
    let text = format!(
        " {} {} {} {} {}",
        cell("SENT (UTC)", TIME),
        cell("EXCHANGE", EXCHANGE),
        cell("PRIO", PRIORITY),
        cell("EVENT TYPE", event),
        cell("RESOURCE", what)
    );
    vec![(Tone::Strong, text)]
}

pub(super) fn lines(state: &ViewState, width: usize) -> Vec<Vec<TonedText>> {
    let selected = state.listed.selected();
    let on_screen = state.listed.on_screen();
    let kept = on_screen.filter_map(|number| Some((number, state.ring.get(number)?)));
    let lines: Vec<Vec<TonedText>> =
        kept.map(|(number, kept)| line(kept, width, selected == Some(number))).collect();
    if !lines.is_empty() {
        return lines;
    }
    let text = match (state.ring.last(), &state.search) {
        (0, _) => "  no event yet; m shows the connection log".to_owned(),
        (_, Some((typed, _))) => format!("  no event matches the filter \"{typed}\"; Esc lists all events"),
        (_, None) => String::new(),
    };
    vec![vec![(Tone::Dim, text)]]
}

fn line(kept: &KeptEntry, width: usize, selected: bool) -> Vec<TonedText> {
    let [event, what] = rest(width);
    let priority = kept.priority.as_ref().map_or(String::new(), |priority| priority.as_str().to_uppercase());
    let mark = if selected { ">" } else { " " };
    let text = format!(
        "{mark}{} {} {} {} {}",
        cell(&kept.time, TIME),
        cell(&kept.exchange, EXCHANGE),
        cell(&crate::clean::text(&priority), PRIORITY),
        cell(&kept.event_type, event),
        cell(&kept.what, what)
    );
    vec![(if selected { Tone::Chosen } else { shade(kept) }, text)]
}

/// Returns the widths that are left for the type, and for the resource.
fn rest(width: usize) -> [usize; 2] {
    let left = width.saturating_sub(TIME + EXCHANGE + PRIORITY + 5);
    let event = (left * 45 / 100).clamp(20.min(left), 44);
    [event, left.saturating_sub(event)]
}

/// Returns the colour that sets trouble apart.
fn shade(kept: &KeptEntry) -> Tone {
    match kept.priority {
        _ if !kept.readable => Tone::Warn,
        _ if kept.is_failure => Tone::Bad,
        Some(Priority::Error | Priority::Critical) => Tone::Bad,
        Some(Priority::Warn) => Tone::Warn,
        Some(Priority::Debug | Priority::Sample) => Tone::Dim,
        Some(Priority::Audit | Priority::Info | Priority::Other(_)) | None => Tone::Plain,
    }
}
