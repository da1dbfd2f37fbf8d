//! oslo.versionedobjects behind oslo.messaging, behind a pipe of JSON lines (`peer.py`).

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use osnl_testkit::{Guard, fixture, python_program};
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("peer.py");

/// A notification as the real libraries passed it to an endpoint: the payload was an object of a class.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReceivedObject {
    pub(crate) priority: String,
    pub(crate) context: Value,
    pub(crate) publisher_id: String,
    pub(crate) event_type: String,
    pub(crate) class: String,
    pub(crate) version: String,
    pub(crate) payload: String,
}

#[derive(Debug)]
pub(crate) struct VersionedPeer {
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
    process: Child,
    _guard: Guard,
}

impl VersionedPeer {
    /// Starts the process; `listen` connects to the broker at `url` (`rabbit://…`).
    #[track_caller]
    pub(crate) fn start(url: &str) -> Self {
        let mut command = python_program("python");
        command.args(["-c", SCRIPT, url]).arg(fixture::path("emission/catalog/ironic.json"));
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let guard = Guard::over(&[process.id()], None);
        let requests = process.stdin.take().unwrap();
        let replies = BufReader::new(process.stdout.take().unwrap());
        Self { requests, replies, process, _guard: guard }
    }

    /// Starts the listener; returns once it consumes.
    #[track_caller]
    pub(crate) fn listen(&mut self, exchange: &str, topic: &str) {
        self.call(&json!({"op": "listen", "exchange": exchange, "topic": topic}));
    }

    #[track_caller]
    pub(crate) fn take(&mut self) -> ReceivedObject {
        let reply = self.call(&json!({"op": "take"}));
        let text = |key: &str| reply[key].as_str().unwrap_or_default().to_owned();
        ReceivedObject {
            priority: text("priority"),
            context: reply["context"].clone(),
            publisher_id: text("publisher_id"),
            event_type: text("event_type"),
            class: text("class"),
            version: text("version"),
            payload: text("payload"),
        }
    }

    /// The JSON text of an object of a class of ironic, its fields set to these values one by one.
    #[track_caller]
    pub(crate) fn encode(&mut self, class: &str, values: &Value) -> String {
        let reply = self.call(&json!({"op": "encode", "name": class, "values": values}));
        reply["payload"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the fields of the payload that a program with an older version of the class finds set.
    pub(crate) fn read_as_older(
        &mut self,
        class: &str,
        version: &str,
        without: &[&str],
        payload: &str,
    ) -> Result<Vec<String>, String> {
        let request = json!({
            "op": "read", "name": class, "version": version, "without": without, "payload": payload,
        });
        let reply = self.exchange(&request);
        if reply["ok"] != true {
            return Err(reply["error"].as_str().unwrap_or_default().to_owned());
        }
        let fields = reply["fields"].as_array().into_iter().flatten();
        Ok(fields.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    #[track_caller]
    fn call(&mut self, request: &Value) -> Value {
        let reply = self.exchange(request);
        assert!(reply["ok"] == true, "{request}: {}", reply["error"]);
        reply
    }

    #[track_caller]
    fn exchange(&mut self, request: &Value) -> Value {
        let line = format!("{request}\n");
        self.requests
            .write_all(line.as_bytes())
            .unwrap_or_else(|error| panic!("the Python peer is gone: {error}"));
        let mut line = String::new();
        let read = self.replies.read_line(&mut line).unwrap_or_else(|error| panic!("no reply: {error}"));
        assert!(read > 0, "the Python peer ended; its output above says why");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

impl Drop for VersionedPeer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
