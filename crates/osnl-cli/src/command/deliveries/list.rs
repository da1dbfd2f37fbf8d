//! `osnl deliveries list`: what needs attention first, then the newest.

use osnl::control::{Delivery, List, ListOrder, Request, Which};
use osnl::journal::sqlite::Phase;

use super::super::asking::{NoAnswer, Respondent, age, breadth, print_json, print_tinted, short, table};
use super::args::{ListArgs, Sort};
use super::{deliveries, which};
use crate::exit::Exit;
use crate::flags::Format;
use crate::output;
use crate::terminal::{self, Tone};

/// The columns that stay on a narrow terminal.
const NAMED: usize = 6;
/// The column of the order key.
const KEY: usize = 7;

pub(super) fn run(args: &ListArgs) -> Result<Exit, NoAnswer> {
    let filter = Which { about: args.about.clone(), ..which(&[], &args.filter) };
    let order = match args.sort {
        Sort::Attention => ListOrder::Attention,
        Sort::Newest => ListOrder::Newest,
        Sort::Oldest => ListOrder::Oldest,
    };
    let request = Request::List { filter, order, after: args.after.clone(), limit: args.limit };
    let list: List = Respondent::of(&args.place)?.ask(&request)?;
    Ok(print(&list, args.format.format))
}

/// Prints a list, on a terminal as wide as that.
pub(super) fn print(list: &List, format: Format) -> Exit {
    match format {
        Format::Json => print_json(list),
        Format::Text => print_tinted(&text(list, terminal::columns()), tint),
    }
}

