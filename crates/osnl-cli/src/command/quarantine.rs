//! `osnl quarantine`: messages that are kept because no decoder could read them.
//!
//! The publisher controls the whole content, so all output is cleaned for the terminal. Of a body only a preview
//! without values is shown.

mod args;
mod retry;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use osnl::control::{
    ControlRequest, QuarantineChanges, QuarantineList, QuarantineShow, QuarantinedMessage, WhichMessages,
    counted, grouped, relative, timestamp,
};
use osnl::journal::sqlite::upkeep;

use self::args::WhichArgs;
pub(crate) use self::args::{QuarantineArgs, QuarantineCommand};
use self::args::{QuarantineDiscardArgs, QuarantineExportArgs, QuarantineListArgs, QuarantineShowArgs};
use super::asking::{
    NoAnswer, Respondent, age, clean, journal_of, print, print_bytes, print_json, print_tinted, short,
};
use super::confirm::agreed;
use super::deliveries::{MORE_WAIT, asks};
use super::table::{breadth, table, table_within};
use crate::exit::Exit;
use crate::flags::OutputFormat;
use crate::output;
use crate::terminal::{self, Tone};

pub(crate) fn run(args: &QuarantineArgs) -> Exit {
    let done = match &args.command {
        QuarantineCommand::List(args) => list(args),
        QuarantineCommand::Show(args) => show(args),
        QuarantineCommand::Export(args) => export(args),
        QuarantineCommand::Retry(args) => retry::run(args),
        QuarantineCommand::Discard(args) => discard(args),
    };
    done.unwrap_or_else(|error| error.complain())
}

fn list(args: &QuarantineListArgs) -> Result<Exit, NoAnswer> {
    let request =
        ControlRequest::QuarantineList { filter: which(&args.which), after: args.after, limit: args.limit };
    let list: QuarantineList = Respondent::for_place(&args.ask.place)?.ask(&request)?;
    Ok(match args.ask.format.format {
        OutputFormat::Json => print_json(&list),
        OutputFormat::Text => {
            let is_filtered = which(&args.which) != WhichMessages::default();
            print_tinted(&listed(&list, is_filtered, terminal::columns()), tint)
        }
    })
}

fn show(args: &QuarantineShowArgs) -> Result<Exit, NoAnswer> {
    let request = ControlRequest::QuarantineShow { id: args.id, raw: false };
    let show: QuarantineShow = Respondent::for_place(&args.ask.place)?.ask(&request)?;
    Ok(match args.ask.format.format {
        OutputFormat::Json => print_json(&show),
        OutputFormat::Text => print(&text(&show)),
    })
}

fn export(args: &QuarantineExportArgs) -> Result<Exit, NoAnswer> {
    let failed = |why: String| NoAnswer::new(Exit::Failed, why);
    if let Some(path) = &args.output
        && let Some(journal) = journal_of(&args.place)
    {
        upkeep::is_elsewhere(&journal, path).map_err(|error| failed(error.to_string()))?;
    }
    let request = ControlRequest::QuarantineShow { id: args.id, raw: true };
    let show: QuarantineShow = Respondent::for_place(&args.place)?.ask(&request)?;
    let body = BASE64_STANDARD.decode(show.body_base64.unwrap_or_default());
    let body = body.map_err(|error| failed(error.to_string()))?;
    let written = match &args.output {
        None => print_bytes(&body),
        Some(path) => {
            let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            let written = file.and_then(|mut file| file.write_all(&body));
            written.map_err(|error| {
                let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
                let remedy = if exists { "; name another file" } else { "" };
                failed(format!("{}: {error}{remedy}", path.display()))
            })?;
            Exit::Done
        }
    };
    if !show.message.is_whole {
        let why = format!(
            "message {}: these are the first {} of its {} bytes, the others were not kept",
            show.message.id,
            body.len(),
            show.message.bytes
        );
        return Err(failed(why));
    }
    Ok(written)
}

fn discard(args: &QuarantineDiscardArgs) -> Result<Exit, NoAnswer> {
    let mut filter = named(&args.which, args.how.all)?;
    let respondent = Respondent::for_place(&args.ask.place)?;
    let request = |filter: &WhichMessages, dry_run| ControlRequest::QuarantineDiscard {
        filter: filter.clone(),
        dry_run,
        by: asks(),
    };
    // An operator who gives numbers has looked at each message, so no question is needed.
    if args.which.ids.is_empty() && !args.yes && !args.how.dry_run {
        // A message that comes while the operator reads the question is not in its number.
        let is_open_ended = filter.until.is_none();
        filter.until.get_or_insert_with(|| timestamp(SystemTime::now()));
        let mut would: QuarantineChanges = respondent.ask(&request(&filter, true))?;
        if is_open_ended && would.changed == 0 {
            // The clock may have been set back since they came.
            filter.until = None;
            would = respondent.ask(&request(&filter, true))?;
        }
        let what = format!("{}{}", at_least(would.is_at_least), messages(would.changed));
        let question = format!("delete {what} for good?");
        if would.changed == 0 {
            return Ok(printed(
                &QuarantineChanges { dry_run: false, ..would },
                "discarded",
                args.ask.format.format,
            ));
        }
        if !agreed(&question, "discarded", &format!("delete {what} for good"))? {
            return Ok(Exit::Failed);
        }
    }
    let changes: QuarantineChanges = respondent.ask(&request(&filter, args.how.dry_run))?;
    Ok(printed(&changes, "discarded", args.ask.format.format))
}

