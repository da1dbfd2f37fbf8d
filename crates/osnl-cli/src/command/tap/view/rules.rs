//! What the rules of a configuration say of an event: those that fire first, with what their actions would do.

use std::sync::Arc;

use osnl::explain::{Content, Ruling, Subject, explain};
use osnl::native::Native;
use osnl_model::Notification;

use super::kept::Kept;
use crate::command::saved_events::{verdict, would};
use crate::terminal::{Span, Tone};

/// The rules of a configuration.
#[derive(Debug)]
pub(in crate::command::tap) struct Rules {
    pub(in crate::command::tap) conf: Box<Native>,
    /// As this listener hears it alone.
    pub(in crate::command::tap) listener: Option<String>,
}

impl Rules {
    /// A line for each rule, one for each thing that would be done. No secret is in them, nor anything that acts on a
    /// terminal.
    pub(super) fn lines(&self, kept: &Kept, read: Result<&Notification, String>) -> Vec<Vec<Span>> {
        let subject = Subject {
            content: match read {
                Ok(notification) => Content::Whole(Arc::new(notification.clone())),
                Err(reason) => Content::Unreadable(reason),
            },
            listener: None,
            exchange: Some(kept.message.exchange.clone()),
            routing_key: Some(kept.message.routing_key.clone()),
            received: Some(kept.received.into()),
        };
        let mut verdicts = explain(&self.conf, &subject, self.listener.as_deref());
        verdicts.sort_by_key(|verdict| !verdict.ruling.fires());
        let mut lines = Vec::new();
        for found in &verdicts {
            let (mark, tone) = if found.ruling.fires() { ("✓ ", Tone::Good) } else { ("  ", Tone::Dim) };
            lines.push(vec![(tone, format!("{mark}{}", verdict(found)))]);
            if let Ruling::Fires(effects) = &found.ruling {
                lines.extend(
                    effects.iter().map(|effect| vec![(Tone::Plain, format!("    {}", would(effect)))]),
                );
            }
        }
        lines
    }
}