fn text(list: &List, columns: Option<usize>) -> String {
    let mut text = String::new();
    if !list.deliveries.is_empty() {
        let heads =
            ["ID", "STATE", "AGE", "ACTION", "RULE", "EVENT TYPE", "RESOURCE", "KEY", "ATTEMPTS", "REASON"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        rows.extend(list.deliveries.iter().map(row));
        // Most resources are their own key.
        if list.deliveries.iter().all(has_own_key) {
            rows.iter_mut().for_each(|row| drop(row.remove(KEY)));
        }
        text = fitted(rows, columns);
    }
    let by_phase = || list.totals.by_phase.iter().map(|(phase, count)| format!("{count} {phase}"));
    text.push_str(&match list.totals.all {
        0 => "no deliveries\n".to_owned(),
        all => format!("{}: {}\n", deliveries(all), by_phase().collect::<Vec<_>>().join(", ")),
    });
    if let Some(next) = &list.next {
        text.push_str(&format!("{} shown; the next page: --after {next}\n", list.deliveries.len()));
    }
    text
}

/// Whether the key says nothing that the resource does not.
fn has_own_key(delivery: &Delivery) -> bool {
    match (&delivery.key, &delivery.resource_id) {
        (None, _) | (Some(_), None) => true,
        (Some(key), Some(id)) => key.eq_ignore_ascii_case(id),
    }
}

/// The table; on a terminal that is too narrow for it, what names a delivery, and below that what it is about and why it is
/// where it is.
fn fitted(mut rows: Vec<Vec<String>>, columns: Option<usize>) -> String {
    let Some(columns) = columns.filter(|columns| breadth(&rows) > *columns) else { return table(&rows) };
    let below: Vec<Vec<String>> = rows.iter_mut().map(|row| row.split_off(NAMED)).collect();
    let mut lines = table(&rows).lines().map(str::to_owned).collect::<Vec<_>>().into_iter();
    let mut text = lines.next().unwrap_or_default() + "\n";
    let names: Vec<String> = below.first().into_iter().flatten().map(|head| head.to_lowercase()).collect();
    for (line, below) in lines.zip(below.iter().skip(1)) {
        text.push_str(&format!("{line}\n"));
        let named = below.iter().zip(&names).filter(|(part, _)| !["-", "0"].contains(&part.as_str()));
        let mut parts: Vec<String> = named
            .map(|(part, name)| match name.as_str() {
                "key" | "attempts" => format!("{name} {part}"),
                _ => part.clone(),
            })
            .collect();
        // The reason says more, and the line may be cut.
        parts.sort_by_key(|part| part.starts_with("attempts "));
        if !parts.is_empty() {
            text.push_str(&format!("      {}\n", short(&parts.join(", "), columns.saturating_sub(6))));
        }
    }
    text
}

/// The heading, and of each delivery the state.
fn tint(line: &str) -> Option<(Tone, std::ops::Range<usize>)> {
    if line.starts_with("ID ") {
        return output::all(Tone::Dim, line);
    }
    let (id, rest) = line.split_once("  ").filter(|(id, _)| id.contains('.') && !id.starts_with(' '))?;
    let from = id.len() + 2 + (rest.len() - rest.trim_start().len());
    let (phase, word) = Phase::ALL
        .into_iter()
        .map(|phase| (phase, phase.word()))
        .filter(|(_, word)| line[from..].starts_with(word))
        .max_by_key(|(_, word)| word.len())?;
    Some((tone(phase), from..from + word.len()))
}

fn tone(phase: Phase) -> Tone {
    match phase {
        Phase::Dead => Tone::Bad,
        Phase::HeldByGuard | Phase::Held | Phase::Orphaned | Phase::Retrying => Tone::Warn,
        Phase::Delivered => Tone::Good,
        Phase::NoActionNeeded | Phase::Discarded | Phase::Shadow => Tone::Dim,
        Phase::Arrived | Phase::Ready | Phase::Running | Phase::Waiting => Tone::Plain,
    }
}

fn row(delivery: &Delivery) -> Vec<String> {
    let or_none =
        |text: &Option<String>, most| text.as_deref().map_or("-".to_owned(), |text| short(text, most));
    vec![
        delivery.id.clone(),
        state(delivery),
        age(delivery.age_seconds),
        short(&delivery.action, 20),
        short(&delivery.rule, 24),
        or_none(&delivery.event_type, 32),
        resource(delivery).map_or("-".to_owned(), |text| short(&text, 60)),
        or_none(&delivery.key, 36),
        attempts(delivery),
        or_none(&delivery.reason.clone().or(delivery.last_answer.clone()), 80),
    ]
}

/// The state, and what it waits for.
pub(super) fn state(delivery: &Delivery) -> String {
    let Delivery { phase, waits_for, next_attempt_seconds, target_held, .. } = delivery;
    match (waits_for, next_attempt_seconds, target_held) {
        _ if phase.is_empty() => delivery.state.clone(),
        (Some(other), _, _) => format!("{phase} for {other}"),
        (None, _, true) => format!("{phase} (target held)"),
        (None, Some(0), false) => format!("{phase}, next attempt now"),
        (None, Some(seconds), false) => format!("{phase}, next attempt in {}", age(*seconds)),
        (None, None, false) => phase.clone(),
    }
}

/// The resource by its name and its id; of what an older version has kept, its key.
pub(super) fn resource(delivery: &Delivery) -> Option<String> {
    match (&delivery.resource_name, &delivery.resource_id) {
        (Some(name), Some(id)) if name != id => Some(format!("{name} ({id})")),
        (Some(one), _) | (None, Some(one)) => Some(one.clone()),
        (None, None) => delivery.key.clone(),
    }
}

/// The attempts made, and those that count as long as it can still be given up over them.
pub(super) fn attempts(delivery: &Delivery) -> String {
    let Delivery { attempts_made: made, attempts_counted: counted, attempts_allowed: allowed, .. } = delivery;
    let is_over = delivery.ended.is_some() && delivery.phase != Phase::Dead.word();
    match allowed {
        _ if *made == 0 || is_over => made.to_string(),
        Some(allowed) => format!("made {made}, counted {counted} of {allowed}"),
        None => format!("made {made}, counted {counted}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(json: serde_json::Value) -> Delivery {
        let mut all = serde_json::json!({
            "id": "17.0", "state": "ready", "received": "", "age_seconds": 1, "ended": null, "action": "a", "rule": "r",
            "event_type": null, "resource": null, "attempts": 0, "failed_attempts": 0, "reason": null, "queue": "q",
            "message_id": null, "copies": 0,
        });
        all.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn a_state_says_what_it_waits_for() {
        for (json, expected) in [
            // A daemon of the version before.
            (serde_json::json!({}), "ready"),
            (serde_json::json!({"phase": "ready", "target_held": true}), "ready (target held)"),
            (
                serde_json::json!({"phase": "retrying", "next_attempt_seconds": 12}),
                "retrying, next attempt in 12 s",
            ),
            (serde_json::json!({"phase": "waiting", "waits_for": "16.0"}), "waiting for 16.0"),
            (serde_json::json!({"phase": "no action needed"}), "no action needed"),
        ] {
            assert_eq!(state(&delivery(json)), expected);
        }
    }

    #[test]
    fn attempts_made_and_counted_are_told_apart() {
        for (json, expected) in [
            (serde_json::json!({"phase": "ready"}), "0"),
            (
                serde_json::json!({"phase": "retrying", "attempts_made": 7, "attempts_counted": 3, "attempts_allowed": 5}),
                "made 7, counted 3 of 5",
            ),
            (
                serde_json::json!({"phase": "dead", "ended": "x", "attempts_made": 6, "attempts_counted": 5}),
                "made 6, counted 5",
            ),
            (
                serde_json::json!({"phase": "delivered", "ended": "x", "attempts_made": 3, "attempts_counted": 2}),
                "3",
            ),
        ] {
            assert_eq!(attempts(&delivery(json)), expected);
        }
    }

    #[test]
    fn the_state_is_what_is_coloured() {
        for (line, expected) in [
            ("17.0  held by guard  1 s", Some("held by guard")),
            ("17.0    held  1 s", Some("held")),
            ("17.0  no action needed  1 s", Some("no action needed")),
            ("      web-7, made 1", None),
            ("2 deliveries: 1 dead", None),
        ] {
            assert_eq!(tint(line).map(|(_, part)| &line[part]), expected, "{line}");
        }
    }
}
