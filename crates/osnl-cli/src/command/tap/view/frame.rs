//! A screen: two lines of where it looks and how it goes, the heads of the page, the page, and one line of what can be
//! done or is typed. Pure: the same state has the same lines.

use std::borrow::Cow;

use super::state::{Prompt, TapPage, ViewState};
use super::{help, list, table};
use crate::clean;
use crate::command::tap::voice::ConnectionState;
use crate::terminal::{Size, Tone, TonedText, cell, paint, width as columns, wrap};

/// Lines above and below a page.
const AROUND: usize = 4;

/// Exactly as many lines as the size has, none wider.
pub(super) fn lines(
    state: &mut ViewState,
    standing: &ConnectionState,
    size: Size,
    colour: bool,
) -> Vec<String> {
    let Size { width, height } = size;
    let rows = height.saturating_sub(AROUND);
    let (page, heads) = page(state, standing, (width, rows));
    let mut lines = vec![title(state, standing, width), place(state, standing, width), heads];
    lines.extend(page);
    lines.resize(height.saturating_sub(1), Vec::new());
    lines.push(foot(state, standing, width));
    // The last lines are those that one cannot do without.
    let skipped = lines.len().saturating_sub(height);
    lines.drain(..skipped);
    lines.iter().map(|spans| paint(spans, width, colour)).collect()
}

/// The page, as many lines as fit, and what stands above it.
fn page(
    state: &mut ViewState,
    standing: &ConnectionState,
    (width, rows): (usize, usize),
) -> (Vec<Vec<TonedText>>, Vec<TonedText>) {
    let (all, heads) = match state.page {
        TapPage::List => {
            state.fit(rows, 0);
            return (list::lines(state, width), list::heads(width));
        }
        TapPage::Rates => {
            // The line of all stays.
            state.fit(rows, state.table.0.len() + 1);
            return (table::lines(state, width), table::heads(state, width));
        }
        TapPage::Detail => {
            let number = state.detail.as_ref().map_or(0, |detail| detail.number);
            let lines = state.detail.as_ref().map_or(Vec::new(), |detail| wrapped(&detail.lines, width));
            if let (Some(at), Some(detail)) = (state.jump.take(), &state.detail) {
                state.top = wrapped(&detail.lines[..at.min(detail.lines.len())], width).len();
            }
            (lines, format!(" event {number} of {} seen", state.seen))
        }
        TapPage::Messages => {
            let told = standing.told.iter().map(|(at, text)| {
                vec![(Tone::Dim, format!(" {} ", at.strftime("%H:%M:%S"))), (Tone::Plain, text.clone())]
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
    (all[state.top..end].to_vec(), vec![(Tone::Strong, heads)])
}

/// Lines that are too long go on below, their beginning kept free.
fn wrapped(lines: &[Vec<TonedText>], width: usize) -> Vec<Vec<TonedText>> {
    let mut out = Vec::new();
    for line in lines {
        let wide: usize = line.iter().map(|(_, text)| columns(text)).sum();
        let Some(((tone, last), before)) = line.split_last().filter(|_| wide > width) else {
            out.push(line.clone());
            continue;
        };
        let used: usize = before.iter().map(|(_, text)| columns(text)).sum();
        let blanks = columns(last) - columns(last.trim_start());
        let free = width.saturating_sub(used).max(1);
        let (first, rest) = last.split_at(wrap(last, free)[0].len());
        out.push(before.iter().cloned().chain([(*tone, first.to_owned())]).collect());
        // Further lines begin where the text did.
        let indent = (used + blanks).min(width / 2);
        for piece in wrap(rest, width.saturating_sub(indent)) {
            out.push(vec![(*tone, format!("{}{piece}", " ".repeat(indent)))]);
        }
    }
    out
}

fn title(state: &ViewState, standing: &ConnectionState, width: usize) -> Vec<TonedText> {
    let link = if standing.connected {
        (Tone::Good, "live".to_owned())
    } else if standing.host.is_empty() {
        (Tone::Warn, "connecting".to_owned())
    } else {
        (Tone::Bad, "connection lost".to_owned())
    };
    let link = if state.paused { (Tone::Warn, format!("paused, {} passed", state.passed)) } else { link };
    let sum = &state.table.1;
    let mut counts = format!("{} seen, {:.1}/s", state.seen, sum.rates[1]);
    if standing.dropped > 0 {
        counts.push_str(&format!(", {} dropped by the queue's limit", standing.dropped));
    }
    if standing.gaps > 0 {
        counts.push_str(&format!(", {} gaps", standing.gaps));
    }
    let name = " osnl tap  ".to_owned();
    let free = width.saturating_sub(columns(&name) + columns(&link.1) + columns(&counts) + 1);
    vec![(Tone::Strong, name), link, (Tone::Plain, " ".repeat(free)), (Tone::Plain, counts)]
}

fn place(state: &ViewState, standing: &ConnectionState, width: usize) -> Vec<TonedText> {
    let mut text = if standing.host.is_empty() {
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
    text = clean::text(&text).into_owned();
    let listed = match &state.search {
        Some((typed, _)) if state.page == TapPage::List => {
            format!(
                " | filter \"{}\": {} of {}",
                clean::text(typed),
                state.listed.len(),
                state.ring.iter().count()
            )
        }
        Some(_) | None => String::new(),
    };
    let free = width.saturating_sub(columns(&listed));
    vec![(Tone::Dim, cell(&text, free)), (Tone::Warn, listed)]
}

fn foot(state: &ViewState, standing: &ConnectionState, width: usize) -> Vec<TonedText> {
    let typing = |what: &str, text: &str| {
        let text = clean::text(text).into_owned();
        // The end is what is being typed.
        let over = columns(&text).saturating_sub(width.saturating_sub(columns(what) + 2));
        let text: String = text.chars().skip(over).collect();
        vec![(Tone::Strong, what.to_owned()), (Tone::Plain, text), (Tone::Chosen, " ".to_owned())]
    };
    if let Some(note) = &state.note {
        return vec![(Tone::Warn, format!(" {}", clean::text(note)))];
    }
    match &state.prompt {
        Some(Prompt::Search(text)) => return typing(" /", text),
        Some(Prompt::Save(text)) => return typing(" save to: ", text),
        None => {}
    }
    let keys: Cow<'_, str> = match state.page {
        TapPage::List if state.listed.follows() => {
            "Up, Down select  Enter open  / filter  p pause  Tab rates  ? help  q quit".into()
        }
        TapPage::List => {
            "Enter open  / filter  s save  End follow  p pause  Tab rates  ? help  q quit".into()
        }
        TapPage::Detail if state.detail.as_ref().is_some_and(|detail| detail.rules_at.is_some()) => {
            "Up, Down scroll  Left, Right events  r rules  s save  Esc back  q quit".into()
        }
        TapPage::Detail => "Up, Down scroll  Left, Right events  s save  Esc back  q quit".into(),
        TapPage::Rates => {
            "t sort by type  1, 2, 3 by a rate  a by total  r reverse  Tab list  ? help  q quit".into()
        }
        TapPage::Messages | TapPage::Help => "Esc back  q quit".into(),
    };
    // Why nothing comes is more urgent than what keys do.
    let moving = matches!(state.page, TapPage::List | TapPage::Rates);
    let told = standing.told.back().filter(|_| moving && !standing.connected);
    match told {
        Some((_, text)) => vec![(Tone::Warn, format!(" {text}"))],
        None => vec![(Tone::Dim, format!(" {keys}"))],
    }
}
