//! `osnl history`: what happened to a resource, a line for each happening, oldest first.

use std::collections::BTreeMap;
use std::ops::Range;

use clap::Args;
use osnl::control::{
    ControlRequest, DeliveryObstacle, HistoryEntry, HistoryKind, ResourceHistory, StateTone, counted,
    relative, short_answer,
};

use super::asking::{NoAnswer, Respondent, print_json, print_tinted, short};
use super::table::{breadth, table};
use crate::exit::Exit;
use crate::flags::{FormatArgs, OutputFormat, PlaceArgs};
use crate::output;
use crate::terminal::{self, Tone};

/// The room that the last column has at least.
const DETAIL: usize = 24;
const LONGEST: usize = 500;

/// The flags of `osnl history`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 1 if nothing is known about it, 69 without daemon and journal.\n\n\
                  Example:\n  osnl history web-7 --limit 10",
    after_long_help = "\
    Asks the daemon, or uses the journal if none runs. A line is the arrival of a message, a rule that it \
    matched, a failed attempt (the first and the latest 19 of each delivery), or the end of a delivery. The last \
    lines, with the time `now`, are deliveries that have not ended. A message that matched no rule is shown only \
    if its body is kept (keep_unmatched_bodies): without it osnl does not know the resource. Ended deliveries are \
    kept for `retention`. `osnl deliveries show` has the requests and answers of a delivery, and its message."
)]
pub(crate) struct HistoryArgs {
    /// Resource: its id, its name, or its order key
    #[arg(value_name = "RESOURCE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    resource: String,
    /// Show at most the latest N deliveries
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &HistoryArgs) -> Exit {
    asked(args).unwrap_or_else(|error| error.complain())
}

fn asked(args: &HistoryArgs) -> Result<Exit, NoAnswer> {
    let request = ControlRequest::History { resource: args.resource.clone(), limit: args.limit };
    let history: ResourceHistory = Respondent::for_place(&args.place)?.ask(&request)?;
    Ok(match args.format.format {
        OutputFormat::Json => print_json(&history),
        OutputFormat::Text => print_tinted(&text(&history, terminal::columns()), tint(&history)),
    })
}

fn text(history: &ResourceHistory, columns: Option<usize>) -> String {
    let mut rows = vec![["TIME", "ID", "EVENT", "ACTION", "DETAIL"].map(str::to_owned)];
    rows.extend(history.entries.iter().map(row));
    let without_detail = rows.iter().map(|[at, id, event, action, _]| [at, id, event, action]);
    let before = breadth(&table(without_detail)) + 2;
    let room = columns.map_or(LONGEST, |columns| columns.saturating_sub(before).max(DETAIL));
    for row in &mut rows {
        row[4] = short(&row[4], room);
    }
    let mut text = table(rows);
    if history.more > 0 {
        let more = counted(history.more, "older delivery is", "older deliveries are");
        text.push_str(&format!(
            "{more} not shown; --limit shows up to 1000, osnl deliveries list --resource the others\n"
        ));
    }
    if history.unmatched_without_body > 0 {
        let unknown = counted(history.unmatched_without_body, "message", "messages");
        text.push_str(&format!(
            "{unknown} that matched no rule: the resource is not known without keep_unmatched_bodies; see osnl explain --unmatched\n"
        ));
    }
    if history.has_unread {
        text.push_str(
            "a queue has more dead letters than osnl reads at once: later ones are not shown; retry or discard earlier ones\n",
        );
    }
    text
}

fn row(entry: &HistoryEntry) -> [String; 5] {
    let or_none = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), |text| short(text, 60));
    let at = if entry.kind == HistoryKind::Pending { "now".to_owned() } else { entry.at.clone() };
    let event = entry.event.map(|event| event.to_string());
    let id = or_none(&entry.delivery.clone().or(event));
    [at, id, happened(entry), or_none(&entry.action), detail(entry)]
}

fn happened(entry: &HistoryEntry) -> String {
    let state = entry.state.map_or("-", |state| state.word());
    match entry.kind {
        HistoryKind::Received => "received",
        HistoryKind::NotMatched => "no rule matched",
        HistoryKind::Matched => "matched",
        HistoryKind::AttemptFailed => "attempt failed",
        HistoryKind::Ended | HistoryKind::Pending => state,
    }
    .to_owned()
}

