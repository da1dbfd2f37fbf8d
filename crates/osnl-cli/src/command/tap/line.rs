//! `TIME EXCHANGE KEY PRIORITY EVENT_TYPE PUBLISHER project=… user=… id=… name=… FORM`

use std::borrow::Cow;

use jiff::Timestamp;
use osnl_model::Priority;
use osnl_transport::TapMessage;

use super::event::{TapEvent, UnreadableBody};
use crate::clean;
use crate::terminal::Tone;

pub(super) fn event(
    out: &mut String,
    message: &TapMessage,
    event: &TapEvent,
    received: Timestamp,
    colour: bool,
) {
    let n = &event.notification;
    let about = &event.about;
    let from = out.len();
    let priority = n.priority.as_ref().map(|priority| priority.as_str().to_uppercase());
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
    if colour {
        let line = shade(n.priority.as_ref()).paint(&out[from..]);
        out.truncate(from);
        out.push_str(&line);
    }
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

pub(super) fn shade(priority: Option<&Priority>) -> Tone {
    match priority {
        Some(Priority::Error | Priority::Critical) => Tone::Bad,
        Some(Priority::Warn) => Tone::Warn,
        Some(Priority::Debug | Priority::Sample) => Tone::Dim,
        Some(Priority::Audit | Priority::Info | Priority::Other(_)) | None => Tone::Plain,
    }
}
