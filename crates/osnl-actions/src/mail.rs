//! The action `mail`: sends events by SMTP, one mail each or several in a digest.
//!
//! *Delivered* means that the server has accepted the mail. A call with several events is one mail, a digest,
//! and all events share its outcome. A temporary refusal (4xx) is retried until the server accepts. A
//! permanent refusal (5xx) makes a dead letter at once, unless the server refuses the login or the sender,
//! which is not the event's fault. A retried mail has the same `Message-ID`.
//!
//! A digest is a batch of deliveries, so events wait in no second place where they could be lost.
//! Its deliveries keep their key but wait for no lane, since their order is kept within the mail.

mod address;
mod conf;
mod letter;
mod smtp;

use std::time::Duration;

use osnl_action::{Action, ActionError, Completion, Event};
use osnl_core::misfit::Misfit;
use osnl_transport::BoxFuture;

pub use self::conf::MailConf;
use self::letter::MailWriter;
use self::smtp::MailServer;
use super::event_names;

#[doc(hidden)]
pub async fn hear(said: &[u8]) -> Result<String, String> {
    smtp::hear(said).await.map_err(|error| format!("{error:?}"))
}

pub struct Mail {
    writer: MailWriter,
    server: MailServer,
    /// The age of an event up to which a mail waits for all recipients.
    patience: Duration,
}

impl Mail {
    /// Whether a temporarily refused recipient delays all recipients: while an event of the mail is
    /// young.
    fn waits_for_all(&self, events: &[Event]) -> bool {
        let young = |event: &Event| {
            // A time of receipt in the future counts as now.
            event.received.origin.received.elapsed().unwrap_or_default() < self.patience
        };
        events.iter().any(young)
    }

    async fn send(&self, events: &[Event]) -> Vec<Result<Completion, ActionError>> {
        // An event whose text cannot be rendered is left out of the digest and fails alone.
        let parts: Vec<_> = events
            .iter()
            .map(|event| self.writer.part(&event_names::for_event(event), &event.idempotency_key()))
            .collect();
        let good: Vec<_> = parts.iter().flatten().collect();
        let sent = match self.writer.letter(&good) {
            None => Ok(String::new()),
            Some(Ok(letter)) => self.server.send(&letter, events, self.waits_for_all(events)).await,
            Some(Err(why)) => Err(ActionError::template(why)),
        };
        let verdict = |part: Result<_, Misfit>| match (part, &sent) {
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
}
