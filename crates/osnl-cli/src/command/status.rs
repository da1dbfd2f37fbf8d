//! `osnl status`: the health of the daemon on one screen, or the journal's content of a stopped
//! daemon.

mod nagios;
pub(in crate::command) mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, ValueEnum};
use osnl::control::{
    ControlRequest, Incident, IncidentSeverity, JournalStatus, LeftQueue, ListenerStatus, StateTone, Status,
    ago, counted, counter_words, grouped, size,
};

use super::asking::{NoAnswer, Respondent, age, clean, print, print_json, print_tinted, short};
use super::table::{breadth, paragraph, table, table_within};
use crate::exit::Exit;
use crate::flags::{PlaceArgs, duration};
use crate::output;
use crate::terminal::{self, Tone};

const HEADS: [&str; 4] = ["!!   ", "!    ", "why  ", "do   "];
const AT_MOST: usize = 10;
const FOR_RELEASE: usize = 6;
const COUNTERS: usize = 78;

/// The flags of `osnl status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 0 if all is well, 1 if there is an incident, 69 if there is neither a daemon \
                        nor a journal. With nagios: 0 ok, 1 warning, 2 critical, 3 unknown. With live: 0 if a daemon \
                        answers, also during an incident, 69 if not.\n\n\
                        Examples:\n  osnl status --format json | jq .incidents\n  osnl status --watch"
)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// text, json, nagios, or live
    #[arg(long, value_enum, default_value_t = StatusFormat::Text, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) format: StatusFormat,
    /// Show a screen that refreshes itself until q or Ctrl-C
    #[arg(long, conflicts_with = "format")]
    pub(crate) watch: bool,
    /// Time between two refreshes
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration, requires = "watch")]
    pub(crate) interval: Duration,
}

/// The form of a status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusFormat {
    #[default]
    Text,
    Json,
    Nagios,
    Live,
}

pub(crate) fn run(args: &StatusArgs) -> Exit {
    if args.watch {
        let place = args.place.clone();
        let shown = move || match fetch(&place) {
            Ok(status) => wrapped(&text(&status, &place), terminal::columns()),
            Err(error) => wrapped(&format!("!!   {}\n", short(error.message(), 400)), terminal::columns()),
        };
        return watch::run(shown, args.interval, tint);
    }
    let asked = match args.format {
        StatusFormat::Text | StatusFormat::Json | StatusFormat::Nagios => fetch(&args.place),
        StatusFormat::Live => fetch_from_daemon(&args.place),
    };
    let status = match asked {
        Ok(status) => status,
        Err(error) if args.format == StatusFormat::Nagios => return plug_in(nagios::unanswered(&error)),
        Err(error) => return error.complain(),
    };
    let printed = match args.format {
        StatusFormat::Text => print_tinted(&wrapped(&text(&status, &args.place), terminal::columns()), tint),
        StatusFormat::Json => print_json(&status),
        StatusFormat::Nagios => return plug_in(nagios::text(&status)),
        StatusFormat::Live => return print(&format!("the daemon answers: {}\n", clean(&status.verdict))),
    };
    match printed {
        Exit::Done if !status.healthy => Exit::Failed,
        ended => ended,
    }
}

/// Prints the plug-in's line to stdout also after an error, since Nagios reads only stdout.
fn plug_in((text, exit): (String, Exit)) -> Exit {
    match print(&text) {
        Exit::Done => exit,
        _ => Exit::Unknown,
    }
}

fn fetch(place: &PlaceArgs) -> Result<Status, NoAnswer> {
    Respondent::for_place(place)?.ask(&ControlRequest::Status { look: false })
}

/// Returns the status of a running daemon. It opens no journal, which a daemon that starts may be
/// about to lock.
fn fetch_from_daemon(place: &PlaceArgs) -> Result<Status, NoAnswer> {
    Respondent::for_daemon(place)?.ask(&ControlRequest::Status { look: false })
}

