//! The JSON-lines files for records that the journal has no room for: dead letters, and messages in
//! quarantine.
//!
//! The files are beside the journal. At 64 MiB a file is renamed to `.1`, which replaces the former. The files
//! have mode 0600.
//!
//! | file | line |
//! | --- | --- |
//! | `journal.db.quarantine.jsonl` | a message with its bytes, secrets included, in the form of `osnl tap --save`: `osnl replay` and `osnl send` read the file |
//! | `journal.db.dead.jsonl` | a dead letter with the payload of its event, secrets masked; or digest and size of a message kept only in part, which cannot be sent again |

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use osnl_core::received::ReceivedMessage;
use osnl_model::{bulk_part, mask_secrets};
use serde_json::{Value, json};

use super::rows::millis;
use crate::files::beside;
use crate::query::Unreadable;
use crate::{DeliveryId, state_dir};

const LARGEST: u64 = 64 << 20;

#[must_use]
pub(super) fn dead(
    id: DeliveryId,
    (rule, action, key): (&str, &str, Option<&str>),
    resource: Option<u32>,
    reason: &str,
    received: &ReceivedMessage,
) -> Value {
    let mut line = origin(received);
    let decoded = received.decode().ok();
    let of =
        |text: fn(&osnl_model::Notification) -> Option<&String>| decoded.as_ref().and_then(text).cloned();
    line["id"] = json!(id.to_string());
    line["rule"] = json!(rule);
    line["action"] = json!(action);
    line["resource"] = json!(key);
    line["reason"] = json!(reason);
    line["message_id"] = json!(of(|n| n.message_id.as_ref()));
    line["event_type"] = json!(of(|n| n.event_type.as_ref()));
    line["publisher_id"] = json!(of(|n| n.publisher_id.as_ref()));
    line["timestamp"] = json!(of(|n| n.timestamp.as_ref()));
    line["payload"] = decoded.map_or(Value::Null, |n| {
        let part = resource.and_then(|at| bulk_part(&n, usize::try_from(at).ok()?));
        mask_secrets(part.as_ref().unwrap_or(&n.payload))
    });
    json!({ "dead_letter": line })
}

fn trace(unreadable: &Unreadable) -> Value {
    let mut line = origin(&unreadable.received);
    describe(&mut line, unreadable);
    json!({ "unreadable": line })
}

fn saved(unreadable: &Unreadable) -> Value {
    let ReceivedMessage { body, properties, origin, noted: _ } = &unreadable.received;
    let received = Timestamp::try_from(origin.received).ok();
    let headers = properties.compression.as_ref().map(|name| json!({ "compression": name }));
    let mut line = json!({
        "received": received.map(|at| format!("{at:.6}")),
        "listener": &*origin.listener,
        "queue": &*origin.queue,
        "exchange": origin.exchange,
        "routing_key": origin.routing_key,
        "properties": {
            "content_type": properties.content_type.as_deref(),
            "content_encoding": properties.content_encoding.as_deref(),
            "headers": headers,
        },
        "body_base64": BASE64_STANDARD.encode(body),
    });
    describe(&mut line, unreadable);
    line
}

fn describe(line: &mut Value, unreadable: &Unreadable) {
    line["reason"] = json!(unreadable.reason);
    line["digest"] = json!(unreadable.digest);
    line["bytes"] = json!(unreadable.size);
    line["message_id"] = json!(unreadable.glimpse.message_id);
    line["publisher_id"] = json!(unreadable.glimpse.publisher_id);
}

fn origin(received: &ReceivedMessage) -> Value {
    let origin = &received.origin;
    json!({
        "received_ms": millis(origin.received),
        "listener": &*origin.listener,
        "queue": &*origin.queue,
        "exchange": origin.exchange,
        "routing_key": origin.routing_key,
    })
}

/// A file, open to append lines one at a time, since a line may take several times 20 MiB and a batch has
/// hundreds.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    former: PathBuf,
    file: BufWriter<File>,
}

impl Archive {
    pub(super) fn for_dead(journal: &Path) -> io::Result<Self> {
        Self::open(journal, "dead")
    }

    fn open(journal: &Path, name: &str) -> io::Result<Self> {
        let path = beside(journal, &format!(".{name}.jsonl"));
        let file = state_dir::private().append(true).create(true).open(&path)?;
        Ok(Self { path, former: beside(journal, &format!(".{name}.jsonl.1")), file: BufWriter::new(file) })
    }

    pub(super) fn add(&mut self, line: &Value) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, line)?;
        self.file.write_all(b"\n")
    }

    pub(super) fn finish(self) -> io::Result<()> {
        let file = self.file.into_inner()?;
        file.sync_data()?;
        if file.metadata()?.len() >= LARGEST {
            fs::rename(&self.path, &self.former)?;
        }
        Ok(())
    }
}

pub(super) fn write_quarantined(journal: &Path, message: &Unreadable) -> io::Result<()> {
    let (name, line) = match message.extent.is_whole() {
        true => ("quarantine", saved(message)),
        false => ("dead", trace(message)),
    };
    let mut archive = Archive::open(journal, name)?;
    archive.add(&line)?;
    archive.finish()
}
