use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use jiff::Timestamp;
use osnl::quarantine::preview;
use osnl_config::template::Names;
use osnl_model::{Budget, ContentInfo, DecodeError, Excess, Notification, Pattern};
use osnl_transport::{BodyBounds, Cut, TapMessage};
use serde_json::Value;

use super::condition::TapCondition;
use super::resource::{EventSubject, about};
use crate::flags::unread;

/// The events to show. Filters of one kind are alternatives; filters of different kinds must all
/// match.
#[derive(Debug, Default)]
pub(super) struct EventFilter {
    pub(super) event_type: Vec<Pattern>,
    pub(super) publisher: Vec<Pattern>,
    pub(super) project: Vec<String>,
    pub(super) resource: Vec<String>,
    pub(super) conditions: Vec<TapCondition>,
    pub(super) budget: Budget,
    pub(super) undecided: Cell<u64>,
}

#[derive(Debug)]
pub(super) struct TapEvent {
    pub(super) notification: Arc<Notification>,
    pub(super) about: EventSubject,
}

#[derive(Debug)]
pub(super) struct UnreadableBody {
    pub(super) reason: String,
    /// The length and the preview of the body, which is decompressed if possible.
    pub(super) body: String,
}

impl EventFilter {
    fn everything(&self) -> bool {
        let Self { event_type, publisher, project, resource, conditions, budget: _, undecided: _ } = self;
        let nobody = project.is_empty() && resource.is_empty();
        event_type.is_empty() && publisher.is_empty() && nobody && conditions.is_empty()
    }

    /// Decodes a message, or returns `None` if a filter excludes the message. An unreadable message
    /// is shown only without filters.
    pub(super) fn read(&self, message: &TapMessage) -> Option<Result<TapEvent, UnreadableBody>> {
        if let Some(cut) = message.cut {
            return self.unreadable(self.why_cut(cut), &message.body);
        }
        let body = match plain(message, &self.budget) {
            Ok(body) => body,
            Err(reason) => return self.unreadable(unread(&reason), &message.body),
        };
        if !self.event_type.is_empty() || !self.publisher.is_empty() {
            match self.budget.read_head(&body) {
                Ok(head) => {
                    let any = |patterns: &[Pattern], text: Option<&str>| {
                        patterns.is_empty()
                            || text.is_some_and(|text| patterns.iter().any(|p| p.is_match(text)))
                    };
                    if !any(&self.event_type, head.event_type.as_deref())
                        || !any(&self.publisher, head.publisher_id.as_deref())
                    {
                        return None;
                    }
                }
                Err(reason) => return self.unreadable(unread(&reason), &body),
            }
        }
        match self.budget.decode(&body) {
            Ok(notification) => {
                let notification = Arc::new(notification);
                if !self.conditions.is_empty() && !self.all_hold(&notification) {
                    return None;
                }
                let about = about(&notification);
                self.concerns(&about).then_some(Ok(TapEvent { notification, about }))
            }
            Err(reason) => self.unreadable(unread(&reason), &body),
        }
    }

    fn unreadable(&self, reason: String, body: &[u8]) -> Option<Result<TapEvent, UnreadableBody>> {
        let shown = || match body.len() {
            0 => String::new(),
            bytes => format!("{bytes} bytes: {}", preview(body)),
        };
        self.everything().then(|| Err(UnreadableBody { reason, body: shown() }))
    }

    fn why_cut(&self, cut: Cut) -> String {
        let (found, limit) = (usize::try_from(cut.bytes).unwrap_or(usize::MAX), self.budget.body);
        match found > limit {
            true => unread(&Excess::Body { found, limit }.into()),
            false => format!(
                "of {found} bytes the first {} were kept: too much waits to be shown",
                BodyBounds::HEAD
            ),
        }
    }

    fn all_hold(&self, notification: &Arc<Notification>) -> bool {
        let names = Names::new(notification.clone());
        let holds = |condition: &TapCondition| {
            condition.holds(&names).unwrap_or_else(|_| {
                self.undecided.set(self.undecided.get() + 1);
                false
            })
        };
        self.conditions.iter().all(holds)
    }

    fn concerns(&self, about: &EventSubject) -> bool {
        let is = |text: &Option<String>, wanted: &String| {
            text.as_ref().is_some_and(|text| text.eq_ignore_ascii_case(wanted))
        };
        let project = |wanted| is(&about.project, wanted) || is(&about.project_name, wanted);
        let resource = |wanted: &String| {
            is(&about.name, wanted) || about.ids.iter().any(|id| id.eq_ignore_ascii_case(wanted))
        };
        (self.project.is_empty() || self.project.iter().any(project))
            && (self.resource.is_empty() || self.resource.iter().any(resource))
    }
}

fn plain<'a>(message: &'a TapMessage, budget: &Budget) -> Result<Cow<'a, [u8]>, DecodeError> {
    let properties = &message.properties;
    let info = ContentInfo {
        content_type: properties.content_type.as_deref(),
        content_encoding: properties.content_encoding.as_deref(),
        compression: properties.headers.get("compression").and_then(Value::as_str),
    };
    budget.plain_body(&message.body, &info)
}

impl TapEvent {
    pub(super) fn time(&self, received: Timestamp) -> String {
        match &self.notification.timestamp {
            Some(time) => time.replacen(' ', "T", 1),
            None => format!("{received:.6}").trim_end_matches('Z').to_owned(),
        }
    }
}
