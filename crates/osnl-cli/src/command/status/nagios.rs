//! `osnl status --format nagios`: one line for a monitoring plug-in, with performance data; further
//! incidents a line each.
//!
//! | exit status | line | when |
//! | --- | --- | --- |
//! | 0 | `OSNL OK` | there is no incident |
//! | 1 | `OSNL WARNING` | an incident can wait |
//! | 2 | `OSNL CRITICAL` | events are not read or not delivered, or no daemon answers |
//! | 3 | `OSNL UNKNOWN` | the daemon could not be asked: a wrong configuration, no permission |

use osnl::control::{IncidentSeverity, ListenerStatus, Status};

use super::super::asking::{NoAnswer, clean};
use crate::exit::Exit;

pub(super) fn text(status: &Status) -> (String, Exit) {
    let incidents = &status.incidents;
    let severity = incidents.iter().map(|incident| incident.severity).max();
    let (word, exit) = match severity {
        None => ("OK", Exit::Done),
        Some(IncidentSeverity::Warning) => ("WARNING", Exit::Failed),
        Some(IncidentSeverity::Critical) => ("CRITICAL", Exit::Critical),
    };
    // A pager shows only the first line, so that line has a cause of the exit status.
    let worst = incidents.iter().position(|incident| Some(incident.severity) == severity);
    let more = match incidents.len() {
        0 | 1 => String::new(),
        several => format!(" (and {} more)", several - 1),
    };
    let shown = |at: usize| one_line(&incidents[at].to_string());
    let first = worst.map_or_else(|| well(status), shown);
    let mut text = format!("OSNL {word} - {first}{more} | {}\n", data(status).join(" "));
    for at in (0..incidents.len()).filter(|at| Some(*at) != worst) {
        text.push_str(&format!("{}\n", shown(at)));
    }
    (text, exit)
}

pub(super) fn unanswered(error: &NoAnswer) -> (String, Exit) {
    let (word, exit) = match error.exit {
        Exit::Unavailable if !error.is_forbidden() => ("CRITICAL", Exit::Critical),
        _ => ("UNKNOWN", Exit::Unknown),
    };
    (format!("OSNL {word} - {}\n", one_line(error.message())), exit)
}

fn well(status: &Status) -> String {
    let in_state = |word: &str| status.listeners.iter().filter(|listener| listener.state == word).count();
    let (listening, standby) = (in_state("listening"), in_state("standby"));
    let standby = if standby > 0 { format!(", {standby} standby") } else { String::new() };
    format!("{listening} listening{standby}, {} pending", pending(status))
}

fn pending(status: &Status) -> u64 {
    status.targets.iter().map(|target| target.pending).sum()
}

fn data(status: &Status) -> Vec<String> {
    let sum =
        |count: fn(&osnl::control::TargetReport) -> u64| -> u64 { status.targets.iter().map(count).sum() };
    let oldest = status.targets.iter().filter_map(|target| target.oldest_pending_seconds).max().unwrap_or(0);
    let reading =
        status.listeners.iter().filter(|one| matches!(&*one.state, "listening" | "standby")).count();
    let counter = |name: &str| status.counters.get(name).copied().unwrap_or(0);
    let mut data = vec![
        format!("listeners={reading};;;0;{}", status.listeners.len()),
        format!("queue_messages={};;;0", queue_messages(&status.listeners)),
        format!("pending={};;;0", pending(status)),
        format!("oldest_pending={oldest}s;;{};0", status.attention_age_seconds),
        format!("for_release={};0;;0", sum(|target| target.for_release)),
        format!("dead={};0;;0", sum(|target| target.dead)),
        format!("received={}c;;;0", counter("received")),
        format!("delivered={}c;;;0", counter("delivered")),
    ];
    if let Some(bytes) = status.journal.bytes {
        let most = status.journal.max_bytes.map_or(String::new(), |most| most.to_string());
        data.push(format!("journal={bytes}B;;;0;{most}"));
    }
    data
}

/// Returns the sum, or `U`, which the plug-in guidelines have for an unknown value, if the count of a queue is not known.
fn queue_messages(listeners: &[ListenerStatus]) -> String {
    match listeners.iter().map(|listener| listener.queue_messages).sum::<Option<u64>>() {
        Some(messages) => messages.to_string(),
        None => "U".to_owned(),
    }
}

/// Makes foreign text one line, and replaces `|`, which would begin the performance data.
fn one_line(text: &str) -> String {
    clean(&text.replace(['\n', '\r'], " ")).replace('|', "/")
}

#[cfg(test)]
mod tests;
