//! What templates of actions name: the event, of a bulk request the one resource, and whose wish it is.

use osnl_model::{Notification, mask_secrets};

use super::{Event, FAILURE};
use crate::native::driver::{Reader, Wanted};
use crate::template::{Escape, Names, Template, TemplateError};

/// Names beyond those of the event, for [`Template::compile`](crate::template::Template::compile).
pub(crate) const MORE: [&str; 4] = ["rule", "action", "idempotency_key", FAILURE];

/// These and the enrichments that a section names.
pub(crate) fn of_section(reader: &Reader<'_>) -> Vec<String> {
    MORE.iter().map(|name| (*name).to_owned()).chain(reader.enrichments()).collect()
}

/// Compiles a template of a section, which may name [`of_section`].
pub(crate) fn compile(names: &[String], text: &str, escape: Escape) -> Result<Template, TemplateError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Template::escaping(text, &names, escape)
}

/// For an attempt.
pub(crate) fn of_event(event: &Event) -> Names {
    let names = event.names().with("rule", &*event.rule).with("action", &*event.action);
    names.with("idempotency_key", event.idempotency_key())
}

/// For a preview: what the event has of secrets is masked.
pub(crate) fn of_preview(wanted: &Wanted<'_>, action: &str) -> Names {
    let notification = wanted.notification;
    let message =
        notification.message_id.as_deref().or(notification.unique_id.as_deref()).unwrap_or("DIGEST");
    let key = match wanted.resource {
        Some(n) => format!("{message}/{action}/{n}"),
        None => format!("{message}/{action}"),
    };
    let masked = Notification { payload: mask_secrets(&notification.payload), ..notification.clone() };
    Names::from(masked).with("rule", wanted.rule).with("action", action).with("idempotency_key", key)
}
