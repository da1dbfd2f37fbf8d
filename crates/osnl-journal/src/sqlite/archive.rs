//! The JSON-lines files for records that the journal has no room for: dead letters, and messages in
//! quarantine.
//!
//! The files are beside the journal. At 64 MiB a file is renamed to `.1`, which replaces the former. The files
//! have mode 0600. A record leaves the journal only after its line is on the disk, so an append that fails is cut off
//! again, and the next append cuts off a line that a crash has torn.
//!
//! | file | line |
//! | --- | --- |
//! | `journal.db.quarantine.jsonl` | a message with its bytes, secrets included, in the form of `osnl tap --save`: `osnl replay` and `osnl send` read the file |
//! | `journal.db.dead.jsonl` | a dead letter with the payload of its event, secrets masked; or digest and size of a message kept only in part, which cannot be sent again |

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use osnl_core::received::ReceivedMessage;
use osnl_model::{bulk_part, mask_secrets};
use serde_json::{Value, json};

use super::place::{DEAD, QUARANTINE};
use super::rows::millis;
use crate::files::beside;
use crate::query::Unreadable;
use crate::{DeliveryId, state_dir};

const LARGEST: u64 = 64 << 20;
/// The bytes of a read in search of the last line.
const BLOCK: usize = 64 << 10;

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
/// hundreds. Without [`finish`](Self::finish), none of the lines stays.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    former: PathBuf,
    file: File,
    /// The length of the file before the append.
    begin: u64,
    is_finished: bool,
}

impl Archive {
    pub(super) fn for_dead(journal: &Path) -> io::Result<Self> {
        Self::open(journal, DEAD)
    }

    fn open(journal: &Path, more: &str) -> io::Result<Self> {
        let path = beside(journal, more);
        let mut file = state_dir::private().read(true).append(true).create(true).open(&path)?;
        let former = beside(&path, ".1");
        let mut begin = whole_lines(&file)?;
        let mut rest = vec![0; (file.metadata()?.len() - begin) as usize];
        file.read_exact_at(&mut rest, begin)?;
        // A hand that edits the file may leave out the last newline.
        if serde_json::from_slice::<Value>(&rest).is_ok() {
            file.write_all(b"\n")?;
            begin += rest.len() as u64 + 1;
        } else {
            file.set_len(begin)?;
        }
        Ok(Self { path, former, file, begin, is_finished: false })
    }

    pub(super) fn add(&mut self, line: &Value) -> io::Result<()> {
        let mut writer = BufWriter::new(&self.file);
        serde_json::to_writer(&mut writer, line)?;
        writer.write_all(b"\n")?;
        writer.flush()
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if self.file.metadata()?.len() >= LARGEST {
            fs::rename(&self.path, &self.former)?;
        }
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        if !self.is_finished {
            // A torn line that stays is cut by the next append.
            let _ = self.file.set_len(self.begin);
        }
    }
}

/// Returns the length of a file up to the end of its last whole line.
fn whole_lines(file: &File) -> io::Result<u64> {
    let mut bytes = vec![0; BLOCK];
    let mut end = file.metadata()?.len();
    while end > 0 {
        let begin = end.saturating_sub(BLOCK as u64);
        let block = &mut bytes[..(end - begin) as usize];
        file.read_exact_at(block, begin)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

pub(super) fn write_quarantined(journal: &Path, message: &Unreadable) -> io::Result<()> {
    let (more, line) = match message.extent.is_whole() {
        true => (QUARANTINE, saved(message)),
        false => (DEAD, trace(message)),
    };
    let mut archive = Archive::open(journal, more)?;
    archive.add(&line)?;
    archive.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(journal: &Path) -> io::Result<()> {
        let mut archive = Archive::for_dead(journal)?;
        archive.add(&json!({ "n": 2 }))?;
        archive.finish()
    }

    #[test]
    fn a_torn_line_is_cut_before_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.db");
        let path = beside(&journal, ".dead.jsonl");
        let long = "x".repeat(2 * BLOCK);
        for (whole, torn) in [
            ("", ""),
            ("", "{\"n\":"),
            ("{\"n\":1}\n", ""),
            ("{\"n\":1}\n", "{"),
            ("{\"n\":0}\n{\"n\":1}\n", &*long),
            ("{\"n\":1}\n", &long[..BLOCK]),
            ("", &*long),
            ("{\"n\":1}", ""),
        ] {
            fs::write(&path, format!("{whole}{torn}")).unwrap();
            append(&journal).unwrap();
            let found = fs::read_to_string(&path).unwrap();
            let end = if whole.ends_with('}') { "\n" } else { "" };
            assert_eq!(found, format!("{whole}{end}{{\"n\":2}}\n"), "{} bytes torn", torn.len());
        }
    }

    #[test]
    fn an_append_that_fails_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.db");
        let path = beside(&journal, ".dead.jsonl");
        fs::write(&path, "{\"n\":1}\n").unwrap();
        // The end of an append whose write or sync failed.
        let mut archive = Archive::for_dead(&journal).unwrap();
        archive.add(&json!({ "n": "x".repeat(BLOCK) })).unwrap();
        drop(archive);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"n\":1}\n");

        File::create(&path).unwrap().write_all_at(b"\n", LARGEST - 1).unwrap();
        let former = beside(&journal, ".dead.jsonl.1");
        fs::create_dir(&former).unwrap();
        for _ in 0..2 {
            append(&journal).unwrap_err();
            assert_eq!(fs::metadata(&path).unwrap().len(), LARGEST);
        }
        fs::remove_dir(&former).unwrap();
        append(&journal).unwrap();
        assert!(!path.exists() && fs::metadata(&former).unwrap().len() > LARGEST);
    }
}
