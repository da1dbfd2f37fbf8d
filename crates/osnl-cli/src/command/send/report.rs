//! The output of `osnl send`: a line for each message while there are few, and a summary.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use osnl::control::RequestProgress;
use osnl_transport::{Declare, Transport, TransportError};
use serde_json::json;

use super::args::SendArgs;
use crate::clean;
use crate::command::progress::Display;
use crate::exit::Exit;
use crate::flags::OutputFormat;
use crate::output::{self, Tint};
use crate::terminal::Tone;

const AT_MOST: u64 = 20;

#[derive(Clone, Debug)]
pub(super) struct Submission {
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) event_type: Option<String>,
    pub(super) message_id: Option<String>,
}

pub(super) struct SendReport<'a> {
    transport: &'a dyn Transport,
    format: OutputFormat,
    mandatory: bool,
    declare: Declare,
    location: String,
    total: u64,
    display: Option<Display>,
    confirmed: u64,
    unrouted: BTreeMap<(String, String), u64>,
    refused: u64,
    said: BTreeMap<String, u64>,
    remedies: BTreeSet<String>,
    unavailable: Option<String>,
    /// Whether writing to standard output failed. A closed pipe is no failure.
    unwritten: bool,
}

const TINT: Tint = |line| {
    let end = line.find(':')?;
    let tone = match &line[..end] {
        "confirmed" => Tone::Good,
        "unrouted" => Tone::Warn,
        "refused" | "not confirmed" => Tone::Bad,
        _ => return None,
    };
    Some((tone, 0..end))
};

impl<'a> SendReport<'a> {
    pub(super) fn new(args: &SendArgs, transport: &'a dyn Transport, total: u64) -> Self {
        Self {
            transport,
            format: args.format,
            mandatory: args.mandatory,
            declare: args.declares(),
            location: transport.location(),
            total,
            display: (args.format == OutputFormat::Text && total > AT_MOST)
                .then(|| Display::plain("messages")),
            confirmed: 0,
            unrouted: BTreeMap::new(),
            refused: 0,
            said: BTreeMap::new(),
            remedies: BTreeSet::new(),
            unavailable: None,
            unwritten: false,
        }
    }

    pub(super) fn answered(&mut self, sent: &Submission, answer: Result<(), TransportError>) -> bool {
        let outcome = match &answer {
            Ok(()) => {
                self.confirmed += 1;
                "confirmed"
            }
            Err(TransportError::Unroutable { exchange, routing_key }) => {
                *self.unrouted.entry((exchange.clone(), routing_key.clone())).or_default() += 1;
                "unrouted"
            }
            Err(error) if error.is_unreachable() || is_open(error) => {
                let words = error.with_own_remedy();
                self.unavailable = Some(match error {
                    TransportError::Blocked { .. } => words,
                    _ => format!("{} cannot be reached: {words}", self.location),
                });
                "not confirmed"
            }
            Err(error) => {
                self.refused += 1;
                *self.said.entry(error.to_string()).or_default() += 1;
                self.remedies.extend(self.remedy(sent, error));
                "refused"
            }
        };
        if self.format == OutputFormat::Json || self.total <= AT_MOST {
            let reason = answer.err().map(|error| error.to_string());
            self.say(&line(self.format, sent, outcome, reason.as_deref()));
        }
        if let Some(display) = &self.display {
            display.show(RequestProgress { done: self.answers(), of: self.total });
        }
        self.unavailable.is_none()
    }