fn detail(entry: &HistoryEntry) -> String {
    let said = entry.detail.as_deref().map(short_answer);
    match entry.kind {
        HistoryKind::Received | HistoryKind::NotMatched => {
            let named = [("message", &entry.message_id), ("queue", &entry.queue)];
            let named =
                named.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)));
            let event_type = entry.event_type.clone().unwrap_or_else(|| "no event type".to_owned());
            std::iter::once(event_type).chain(named).collect::<Vec<_>>().join(", ")
        }
        HistoryKind::Matched => format!("rule {}", entry.rule.as_deref().unwrap_or("-")),
        HistoryKind::AttemptFailed => said.unwrap_or_default(),
        HistoryKind::Ended | HistoryKind::Pending => {
            let obstacle = entry.waits_for.as_ref().map(|obstacle| match obstacle {
                DeliveryObstacle::Delivery { id } => format!("waits for {id}"),
                other => other.to_string(),
            });
            let next = entry.next_attempt.as_deref().map(|at| format!("next attempt {}", relative(at)));
            let made = entry.attempts.filter(|made| *made > 0);
            let made = made.map(|made| counted(made.into(), "attempt", "attempts"));
            [obstacle, next, made, said].into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
    }
}

/// Colours the third column by the state that it names.
fn tint(history: &ResourceHistory) -> impl Fn(&str) -> Option<(Tone, Range<usize>)> {
    let tone = |entry: &HistoryEntry| match (entry.kind, entry.state) {
        (HistoryKind::AttemptFailed, _) => StateTone::Warn,
        (_, state) => state.map_or(StateTone::Quiet, StateTone::from_phase),
    };
    let words: BTreeMap<String, Tone> = history
        .entries
        .iter()
        .map(|entry| (format!("  {}  ", happened(entry)), tone(entry).into()))
        .collect();
    move |line| {
        if line.starts_with("TIME ") {
            return output::all(Tone::Dim, line);
        }
        let found =
            words.iter().filter_map(|(word, tone)| Some((line.find(word)? + 2, word.len() - 4, *tone)));
        let (from, length, tone) = found.min_by_key(|(from, ..)| *from)?;
        Some((tone, from..from + length))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_when_what_and_why() {
        let history: ResourceHistory = serde_json::from_value(json!({
            "resource": "web-7", "more": 3, "unmatched_without_body": 2, "has_unread": true, "entries": [
                {"at": "2026-11-28T03:00:00.000Z", "kind": "not-matched", "event_type": "port.update.end", "queue": "osnl"},
                {"at": "2026-11-28T03:12:04.120Z", "kind": "received", "event": 17, "event_type": "port.delete.end",
                 "message_id": "e118", "queue": "osnl"},
                {"at": "2026-11-28T03:12:04.120Z", "kind": "matched", "event": 17, "delivery": "17.0", "action": "roles",
                 "rule": "forget-ports", "message_id": "e118"},
                {"at": "2026-11-28T03:12:05.000Z", "kind": "attempt-failed", "event": 17, "delivery": "17.0", "action": "roles",
                 "detail": "status 409: Conflict"},
                {"at": "2026-11-28T03:12:05.000Z", "kind": "ended", "event": 17, "delivery": "17.0", "action": "roles",
                 "state": "dead", "attempts": 1, "detail": "status 409: Conflict"},
                {"at": "2026-11-28T04:00:00.000Z", "kind": "pending", "event": 18, "delivery": "18.0", "action": "roles",
                 "state": "waiting", "attempts": 0, "waits_for": {"kind": "delivery", "id": "17.0"}},
            ],
        }))
        .unwrap();
        let expected = "\
TIME                      ID    EVENT            ACTION  DETAIL
2026-11-28T03:00:00.000Z  -     no rule matched  -       port.update.end, queue osnl
2026-11-28T03:12:04.120Z  17    received         -       port.delete.end, message e118, queue osnl
2026-11-28T03:12:04.120Z  17.0  matched          roles   rule forget-ports
2026-11-28T03:12:05.000Z  17.0  attempt failed   roles   409 Conflict
2026-11-28T03:12:05.000Z  17.0  dead             roles   1 attempt, 409 Conflict
now                       18.0  waiting          roles   waits for 17.0
3 older deliveries are not shown; --limit shows up to 1000, osnl deliveries list --resource the others
2 messages that matched no rule: the resource is not known without keep_unmatched_bodies; see osnl explain --unmatched
a queue has more dead letters than osnl reads at once: later ones are not shown; retry or discard earlier ones
";
        assert_eq!(text(&history, None), expected);
        let tint = tint(&history);
        for (line, event) in expected.lines().skip(1).zip(["no rule matched", "received", "matched"]) {
            assert_eq!(tint(line).map(|(_, part)| &line[part]), Some(event), "{line}");
        }
        assert!(
            text(&history, Some(90)).contains("port.delete.end, message e118, q…\n"),
            "{}",
            text(&history, Some(90))
        );
    }
}
