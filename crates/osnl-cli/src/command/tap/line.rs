//! `TIME EXCHANGE KEY PRIORITY EVENT_TYPE PUBLISHER project=… user=… id=… name=… FORM`

use std::borrow::Cow;

use jiff::Timestamp;
use osnl_model::Priority;
use osnl_transport::TapMessage;

use super::event::{TapEvent, UnreadableBody};
use crate::clean;

pub(super) fn event(
    out: &mut String,
    message: &TapMessage,
    event: &TapEvent,
    received: Timestamp,
    colour: bool,
) {
    let n = &event.notification;
    let about = &event.about;
    let (before, after) = if colour { shade(n.priority.as_ref()) } else { ("", "") };
    let priority = n.priority.as_ref().map(|priority| priority.as_str().to_uppercase());
    out.push_str(before);
    field(out, "", Some(&event.time(received)));
    field(out, " ", Some(&message.exchange));
    field(out, " ", Some(&message.routing_key));
    field(out, " ", priority.as_deref());
    field(out, " ", n.event_type.as_deref());
    field(out, " ", n.publisher_id.as_deref());
    field(out, " project=", about.project.as_deref());
    field(out, " user=", about.user.as_deref());
    let id: Option<Cow<'_, str>> = match &about.ids[..] {
        [] => None,
        [id] => Some(Cow::Borrowed(id)),
        [id, more @ ..] => Some(Cow::Owned(format!("{id}+{}", more.len()))),
    };
    field(out, " id=", id.as_deref());
    field(out, " name=", about.name.as_deref());
    field(out, " ", Some(&about.form.label()));
    out.push_str(after);
}

pub(super) fn unreadable(out: &mut String, message: &TapMessage, why: &UnreadableBody, received: Timestamp) {
    field(out, "", Some(format!("{received:.6}").trim_end_matches('Z')));
    field(out, " ", Some(&message.exchange));
    field(out, " ", Some(&message.routing_key));
    out.push_str(" unreadable: ");
    out.push_str(&clean::text(&why.reason));
    out.push_str(": ");
    out.push_str(&why.body);
}

fn field(out: &mut String, before: &str, text: Option<&str>) {
    out.push_str(before);
    match text.map(clean::text) {
        None => out.push('-'),
        Some(text) if text.is_empty() || text.contains([' ', '"']) => {
            out.push('"');
            out.push_str(&text.replace('"', "\\\""));
            out.push('"');
        }
        Some(text) => out.push_str(&text),
    }
}

fn shade(priority: Option<&Priority>) -> (&'static str, &'static str) {
    match priority {
        Some(Priority::Error | Priority::Critical) => ("\x1b[31m", "\x1b[0m"),
        Some(Priority::Warn) => ("\x1b[33m", "\x1b[0m"),
        Some(Priority::Debug | Priority::Sample) => ("\x1b[2m", "\x1b[0m"),
        Some(Priority::Audit | Priority::Info | Priority::Other(_)) | None => ("", ""),
    }
}
