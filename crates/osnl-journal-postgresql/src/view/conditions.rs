//! The conditions of a filter in SQL, on rows `d` of `osnl_delivery` with `a` of `osnl_arrival`.
//!
//! They mean the same as [`Filter::matches`]; an arrived delivery has its own phase, which SQLite's states
//! lack.

use osnl_core::epoch::millis;
use osnl_journal::DeliveryId;
use osnl_journal::query::{About, AnswerPolicy, Filter, Phase, QueryContext, RowState};

use crate::lane::ARRIVED;

pub(super) fn of(filter: &Filter) -> String {
    let Filter { after, ids, event, rule, action, states, phases, context, .. } = filter;
    let Filter { about, key, status, text, event_type, since, until, .. } = filter;
    let numbers = |numbers: Vec<i64>| numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let mut all: Vec<String> = Vec::new();
    all.extend(after.map(|id| format!("d.id > {}", id.row())));
    if !ids.is_empty() {
        all.push(format!("d.id IN ({})", numbers(ids.iter().map(|id| id.row()).collect())));
    }
    all.extend(event.map(of_event));
    all.extend(rule.as_ref().map(|rule| format!("d.rule = {}", quoted(rule))));
    all.extend(action.as_ref().map(|action| format!("d.action = {}", quoted(action))));
    if !states.is_empty() {
        let mut all_states: Vec<i64> = states.iter().map(|state| *state as i64).collect();
        all_states.extend(states.contains(&RowState::Waiting).then_some(i64::from(ARRIVED)));
        all.push(format!("d.state IN ({})", numbers(all_states)));
    }
    if !phases.is_empty() {
        let phases = phases.iter().map(|phase| *phase as i64).collect();
        all.push(format!("{} IN ({})", phase(context), numbers(phases)));
    }
    if !about.is_empty() {
        let any: Vec<String> = about.iter().map(of_about).collect();
        all.push(format!("({})", any.join(" OR ")));
    }
    all.extend(key.as_ref().map(|key| of_resource(key)));
    all.extend(status.iter().chain(text).map(of_answers));
    all.extend(event_type.as_ref().map(|name| format!("a.event_type = {}", quoted(name))));
    all.extend(since.map(|at| format!("a.received >= {}", millis(at))));
    all.extend(until.map(|at| format!("a.received < {}", millis(at))));
    all.iter().map(|condition| format!(" AND {condition}")).collect()
}

pub(super) fn phase(context: &QueryContext) -> String {
    let orphaned = match &context.configured {
        Some(known) if known.is_empty() => "true".to_owned(),
        Some(known) => {
            let known: Vec<String> = known.iter().map(|name| quoted(name)).collect();
            format!("d.action NOT IN ({})", known.join(", "))
        }
        None => "false".to_owned(),
    };
    let running = running(context);
    let phases = [
        (format!("d.state <= 2 AND {orphaned}"), Phase::Orphaned),
        (format!("d.state = {ARRIVED}"), Phase::Arrived),
        ("d.state = 0".to_owned(), Phase::Waiting),
        (format!("d.state = 1 AND {running}"), Phase::Running),
        ("d.state = 1 AND d.due > 0 AND d.tries > 0".to_owned(), Phase::Retrying),
        ("d.state = 1".to_owned(), Phase::Ready),
        ("d.state = 2".to_owned(), Phase::ForRelease),
        ("d.state = 3".to_owned(), Phase::Dead),
        ("d.state = 4".to_owned(), Phase::Delivered),
        ("d.state = 5".to_owned(), Phase::NoActionNeeded),
        ("d.state = 6".to_owned(), Phase::Discarded),
    ];
    let whens: String =
        phases.iter().map(|(when, phase)| format!(" WHEN {when} THEN {}", *phase as i64)).collect();
    format!("(CASE{whens} ELSE {} END)", Phase::Shadow as i64)
}

pub(super) fn running(context: &QueryContext) -> String {
    let running: Vec<String> = context.running.iter().map(|id| id.row().to_string()).collect();
    match running.is_empty() {
        true => "false".to_owned(),
        false => format!("d.id IN ({})", running.join(", ")),
    }
}

fn of_event(number: u64) -> String {
    format!("d.arrival = {}", i64::try_from(number).unwrap_or(i64::MAX))
}

fn of_about(about: &About) -> String {
    match about {
        About::Delivery(id) => format!("d.id = {}", DeliveryId::row(*id)),
        About::Event(number) => of_event(*number),
        About::Resource(name) => of_resource(name),
        About::Named(name) => format!("({} OR a.message_id = {})", of_resource(name), quoted(name)),
    }
}

fn of_resource(name: &str) -> String {
    let text = quoted(name);
    let bytes: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    let same = |column: &str| format!("lower(d.{column} COLLATE \"C\") = lower({text} COLLATE \"C\")");
    // Escaped text: a key may hold characters that PostgreSQL's text does not allow.
    let key = format!(
        "lower(encode(d.key, 'escape') COLLATE \"C\") = lower(encode('\\x{bytes}'::bytea, 'escape') COLLATE \"C\")"
    );
    format!("({} OR {} OR {key})", same("subject_id"), same("subject_name"))
}

fn of_answers(answers: &AnswerPolicy) -> String {
    let holds = |column: &str| match answers {
        AnswerPolicy::Status(status) => {
            let status: String = status.chars().map(|c| if c == 'x' { '_' } else { c }).collect();
            format!("({column} LIKE '%status {status}%' OR {column} LIKE '%: {status}')")
        }
        AnswerPolicy::Text(text) => format!("strpos(lower({column}), {}) > 0", quoted(&text.to_lowercase())),
    };
    format!(
        "({} OR d.tries > 0 AND EXISTS (SELECT 1 FROM osnl_attempt t WHERE t.delivery = d.id AND {}))",
        holds("coalesce(d.reason, '')"),
        holds("t.answer")
    )
}

/// The session reads backslashes literally.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\0', "\u{fffd}").replace('\'', "''"))
}