fn printed(changes: &QuarantineChanges, what: &str, format: OutputFormat) -> Exit {
    let printed = match format {
        OutputFormat::Json => print_json(changes),
        OutputFormat::Text => print(&changed(changes, what)),
    };
    if printed == Exit::Done && changes.refused > 0 { Exit::Failed } else { printed }
}

fn changed(changes: &QuarantineChanges, what: &str) -> String {
    let (at_least, would) = match changes.dry_run {
        true => (at_least(changes.is_at_least), "would be "),
        false => ("", ""),
    };
    let mut text = format!("{at_least}{} {would}{what}\n", messages(changes.changed));
    for refused in changes.refusals.iter().take(20) {
        text.push_str(&format!("  message {} stays: {}\n", refused.id, clean(&refused.why)));
    }
    if changes.refused > 20 {
        text.push_str("  ...; --format json shows more\n");
    }
    if changes.is_at_least && !changes.dry_run {
        text.push_str(MORE_WAIT);
    }
    text
}

fn at_least(is_at_least: bool) -> &'static str {
    if is_at_least { "at least " } else { "" }
}

fn which(args: &WhichArgs) -> WhichMessages {
    let [since, until] = args.between.asked();
    WhichMessages {
        ids: args.ids.clone(),
        queue: args.queue.clone(),
        reason: args.reason.clone(),
        since,
        until,
    }
}

/// Refuses a change without any selection, so that no forgotten filter changes all messages.
fn named(args: &WhichArgs, all: bool) -> Result<WhichMessages, NoAnswer> {
    let filter = which(args);
    if filter == WhichMessages::default() && !all {
        let why = "give the ids of messages, a filter such as --reason, or --all";
        return Err(NoAnswer::new(Exit::Usage, why));
    }
    Ok(filter)
}

fn listed(list: &QuarantineList, is_filtered: bool, columns: Option<usize>) -> String {
    let mut text = String::new();
    if !list.messages.is_empty() {
        let heads = ["ID", "AGE", "QUEUE", "EXCHANGE", "PUBLISHER", "MESSAGE ID", "BYTES", "REASON"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        rows.extend(list.messages.iter().map(row));
        text = fitted(rows, columns);
    }
    text.push_str(&match list.total {
        0 if is_filtered => "no message in quarantine matches the filter\n".to_owned(),
        0 => "no message is in quarantine\n".to_owned(),
        total => {
            let at_least = at_least(list.is_at_least);
            format!("{at_least}{} in quarantine\n", counted(total, "message is", "messages are"))
        }
    });
    if let Some(next) = list.next {
        text.push_str(&format!(
            "{} shown; the next page: --after {next}\n",
            grouped(list.messages.len() as u64)
        ));
    }
    text
}

fn fitted(mut rows: Vec<Vec<String>>, columns: Option<usize>) -> String {
    let whole = table(&rows);
    let Some(columns) = columns.filter(|columns| breadth(&whole) > *columns) else { return whole };
    let below: Vec<String> = rows.iter_mut().filter_map(Vec::pop).collect();
    let table = table_within(&rows, Some(columns), &[5, 3, 2, 4]);
    let mut text = String::new();
    for (line, (n, reason)) in table.lines().zip(below.iter().enumerate()) {
        text.push_str(&format!("{line}\n"));
        if n > 0 {
            text.push_str(&format!("      {}\n", short(reason, columns.saturating_sub(6))));
        }
    }
    text
}

fn row(message: &QuarantinedMessage) -> Vec<String> {
    let or_none =
        |text: &Option<String>, most| text.as_deref().map_or("-".to_owned(), |text| short(text, most));
    vec![
        message.id.to_string(),
        age(message.age_seconds),
        short(&message.queue, 24),
        short(&message.exchange, 20),
        or_none(&message.publisher_id, 28),
        or_none(&message.message_id, 36),
        grouped(message.bytes),
        short(&message.reason, 100),
    ]
}

fn tint(line: &str) -> Option<(Tone, std::ops::Range<usize>)> {
    if line.starts_with("ID ") { output::all(Tone::Dim, line) } else { None }
}

fn text(show: &QuarantineShow) -> String {
    let message = &show.message;
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("{name:<12}{}", clean(&value)));
        }
    };
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    line("message", message.id.to_string());
    line("reason", message.reason.clone());
    line("received", relative(&message.received));
    let QuarantinedMessage { listener, queue, exchange, routing_key, redelivered, bytes, digest, .. } =
        message;
    let again = if *redelivered { ", not for the first time" } else { "" };
    line("from", format!("queue {queue}, exchange {exchange}, {routing_key}, listener {listener}{again}"));
    line("publisher", or_empty(&message.publisher_id));
    line("message id", or_empty(&message.message_id));
    line("event type", or_empty(&message.event_type));
    let kept = if message.is_whole { "" } else { ", of which the first 65536 are kept" };
    line("body", format!("{bytes} bytes, digest {digest}{kept}"));
    let labels = [&show.content_type, &show.content_encoding, &show.compression];
    line("content", labels.into_iter().flatten().cloned().collect::<Vec<_>>().join(", "));
    line("preview", show.preview.clone());
    lines.join("\n") + "\n"
}

pub(super) fn messages(count: u64) -> String {
    counted(count, "message", "messages")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_part_says_that_more_wait() {
        let part = |dry_run| QuarantineChanges {
            dry_run,
            changed: 2,
            is_at_least: true,
            ..QuarantineChanges::default()
        };
        assert_eq!(changed(&part(true), "discarded"), "at least 2 messages would be discarded\n");
        assert_eq!(changed(&part(false), "discarded"), format!("2 messages discarded\n{MORE_WAIT}"));
    }
}
