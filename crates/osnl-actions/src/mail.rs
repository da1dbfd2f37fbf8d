//! The action `mail`: events as mails, one each or gathered to a digest, by SMTP.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `conf` | the options |
//! | `address` | what is an address; that nothing in an event adds another one or a header |
//! | `letter` | what events become: headers, text, HTML; pure |
//! | `smtp` | one mail to one server: TLS, login, envelope, refusals |
//!
//! *Delivered* means that the server has taken the mail. A call with several events is one mail, a digest, and its
//! outcome is theirs. A refusal for now (4xx: greylisting, a full queue) is retried until the server accepts. A refusal
//! for good (5xx) is a dead letter at once, unless the server refuses the login or the sender: that is no fault of the
//! event. A mail that is sent again has the same `Message-ID`.
//!
//! A digest is a batch: there is no second place where events wait and could be lost. Its deliveries keep their key
//! and wait for no lane, since their order is that within the mail.

mod address;
mod conf;
mod letter;
mod smtp;

use std::sync::Arc;
use std::time::Duration;

use osnl_transport::BoxFuture;

pub use self::conf::MailConf;
use self::letter::MailWriter;
use self::smtp::MailServer;
use super::{Action, ActionError, Completion, Event, event_names};

/// For fuzzing: what a mail server says is read as the answers to a mail. The text of the last, or the error's words.
#[doc(hidden)]
pub async fn hear(said: &[u8]) -> Result<String, String> {
    smtp::hear(said).await.map_err(|error| format!("{error:?}"))
}

/// See the [module](self).
pub struct Mail {
    writer: MailWriter,
    server: MailServer,
    /// So long after an event all its recipients are waited for.
    patience: Duration,
}

impl Mail {
    /// Whether a recipient that is refused for now delays the other recipients: as long as one of the events is young.
    fn waits_for_all(&self, events: &[Event]) -> bool {
        let young = |event: &Event| {
            // What seems to come from a time that is still to be has just come.
            event.received.origin.received.elapsed().unwrap_or_default() < self.patience
        };
        events.iter().any(young)
    }

    async fn send(&self, events: &[Event]) -> Vec<Result<Completion, ActionError>> {
        // What cannot be written is left out of a digest, and fails alone.
        let parts: Vec<_> = events
            .iter()
            .map(|event| self.writer.part(&event_names::of_event(event), &event.idempotency_key()))
            .collect();
        let good: Vec<_> = parts.iter().flatten().collect();
        let sent = match self.writer.letter(&good) {
            None => Ok(String::new()),
            Some(Ok(letter)) => self.server.send(&letter, events, self.waits_for_all(events)).await,
            Some(Err(why)) => Err(ActionError::template(why)),
        };
        let verdict = |part: Result<_, String>| match (part, &sent) {
            (Err(why), _) => Err(ActionError::template(why)),
            (Ok(_), Ok(done)) => Ok(Completion::Delivered(done.clone())),
            (Ok(_), Err(error)) => Err(error.clone()),
        };
        parts.iter().map(|part| verdict(part.as_ref().map_err(Clone::clone))).collect()
    }
}

impl Action for Mail {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(self.send(events))
    }

    fn target(&self) -> String {
        self.server.to_string()
    }

    fn certificate_ends(&self) -> Option<i64> {
        self.server.certificate.get()
    }

    fn host(&self, _: &Event) -> Option<Arc<str>> {
        None
    }
}
