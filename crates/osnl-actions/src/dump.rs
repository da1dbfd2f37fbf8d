//! The action `dump`, the small brother of [`file`](super::file): writes each event as one line of
//! JSON to stdout or a file.
//!
//! Secrets in context, payload and `enrichments` are masked. A line that cannot be written counts
//! as a target that is down and is retried without end. Writing blocks the one thread of osnl: a
//! pipe with a slow reader stops everything, on purpose. A pipe without a reader is a target that
//! is down.

mod conf;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use osnl_model::{mask_secrets, one_line_json};
use osnl_transport::BoxFuture;
use rustix::fs::OFlags;
use serde_json::{Value, json};

pub use self::conf::DumpConf;
use super::{Action, ActionError, Completion, Event};

pub struct Dump {
    out: Mutex<Option<Box<dyn Write + Send>>>,
    path: Option<PathBuf>,
}

impl Dump {
    #[must_use]
    pub fn to_stdout() -> Self {
        Self { out: Mutex::new(Some(Box::new(io::stdout()))), path: None }
    }

    #[must_use]
    pub fn to_file(path: &Path) -> Self {
        Self { out: Mutex::new(None), path: Some(path.to_owned()) }
    }

    fn write(&self, event: &Event) -> io::Result<()> {
        let mut text = one_line_json(line(event).to_string());
        text.push('\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let to = self.opened(&mut out)?;
        // One call for a whole line, so that lines of several writers do not mix.
        let written = to.write_all(text.as_bytes()).and_then(|()| to.flush());
        if written.is_err() && self.path.is_some() {
            *out = None;
        }
        written
    }

    fn opened<'a>(&self, out: &'a mut Option<Box<dyn Write + Send>>) -> io::Result<&'a mut dyn Write> {
        if let (None, Some(path)) = (&out, &self.path) {
            *out = Some(Box::new(open(path)?));
        }
        out.as_deref_mut().map(|out| out as &mut dyn Write).ok_or_else(|| io::Error::other("it is not open"))
    }

    fn failed(&self, error: &io::Error) -> ActionError {
        ActionError::unwritable(format!("{}: {error}", self.target()))
    }
}

impl Action for Dump {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        let write = |event| match self.write(event) {
            Ok(()) => Ok(Completion::Delivered(format!("written to {}", self.target()))),
            Err(error) => Err(self.failed(&error)),
        };
        Box::pin(std::future::ready(events.iter().map(write).collect()))
    }

    fn target(&self) -> String {
        self.path.as_ref().map_or("stdout".to_owned(), |path| path.display().to_string())
    }

    fn open(&self) -> BoxFuture<'_, Result<(), ActionError>> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = self.opened(&mut out).map(|_| ()).map_err(|error| self.failed(&error));
        Box::pin(std::future::ready(opened))
    }
}

/// Opens the file. A pipe without a reader is an error: waiting for a reader would stop the daemon
/// before its first event.
fn open(path: &Path) -> io::Result<File> {
    // The file contains whole payloads, so only its owner may read it.
    let mut how = OpenOptions::new();
    how.create(true).append(true).mode(0o600);
    let patient = OFlags::NONBLOCK.bits().cast_signed();
    let file = how.custom_flags(patient).open(path)?;
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file)
}

pub(super) fn line(event: &Event) -> Value {
    let (notification, origin) = (&event.notification, &event.received.origin);
    let mut line = json!({
        "rule": &*event.rule,
        "listener": &*origin.listener,
        "queue": &*origin.queue,
        "exchange": origin.exchange,
        "routing_key": origin.routing_key,
        "redelivered": origin.redelivered,
        "message_id": notification.message_id,
        "timestamp": notification.timestamp,
        "priority": notification.priority.as_ref().map(|priority| priority.as_str()),
        "event_type": notification.event_type,
        "publisher_id": notification.publisher_id,
        "context": mask_secrets(&Value::Object(notification.context.clone())),
        "payload": mask_secrets(&event.payload()),
        "idempotency_key": event.idempotency_key(),
    });
    if let Some(fence) = event.fence {
        line["fence"] = fence.number().into();
    }
    if let Some(enriched) = event.asked() {
        line["enrichments"] =
            enriched.into_iter().map(|(name, value)| (name, mask_secrets(&value))).collect();
    }
    if let Some(failure) = event.failure() {
        line["failure"] = failure.clone();
    }
    line
}

#[cfg(test)]
mod tests {
    use osnl_model::Notification;

    use super::*;
    use osnl_core::received::ReceivedMessage;

    #[test]
    fn no_secret_is_written_down() {
        let n = Notification {
            context: [
                ("password".to_owned(), json!("S3CRET")),
                ("aws_creds".to_owned(), json!({"a": "S3CRET"})),
            ]
            .into_iter()
            .collect(),
            payload: json!({
                "zone_id": "z", "name": "\u{85}\u{7f}\u{202e}", "key": "S3CRET", "configdrive": "S3CRET", "user_data": "S3CRET",
                "args": {"instance": {"pci_requests": {"_context": {"auth_token": "S3CRET"}}, "key_data": "S3CRET"}},
                "connection_info": "{\"data\": {\"auth_password\": \"S3CRET\"}}",
                "metadata": [{"key": "admin_pass", "value": "S3CRET"}],
                "exception": "{'kwargs': {'password': 'S3CRET'}}",
                "url": "mysql://nova:S3CRET@db/nova",
            }),
            ..Notification::default()
        };
        let event = Event::new(ReceivedMessage::sample(Vec::new(), false), n, "r", "a");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump.jsonl");
        Dump::to_file(&path).write(&event).unwrap();
        let line = std::fs::read_to_string(&path).unwrap();
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        assert!(!line.contains(|c: char| c != '\n' && osnl_model::is_dangerous(c)), "{line:?}");
        assert!(!line.contains("S3CRET") && line.contains("\"zone_id\":\"z\""), "{line}");
    }

    #[tokio::test]
    async fn what_cannot_be_opened_is_a_target_that_is_down() {
        let folder = tempfile::tempdir().unwrap();
        let event = Event::new(ReceivedMessage::sample(Vec::new(), false), Notification::default(), "r", "a");
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [folder.path(), &pipe, &folder.path().join("no/dump.jsonl")] {
            let dump = Dump::to_file(path);
            let error = dump.open().await.unwrap_err();
            let words = format!("cannot write: {}: ", path.display());
            assert!(error.to_string().starts_with(&words), "{error}");
            assert!(dump.write(&event).is_err(), "{path:?}");
        }
        let later = folder.path().join("later/dump.jsonl");
        let dump = Dump::to_file(&later);
        dump.open().await.unwrap_err();
        std::fs::create_dir(later.parent().unwrap()).unwrap();
        dump.write(&event).unwrap();
        assert!(later.exists());
    }
}
