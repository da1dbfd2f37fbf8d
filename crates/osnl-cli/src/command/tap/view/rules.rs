use std::sync::Arc;

use osnl::explain::{Content, ExplainedEvent, Ruling, explain};
use osnl::native::Native;
use osnl_model::Notification;
use ratatui::style::Stylize as _;
use ratatui::text::Line;

use super::kept::KeptEntry;
use crate::clean;
use crate::command::saved_events::{verdict, would};

#[derive(Debug)]
pub(in crate::command::tap) struct Rules {
    pub(in crate::command::tap) conf: Box<Native>,
    pub(in crate::command::tap) listener: Option<String>,
}

#[derive(Debug)]
pub(super) struct Verdicts {
    fires: Vec<String>,
    all: usize,
    pub(super) lines: Vec<Line<'static>>,
}

impl Rules {
    /// Applies each rule. The result has no secret and no control characters.
    pub(super) fn judge(&self, kept: &KeptEntry, read: Result<&Notification, String>) -> Verdicts {
        let subject = ExplainedEvent {
            content: match read {
                Ok(notification) => Content::Whole(Arc::new(notification.clone())),
                Err(reason) => Content::Unreadable(reason),
            },
            listener: None,
            exchange: Some(kept.message.exchange.clone()),
            routing_key: Some(kept.message.routing_key.clone()),
            received: Some(kept.received.into()),
            read: Some(kept.received.into()),
            asked: Vec::new(),
        };
        let mut verdicts = explain(&self.conf, &subject, self.listener.as_deref());
        verdicts.sort_by_key(|verdict| !verdict.ruling.fires());
        let firing = verdicts.iter().filter(|verdict| verdict.ruling.fires());
        let fires = firing.map(|verdict| clean::text(&verdict.rule).into_owned()).collect();
        let mut lines = Vec::new();
        for found in &verdicts {
            let line = verdict(found);
            lines.push(match found.ruling.fires() {
                true => format!("✓ {line}").green().into(),
                false => format!("  {line}").dim().into(),
            });
            if let Ruling::Fires(effects) = &found.ruling {
                for effect in effects {
                    let would = would(effect);
                    lines.extend(would.lines().map(|line| format!("    {line}").into()));
                }
            }
        }
        Verdicts { fires, all: verdicts.len(), lines }
    }
}

impl Verdicts {
    pub(super) fn words(&self) -> String {
        match (&self.fires[..], self.all) {
            (_, 0) => "there is none in the configuration".to_owned(),
            ([], 1) => "the only one does not match; r shows why".to_owned(),
            ([], all) => format!("none of {all} matches; r shows why"),
            ([one], 1) => format!("{one} matches; r shows why, and what it does"),
            ([one], all) => {
                format!("{one} matches (1 of {all} rules); r shows details")
            }
            (some, all) => {
                format!("{} of {all} match: {}; r shows why, and what they do", some.len(), some.join(", "))
            }
        }
    }
}