fn text(status: &Status, place: &PlaceArgs) -> String {
    let numbers: Vec<String> =
        status.numbers.named().iter().map(|(name, value)| format!("{name} {value}")).collect();
    let over = status.numbers.rates_are_over().map_or(String::new(), |over| format!("   (in, out: {over})"));
    let mut text = format!("{}\n{}{over}\n", clean(&status.verdict), numbers.join("   "));
    for incident in &status.incidents {
        text.push('\n');
        text.push_str(&lines(incident));
    }
    let nothing_yet = if status.healthy { nothing_yet(status) } else { String::new() };
    text.push_str(&nothing_yet);
    let has_commands = !status.incidents.is_empty() || !nothing_yet.is_empty();
    if let Some(words) = place.words().filter(|_| has_commands) {
        text.push_str(&format!("\nAdd to each osnl command above: {}\n", clean(&words)));
    }
    // A single error is already among the incidents.
    let refused = status.configuration.as_ref().and_then(|of| of.not_reloaded.as_ref());
    if let Some(failed) = refused.filter(|failed| failed.errors.len() > 1) {
        text.push_str(&format!("\nthe last reload was refused, {} ago\n", age(failed.since_seconds)));
        failed.errors.iter().take(20).for_each(|error| text.push_str(&format!("  {}\n", short(error, 300))));
        if failed.errors.len() > 20 {
            text.push_str("  ...; --format json shows more\n");
        }
    }
    if !status.listeners.is_empty() {
        text.push_str("\nlisteners\n");
        text.push_str(&listeners(&status.listeners));
    }
    if !status.left_queues.is_empty() {
        text.push_str("\nqueues that no listener reads any more, shown until they are deleted or forgotten (osnl queues forget QUEUE)\n");
    }
    for left in status.left_queues.iter().take(AT_MOST) {
        let LeftQueue { queue, vhost, broker, .. } = left;
        let place = format!("{} of virtual host {} at {}", clean(queue), clean(vhost), clean(broker));
        text.push_str(&format!("  {place}: {}\n", left_queue(left)));
    }
    if status.left_queues.len() > AT_MOST {
        text.push_str(&format!(
            "  and {} more; --format json shows them\n",
            status.left_queues.len() - AT_MOST
        ));
    }
    if !status.targets.is_empty() {
        text.push_str("\nactions\n");
        text.push_str(&targets(status));
    }
    text.push_str(&format!("\njournal\n{}", journal(&status.journal)));
    let counters: Vec<_> = status.counters.iter().filter(|(_, count)| **count > 0).collect();
    if !counters.is_empty() {
        text.push_str("\nsince the start\n");
        let mut line = String::new();
        for (n, (name, count)) in counters.iter().enumerate() {
            let one = format!(
                "{} {}{}",
                counter_words(name),
                grouped(**count),
                if n + 1 < counters.len() { "," } else { "" }
            );
            if !line.is_empty() && line.len() + 1 + one.len() > COUNTERS {
                text.push_str(&format!(" {line}\n"));
                line.clear();
            }
            line.push_str(&format!(" {one}"));
        }
        text.push_str(&format!(" {line}\n"));
    }
    if let (Some(pid), Some(seconds)) = (status.pid, status.uptime_seconds) {
        text.push_str(&format!("\nosnl {}, process {pid}, up {}\n", status.version, age(seconds)));
    }
    text
}

fn nothing_yet(status: &Status) -> String {
    let line = |listener: &ListenerStatus| {
        let silence = listener.silence.as_ref().filter(|_| listener.messages == 0)?;
        let (name, why) = (clean(&listener.name), short(&silence.to_string(), 500));
        let what = format!("     listener {name} has received nothing since its start");
        Some(format!("\n{what}\nwhy  {why}\ndo   {}\n", short(&silence.command, 500)))
    };
    status.listeners.iter().filter_map(line).collect()
}