    pub(super) fn finish(&mut self, took: Duration) {
        self.display = None;
        let Self { location, total, confirmed, refused, .. } = &*self;
        let (total, confirmed, refused) = (*total, *confirmed, *refused);
        let unrouted: u64 = self.unrouted.values().sum();
        let last = match self.format {
            OutputFormat::Json => {
                json!({"summary": {"messages": total, "confirmed": confirmed, "unrouted": unrouted,
                    "refused": refused, "not_confirmed": total - confirmed - unrouted - refused,
                    "seconds": took.as_secs_f64(), "broker": location}})
                .to_string()
            }
            OutputFormat::Text => {
                let messages = if total == 1 { "message" } else { "messages" };
                format!(
                    "{confirmed} of {total} {messages} confirmed by {location} in {:.3} s",
                    took.as_secs_f64()
                )
            }
        };
        self.say(&last);
        let kind = if self.mandatory { "error" } else { "warning" };
        for ((exchange, key), count) in &self.unrouted {
            let (exchange, key) = (clean::text(exchange), clean::text(key));
            output::print_to_stderr(format_args!(
                "osnl: {kind}: no queue took {count} of them: none is bound to exchange \"{exchange}\" with key \
                 {key}; bind one, or make what a service would with --declare"
            ));
        }
        for (reason, count) in &self.said {
            let reason = clean::text(reason);
            output::print_to_stderr(format_args!("osnl: error: {reason} ({count} of them)"));
        }
        for remedy in &self.remedies {
            output::print_to_stderr(format_args!("osnl: {}", clean::text(remedy)));
        }
        if let Some(reason) = &self.unavailable {
            output::print_to_stderr(format_args!("osnl: error: {}", clean::text(reason)));
        }
    }

    fn remedy(&self, sent: &Submission, error: &TransportError) -> Option<String> {
        if error.is_not_found() && self.declare != Declare::Create {
            let made = match self.transport.features().keys {
                true => "a missing topic",
                false => "a missing exchange and queue",
            };
            return Some(format!("--declare creates {made}, as a service does"));
        }
        let remedy = self.transport.send_remedy(error, &sent.exchange, &sent.routing_key, self.declare);
        remedy.map(String::from)
    }

    fn say(&mut self, line: &str) {
        if !self.unwritten {
            self.unwritten = output::print_tinted(&format!("{line}\n"), TINT) != Exit::Done;
        }
    }

    fn answers(&self) -> u64 {
        self.confirmed + self.refused + self.unrouted.values().sum::<u64>()
    }

    pub(super) fn has_answers(&self) -> bool {
        self.answers() > 0
    }

    pub(super) fn is_unavailable(&self) -> bool {
        self.unavailable.is_some()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.unwritten || self.refused > 0 || (self.mandatory && !self.unrouted.is_empty())
    }
}

/// Whether the outcome is unknown: the message may have arrived.
fn is_open(error: &TransportError) -> bool {
    matches!(
        error,
        TransportError::Lost { .. } | TransportError::NotConfirmed { .. } | TransportError::Blocked { .. }
    )
}

fn line(format: OutputFormat, sent: &Submission, outcome: &str, reason: Option<&str>) -> String {
    let Submission { exchange, routing_key, event_type, message_id } = sent;
    match format {
        OutputFormat::Json => clean::json(
            json!({"outcome": outcome, "exchange": exchange, "routing_key": routing_key,
                "event_type": event_type, "message_id": message_id, "reason": reason})
            .to_string(),
        ),
        OutputFormat::Text => {
            let id = message_id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
            let event_type = event_type.as_deref().unwrap_or("(no event type)");
            let line = format!("{outcome}: {event_type}{id} to exchange \"{exchange}\", key {routing_key}");
            clean::text(&line).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_cannot_talk_to_the_terminal() {
        let evil = "\u{1b}]0;owned\u{7}\r\n\u{9b}2J\u{202e}\u{2028}".to_owned();
        let sent = Submission {
            exchange: evil.clone(),
            routing_key: evil.clone(),
            event_type: Some(evil.clone()),
            message_id: Some(evil.clone()),
        };
        for format in [OutputFormat::Text, OutputFormat::Json] {
            let line = line(format, &sent, "refused", Some(&evil));
            assert!(!line.contains(osnl_model::is_dangerous), "{}", line.escape_debug());
        }
    }
}
