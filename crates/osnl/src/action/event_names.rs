//! What templates of actions name: the event, of a bulk request the one resource, and whose wish it is.

use osnl_model::{Notification, mask_secrets};

use super::Event;
use crate::native::driver::Wanted;
use crate::template::Names;

/// Names beyond those of the event, for [`Template::compile`](crate::template::Template::compile).
pub(crate) const MORE: [&str; 3] = ["rule", "action", "idempotency_key"];

/// For an attempt.
pub(crate) fn of_event(event: &Event) -> Names {
    let notification = &event.notification;
    let names = match event.resource {
        None => Names::new(notification.clone()),
        Some(_) => {
            Names::from(Notification { payload: event.payload().into_owned(), ..(**notification).clone() })
        }
    };
    let names = names.with("rule", &*event.rule).with("action", &*event.action);
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