fn lines(incident: &Incident) -> String {
    let mark = match incident.severity {
        IncidentSeverity::Critical => "!!",
        IncidentSeverity::Warning => "!",
    };
    let all = [(mark, Some(incident.what.clone())), ("why", incident.why.clone()), ("do", incident.doing())];
    let line = |(head, text): (&str, Option<String>)| Some(format!("{head:<5}{}\n", short(&text?, 500)));
    all.into_iter().filter_map(line).collect()
}

fn wrapped(text: &str, columns: Option<usize>) -> String {
    let Some(columns) = columns else { return text.to_owned() };
    let mut all = String::new();
    for line in text.lines() {
        let head = match HEADS.iter().any(|head| line.starts_with(head)) {
            true => HEADS[0].len(),
            false => line.len() - line.trim_start().len(),
        };
        if breadth(line) <= columns || head >= columns {
            all.push_str(&format!("{line}\n"));
            continue;
        }
        let (head, rest) = line.split_at(head);
        for (n, part) in paragraph(rest, columns - head.len()).lines().enumerate() {
            let head = if n == 0 { head.to_owned() } else { " ".repeat(head.len()) };
            all.push_str(&format!("{head}{part}\n"));
        }
    }
    all
}

pub(super) fn tint(line: &str) -> Option<(Tone, std::ops::Range<usize>)> {
    const STATES: [&str; 10] = [
        "listening",
        "standby",
        "connecting",
        "blocked",
        "draining",
        "stopped",
        "ok",
        "paused",
        "probing",
        "down",
    ];
    if line.starts_with('!') {
        return output::all(if line.starts_with("!!") { Tone::Bad } else { Tone::Warn }, line);
    }
    match line {
        _ if line.starts_with("all is well") || line.starts_with("nothing needs") => {
            output::all(Tone::Good, line)
        }
        "listeners" | "actions" | "journal" | "since the start" => output::all(Tone::Strong, line),
        _ if line.starts_with("the last reload was refused, ") => output::all(Tone::Bad, line),
        _ if line.starts_with("  name ") => output::all(Tone::Dim, line),
        _ => output::word(line, &STATES.map(|word| (word, Tone::from(StateTone::from_name(word))))),
    }
}

/// The age in seconds from which an event's age is shown.
const OLD: u64 = 60;

