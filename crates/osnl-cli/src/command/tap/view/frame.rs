//! A screen: two header lines, the page's headings, the page, and a foot with hints or input. The
//! same state always gives the same screen.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Style, Stylize as _};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Paragraph};
use unicode_truncate::UnicodeTruncateStr as _;

use super::state::{Prompt, TapPage, ViewState};
use super::{help, list, table};
use crate::clean;
use crate::command::tap::voice::ConnectionState;
use crate::terminal::clipped;

pub(super) fn draw(frame: &mut Frame<'_>, state: &mut ViewState, standing: &ConnectionState, colour: bool) {
    let area = frame.area();
    let [link, counts] = title(state, standing);
    let [place, filter] = place(state, standing, area.width.into());
    let first = Block::new()
        .title(Line::from(vec![" osnl tap  ".bold(), link]))
        .title(Line::from(counts).right_aligned())
        .title_bottom(foot(state, standing, area.width.into()));
    let second = Block::new().title(place).title(Line::from(filter).right_aligned());
    let below = first.inner(area);
    frame.render_widget(first, area);
    frame.render_widget(&second, below);
    page(frame, second.inner(below), state, standing);
    if !colour {
        frame.buffer_mut().set_style(area, Style::reset());
    }
}

fn page(frame: &mut Frame<'_>, area: Rect, state: &mut ViewState, standing: &ConnectionState) {
    let rows = usize::from(area.height.saturating_sub(1));
    let width = area.width.into();
    let (all, heads) = match state.page {
        TapPage::List => {
            state.fit(rows, 0);
            return list::draw(frame, area, state);
        }
        TapPage::Rates => {
            state.fit(rows, state.table.0.len() + 1);
            return table::draw(frame, area, state);
        }
        TapPage::Detail => {
            let Some(detail) = &state.detail else { return };
            if let Some(at) = state.jump.take() {
                state.top = wrapped(&detail.lines[..at.min(detail.lines.len())], width).len();
            }
            (wrapped(&detail.lines, width), format!(" event {} of {} seen", detail.number, state.seen))
        }
        TapPage::Messages => {
            let told = standing.told.iter().map(|(at, text)| {
                Line::from(vec![format!(" {} ", at.strftime("%H:%M:%S")).dim(), text.clone().into()])
            });
            (wrapped(&told.collect::<Vec<_>>(), width), " connection log, UTC".to_owned())
        }
        TapPage::Help => (wrapped(&help::lines(), width), " keys".to_owned()),
    };
    state.fit(rows, all.len());
    let end = (state.top + rows).min(all.len());
    let heads = if all.len() > rows {
        format!("{heads}, lines {} to {end} of {}", state.top + 1, all.len())
    } else {
        heads
    };
    let lines = Text::from(all[state.top..end].to_vec());
    frame.render_widget(Paragraph::new(lines).block(Block::new().title(heads.bold())), area);
}

/// Breaks long lines; their pieces begin below the text of the last span.
///
/// `Paragraph` would begin pieces at the edge, and cannot scroll beyond 65,535 lines.
fn wrapped(lines: &[Line<'static>], width: usize) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    for line in lines {
        let Some((last, before)) = line.spans.split_last().filter(|_| line.width() > width) else {
            out.push(line.clone());
            continue;
        };
        let used: usize = before.iter().map(Span::width).sum();
        let blanks = last.content.len() - last.content.trim_start().len();
        let indent = (used + blanks).min(width / 2);
        let (mut spans, mut free, mut rest) = (before.to_vec(), width.saturating_sub(used), &*last.content);
        while !rest.is_empty() {
            let fits = rest.unicode_truncate(free).0.len();
            // A character wider than the whole column must pass, or the loop would not end.
            let fits = if fits == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { fits };
            let (piece, more) = rest.split_at(fits);
            spans.push(Span::styled(piece.to_owned(), last.style));
            out.push(Line::from(std::mem::replace(&mut spans, vec![" ".repeat(indent).into()])));
            (free, rest) = (width - indent, more);
        }
    }
    out
}

