//! The writing side: a thread that decodes bodies, filters, and writes.
//!
//! A flush when no batch waits gives a pipe large writes, and a terminal each event at once. A slow reader blocks
//! only this thread. Its channel fills, the session takes no more messages from the broker, and the queue's limit
//! drops the oldest there.

use std::io::{self, Write};

use jiff::Timestamp;
use osnl_transport::TapMessage;
use tokio::sync::mpsc::{Receiver, error::TryRecvError};

use super::event::{EventFilter, TapEvent, UnreadableBody};
use super::rates::Rates;
use super::save::Save;
use super::{json, line};
use crate::clean;
use crate::flags::OutputFormat;

pub(super) struct Arrivals {
    pub(super) messages: Vec<TapMessage>,
    pub(super) at: Timestamp,
}

pub(super) struct EventWriter {
    pub(super) wanted: EventFilter,
    pub(super) format: OutputFormat,
    pub(super) body: BodyPart,
    pub(super) colour: bool,
    pub(super) rates: Option<Rates>,
    pub(super) save: Option<Save>,
    pub(super) count: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyPart {
    Hidden,
    Masked,
    Raw,
}

#[derive(Debug, Default)]
pub(super) struct WriterTotals {
    pub(super) seen: u64,
    pub(super) shown: u64,
    pub(super) unreadable: u64,
    pub(super) undecided: u64,
    /// The reason why output or file cannot be written. A closed pipe is no failure.
    pub(super) failure: Option<String>,
}

const BUFFER: usize = 64 * 1024;

impl EventWriter {
    pub(super) fn run(mut self, mut batches: Receiver<Arrivals>, out: &mut dyn Write) -> WriterTotals {
        let mut written = WriterTotals::default();
        let ended = self.write_all(&mut batches, out, &mut written);
        written.undecided = self.wanted.undecided.get();
        // The closed channel tells the sender that no more events are taken.
        drop(batches);
        let flushed = ended.and_then(|()| out.flush().map_err(WriteError::Output));
        let saved = self.save.as_mut().map_or(Ok(()), Save::flush).map_err(WriteError::Save);
        written.failure = match flushed.and(saved) {
            Ok(()) => None,
            Err(WriteError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Err(WriteError::Output(error)) => Some(format!("standard output: {error}")),
            Err(WriteError::Save(error)) => {
                let path = self.save.as_ref().map(|save| save.path().display().to_string());
                Some(format!("--save {}: {error}", path.unwrap_or_default()))
            }
        };
        written
    }

    fn write_all(
        &mut self,
        batches: &mut Receiver<Arrivals>,
        out: &mut dyn Write,
        written: &mut WriterTotals,
    ) -> Result<(), WriteError> {
        let mut buffer = String::with_capacity(BUFFER);
        loop {
            let batch = match batches.try_recv() {
                Ok(batch) => batch,
                Err(TryRecvError::Disconnected) => return self.end(&mut buffer, out),
                Err(TryRecvError::Empty) => {
                    emit(&mut buffer, out)?;
                    out.flush().map_err(WriteError::Output)?;
                    self.save.as_mut().map_or(Ok(()), Save::flush).map_err(WriteError::Save)?;
                    match batches.blocking_recv() {
                        Some(batch) => batch,
                        None => return self.end(&mut buffer, out),
                    }
                }
            };
            for message in &batch.messages {
                written.seen += 1;
                let Some(read) = self.wanted.read(message) else { continue };
                written.shown += 1;
                written.unreadable += u64::from(read.is_err());
                match &mut self.rates {
                    Some(rates) => rates.count(&read),
                    None => self.show(&mut buffer, message, &read, batch.at),
                }
                if let Some(save) = &mut self.save {
                    save.write(message, batch.at).map_err(WriteError::Save)?;
                }
                if buffer.len() >= BUFFER {
                    emit(&mut buffer, out)?;
                }
                if self.count == Some(written.shown) {
                    return self.end(&mut buffer, out);
                }
            }
            if let Some(rates) = &mut self.rates {
                rates.tick(&mut buffer, batch.at);
            }
        }
    }

    fn end(&self, buffer: &mut String, out: &mut dyn Write) -> Result<(), WriteError> {
        if let Some(rates) = &self.rates {
            rates.end(buffer, Timestamp::now());
        }
        emit(buffer, out)
    }

    fn show(
        &self,
        out: &mut String,
        message: &TapMessage,
        read: &Result<TapEvent, UnreadableBody>,
        at: Timestamp,
    ) {
        let raw = self.body == BodyPart::Raw;
        match (self.format, read) {
            (OutputFormat::Json, Ok(event)) => out.push_str(&json::event(message, event, at, raw)),
            (OutputFormat::Json, Err(why)) => out.push_str(&json::unreadable(message, why, at, raw)),
            (OutputFormat::Text, Ok(event)) => line::event(out, message, event, at, self.colour),
            (OutputFormat::Text, Err(why)) => line::unreadable(out, message, why, at),
        }
        out.push('\n');
        match (self.format, self.body, read) {
            (OutputFormat::Text, BodyPart::Raw, _) => {
                out.push_str("  ");
                out.push_str(&clean::bytes(&message.body));
                out.push('\n');
            }
            (OutputFormat::Text, BodyPart::Masked, Ok(event)) => {
                for line in json::body_masked(event).lines() {
                    out.push_str("  ");
                    out.push_str(line);
                    out.push('\n');
                }
            }
            (OutputFormat::Text, BodyPart::Masked, Err(_))
            | (OutputFormat::Text, BodyPart::Hidden, _)
            | (OutputFormat::Json, BodyPart::Hidden | BodyPart::Masked | BodyPart::Raw, _) => {}
        }
    }
}

enum WriteError {
    Output(io::Error),
    Save(io::Error),
}

fn emit(buffer: &mut String, out: &mut dyn Write) -> Result<(), WriteError> {
    out.write_all(buffer.as_bytes()).map_err(WriteError::Output)?;
    buffer.clear();
    Ok(())
}