fn listeners(listeners: &[ListenerStatus]) -> String {
    let mut rows = vec![
        ["  name", "state", "state for", "received", "last", "reconnects", "in queue", "consumers", "queue"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for listener in listeners {
        let queue = match &listener.queues[..] {
            [] => listener.broker.clone(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        };
        rows.push(vec![
            format!("  {}", clean(&listener.name)),
            listener.state_text(),
            lasting(listener.since_seconds),
            grouped(listener.messages),
            ago(listener.last_message_seconds),
            grouped(listener.reconnects),
            number(listener.queue_messages),
            number(listener.consumers),
            short(&queue, 60),
        ]);
    }
    let mut text = table_within(rows, terminal::columns(), &[5, 7, 6, 8, 2]);
    let old = |one: &ListenerStatus| one.last_event_age_seconds.filter(|age| *age >= OLD);
    for (listener, old) in listeners.iter().filter_map(|one| Some((one, old(one)?))) {
        text.push_str(&format!(
            "  {}: the last event was {} old when it was read\n",
            clean(&listener.name),
            age(old)
        ));
    }
    for (listener, lag) in listeners.iter().filter_map(|one| Some((one, one.lag.as_ref()?))) {
        text.push_str(&format!("  {}: {}\n", clean(&listener.name), short(&lag.text(), 300)));
    }
    text.push_str(&describe_management(listeners));
    text
}

fn describe_management(listeners: &[ListenerStatus]) -> String {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for listener in listeners {
        if let Some(reason) = listener.management.as_ref().and_then(|seen| seen.reason.as_deref()) {
            reasons.entry(reason).or_default().push(&listener.name);
        }
    }
    let line = |(reason, names): (&str, Vec<&str>)| {
        let names = clean(&names.join(", ")).into_owned();
        format!("  {names}: policies and delivery limit are unknown: {}\n", short(reason, 300))
    };
    let anew = listeners.iter().filter_map(|one| Some((&one.name, one.queue_created_seconds?)));
    let anew = anew.map(|(name, seconds)| {
        format!(
            "  {}: its queue was missing and was created {} ago: what it held is lost\n",
            clean(name),
            age(seconds)
        )
    });
    reasons.into_iter().map(line).chain(anew).collect()
}

fn lasting(seconds: Option<u64>) -> String {
    seconds.map_or("-".to_owned(), age)
}

fn number(count: Option<u64>) -> String {
    count.map_or("-".to_owned(), grouped)
}

/// Renders the messages of an abandoned queue with advice. Only a queue known to be empty may be
/// deleted.
fn left_queue(left: &LeftQueue) -> String {
    let holds = match (left.messages, left.seen_seconds) {
        (Some(messages), Some(seconds)) => {
            format!("{} {} ago", counted(messages, "message", "messages"), age(seconds))
        }
        (Some(messages), None) => counted(messages, "message", "messages"),
        (None, _) => "what it holds is not known".to_owned(),
    };
    match (&left.delete, left.messages) {
        (Some(delete), _) => format!("empty; {}", clean(delete)),
        (None, None) => holds,
        (None, Some(0)) => format!("{holds}; other consumers read it"),
        (None, Some(_)) => {
            format!("{holds}; a listener with queue = {} reads them", clean(&left.queue))
        }
    }
}

pub(super) fn targets(status: &Status) -> String {
    let (targets, is_known) = (&status.targets, status.counts_are_known());
    let mut rows = vec![
        [
            "  name",
            "state",
            "state for",
            "pending",
            "oldest",
            "running",
            "for release",
            "dead",
            "done",
            "address",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    let number = |count: u64| if is_known { grouped(count) } else { "-".to_owned() };
    for target in targets {
        rows.push(vec![
            format!("  {}", clean(&target.action)),
            target.state_text(),
            lasting(target.since_seconds),
            number(target.pending),
            lasting(target.oldest_pending_seconds),
            grouped(target.in_flight),
            number(target.for_release),
            number(target.dead),
            if is_known { target.done_text() } else { "-".to_owned() },
            target.target.as_deref().map_or(String::new(), |target| short(target, 60)),
        ]);
    }
    // Deliveries that wait for release are rare.
    if targets.iter().all(|target| target.for_release == 0) {
        rows.iter_mut().for_each(|row| drop(row.remove(FOR_RELEASE)));
    }
    let address = rows[0].len() - 1;
    let done = address - 1;
    // On a narrow terminal the address is dropped first, then the words beside a number.
    let columns = terminal::columns();
    let kept = || table(rows.iter().map(|row| &row[..address]));
    if columns.is_some_and(|columns| breadth(&kept()) > columns) {
        rows.iter_mut().skip(1).zip(targets).for_each(|(row, target)| row[done] = number(target.done));
    }
    let mut text = table_within(rows, columns, &[address, 2, 5]);
    for (target, reason) in targets.iter().filter_map(|one| Some((one, one.paused_reason.as_deref()?))) {
        let by = target.paused_by.iter().fold(String::new(), |_, by| format!(" by {}", clean(by)));
        text.push_str(&format!("  {}: paused{by}: {}\n", clean(&target.action), short(reason, 300)));
    }
    for target in targets.iter().filter(|target| target.returns > 1) {
        let (name, times) = (clean(&target.action), target.returns);
        text.push_str(&format!(
            "  {name}: messages that wait have returned to the broker up to {times} times\n"
        ));
    }
    text
}

fn journal(journal: &JournalStatus) -> String {
    let mut parts = vec![match (&journal.path, &journal.state) {
        (Some(path), Some(state)) => format!("{}: {state}", clean(path)),
        (Some(path), None) => clean(path).into_owned(),
        (None, _) => "in memory: nothing outlives the process".to_owned(),
    }];
    if let Some(bytes) = journal.bytes {
        parts.push(size(bytes));
    }
    if let Some(events) = journal.events {
        let oldest = journal
            .oldest_seconds
            .map_or(String::new(), |seconds| format!(" (the oldest {} ago)", age(seconds)));
        parts.push(format!("{}{oldest}", counted(events, "event", "events")));
    }
    parts.push(counted(journal.deliveries, "delivery", "deliveries"));
    if let Some(quarantined @ 1..) = journal.quarantined {
        parts.push(format!("{} in quarantine", counted(quarantined, "message", "messages")));
    }
    format!("  {}\n", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use osnl::control::TargetReport;

    use super::*;

    #[test]
    fn a_journal_that_does_not_answer_has_no_dead_letters_nor_none() {
        for (incidents, expected) in [
            (vec![], ["ok", "-", "0", "-", "0", "0", "0"]),
            (vec![incident("journal-unreadable", "critical")], ["ok", "-", "-", "-", "0", "-", "-"]),
        ] {
            let status: Status = serde_json::from_value(serde_json::json!({
                "verdict": "", "numbers": {}, "running": true, "healthy": false, "incidents": incidents, "version": "1", "pid": 1,
                "started": null, "uptime_seconds": 1, "listeners": [], "journal": JournalStatus::default(), "counters": {},
                "targets": [TargetReport { action: "a".into(), state: Some("ok".into()), ..TargetReport::default() }],
            }))
            .unwrap();
            let table = targets(&status);
            let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().skip(1).collect();
            assert_eq!(row, expected);
        }
    }

    fn incident(kind: &str, severity: &str) -> Incident {
        serde_json::from_value(serde_json::json!({
            "kind": kind, "severity": severity, "subject": "action ticket", "actions": ["ticket"], "listeners": [],
            "what": "ticket: the target refuses everything for 20 min; 1,054 wait, the oldest 21 min",
            "why": "status 400: Bad Request, reply: {\"error\":\"no such field: tags\"}", "since": null,
            "since_seconds": null, "waiting": 1054, "oldest_seconds": 1260, "for_release": 0, "must_act": "operator",
            "to_do": "[action:ticket]: correct what the action sends: body, headers, url, then osnl reload",
            "by_itself": null, "symptoms": [],
        }))
        .unwrap()
    }

    #[test]
    fn an_incident_is_what_why_and_do_and_fits_the_terminal() {
        let text = lines(&incident("target-refuses", "critical"));
        let expected = [
            "!!   ticket: the target refuses everything for 20 min; 1,054 wait, the oldest 21",
            "     min",
            "why  status 400: Bad Request, reply: {\"error\":\"no such field: tags\"}",
            "do   [action:ticket]: correct what the action sends: body, headers, url, then",
            "     osnl reload",
        ];
        assert_eq!(wrapped(&text, Some(80)).lines().collect::<Vec<_>>(), expected);
        // A pipe gets each on one line, for grep.
        assert_eq!(wrapped(&text, None), text);
        assert_eq!(wrapped("a b\n\n  long line\n", Some(8)), "a b\n\n  long\n  line\n");
    }

    #[test]
    fn lines_of_incidents_have_a_colour() {
        for (line, expected) in [
            ("!    a: the target is down", "Warn"),
            ("!!   a: the target is down", "Bad"),
            ("the last reload was refused, 5m ago", "Bad"),
            ("all is well", "Good"),
        ] {
            let tone = tint(line).map(|(tone, _)| format!("{tone:?}"));
            assert_eq!(tone.as_deref(), Some(expected), "{line}");
        }
    }
}