fn title(state: &ViewState, standing: &ConnectionState) -> [Span<'static>; 2] {
    let link = if state.paused {
        format!("paused, {} passed", state.passed).yellow()
    } else if standing.connected {
        "live".green()
    } else if standing.host.is_empty() {
        "connecting".yellow()
    } else {
        "connection lost".red()
    };
    let sum = &state.table.1;
    let mut counts = format!("{} seen, {:.1}/s", state.seen, sum.rates[1]);
    if standing.dropped > 0 {
        counts.push_str(&format!(", {} dropped by the queue's limit", standing.dropped));
    }
    if standing.gaps > 0 {
        counts.push_str(&format!(", {} gaps", standing.gaps));
    }
    counts.push(' ');
    [link, counts.into()]
}

fn place(state: &ViewState, standing: &ConnectionState, width: usize) -> [Span<'static>; 2] {
    let text = if standing.host.is_empty() {
        " not connected yet".to_owned()
    } else if standing.has_topics {
        let topics = match &standing.bound[..] {
            [] => "no topic matches yet".to_owned(),
            some => some.join(", "),
        };
        format!(" {} topics: {topics}", standing.host)
    } else {
        let exchanges = match &standing.bound[..] {
            [] if standing.chosen => "no known exchange exists yet".to_owned(),
            [] => "no exchange exists yet".to_owned(),
            some => format!("bound to {}", some.join(", ")),
        };
        format!(" {} virtual host \"{}\", {exchanges}", standing.host, standing.virtual_host)
    };
    let listed = match &state.search {
        Some((typed, _)) if state.page == TapPage::List => {
            let (found, all) = (state.listed.len(), state.ring.iter().count());
            format!(" | filter \"{}\": {found} of {all}", clean::text(typed))
        }
        Some(_) | None => String::new(),
    };
    let listed = listed.yellow();
    let text = clean::text(&text);
    [clipped(&text, width.saturating_sub(listed.width())).into_owned().dim(), listed]
}

fn foot(state: &ViewState, standing: &ConnectionState, width: usize) -> Line<'static> {
    let typing = |what: &'static str, text: &str| {
        let text = clean::text(text);
        let (end, _) = text.unicode_truncate_start(width.saturating_sub(what.len() + 1));
        Line::from(vec![what.bold(), end.to_owned().into(), " ".reversed()])
    };
    if let Some(note) = &state.note {
        return format!(" {}", clean::text(note)).yellow().into();
    }
    match &state.prompt {
        Some(Prompt::Search(text)) => return typing(" /", text),
        Some(Prompt::Save(text)) => return typing(" save to: ", text),
        None => {}
    }
    let keys = match state.page {
        TapPage::List if state.listed.follows() => {
            "Up, Down select  Enter open  / filter  p pause  Tab rates  ? help  q quit"
        }
        TapPage::List => "Enter open  / filter  s save  End follow  p pause  Tab rates  ? help  q quit",
        TapPage::Detail if state.detail.as_ref().is_some_and(|detail| detail.rules_at.is_some()) => {
            "Up, Down scroll  Left, Right events  r rules  s save  Esc back  q quit"
        }
        TapPage::Detail => "Up, Down scroll  Left, Right events  s save  Esc back  q quit",
        TapPage::Rates => {
            "t sort by type  1, 2, 3 by a rate  a by total  r reverse  Tab list  ? help  q quit"
        }
        TapPage::Messages | TapPage::Help => "Esc back  q quit",
    };
    let moving = matches!(state.page, TapPage::List | TapPage::Rates);
    let told = standing.told.back().filter(|_| moving && !standing.connected);
    match told {
        Some((_, text)) => format!(" {text}").yellow().into(),
        None => format!(" {keys}").dim().into(),
    }
}
