use osnl::explain::{Content, ExplainedEvent, Explainer, words};
use osnl::native::Native;
use osnl_model::Notification;
use ratatui::style::Stylize as _;
use ratatui::text::Line;

use super::kept::KeptEntry;
use crate::clean;

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
        let event = ExplainedEvent {
            exchange: Some(kept.message.exchange.clone()),
            routing_key: Some(kept.message.routing_key.clone()),
            received: Some(kept.received.into()),
            read: Some(kept.received.into()),
            ..ExplainedEvent::new("event", Content::from(read.cloned()))
        };
        let mut explainer = Explainer::new(&self.conf).with_listener(self.listener.as_deref());
        let mut verdicts = explainer.trace(event).rules;
        verdicts.sort_by_key(|verdict| !verdict.ruling.fires());
        let firing = verdicts.iter().filter(|verdict| verdict.ruling.fires());
        let fires = firing.map(|verdict| clean::text(&verdict.rule).into_owned()).collect();
        let mut lines = Vec::new();
        for found in &verdicts {
            let line = words::verdict(found);
            lines.push(match found.ruling.fires() {
                true => format!("✓ {line}").green().into(),
                false => format!("  {line}").dim().into(),
            });
            let effects = found.ruling.effects().iter().map(words::would);
            lines.extend(effects.flat_map(|would| {
                would.lines().map(|line| Line::from(format!("    {line}"))).collect::<Vec<_>>()
            }));
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
