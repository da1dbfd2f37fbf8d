//! oslo.versionedobjects behind oslo.messaging, behind a pipe of JSON lines (`python/versioned.py`).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::fixture;
use crate::process::{ChildGroup, Guard};

const SCRIPT: &str = include_str!("../../python/versioned.py");

/// A notification as the real libraries gave it to an endpoint: the payload was an object of a class.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedObject {
    /// The method of the endpoint that was called: `info`, `warn`, ...
    pub priority: String,
    /// The context, as a JSON object.
    pub context: Value,
    /// As in the body.
    pub publisher_id: String,
    /// As in the body.
    pub event_type: String,
    /// The class of the payload.
    pub class: String,
    /// The version of the payload.
    pub version: String,
    /// The payload serialized again, as JSON text.
    pub payload: String,
}

/// A Python process with ironic's payload classes. Ends when dropped.
#[derive(Debug)]
pub struct VersionedPeer {
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
    _process: ChildGroup,
    _guard: Guard,
}

impl VersionedPeer {
    /// Starts the process; it connects to the broker at `url` (`rabbit://…`) when it is told to listen.
    ///
    /// # Panics
    /// When the tests were not started by `cargo xtask test`.
    #[must_use]
    pub fn start(url: &str) -> Self {
        Self::run(super::python_program("python"), url)
    }

    /// As [`start`](Self::start), with the Python environment in this folder; without a broker.
    #[must_use]
    pub fn start_in(environment: &Path) -> Self {
        Self::run(super::program_in(environment, "python"), "fake:///")
    }

    fn run(mut command: Command, url: &str) -> Self {
        command.args(["-c", SCRIPT, url]).arg(fixture::path("emission/catalog/ironic.json"));
        let mut process = ChildGroup::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let guard = Guard::over(&[process.id()], None);
        let requests = process.child().stdin.take().unwrap();
        let replies = BufReader::new(process.child().stdout.take().unwrap());
        Self { requests, replies, _process: process, _guard: guard }
    }

    /// Starts the listener; returns when it consumes.
    ///
    /// # Panics
    /// When it could not.
    #[track_caller]
    pub fn listen(&mut self, exchange: &str, topic: &str) {
        self.call(&json!({"op": "listen", "exchange": exchange, "topic": topic}));
    }

    /// The next notification that reached an endpoint.
    ///
    /// # Panics
    /// When none comes within 30 seconds.
    #[track_caller]
    pub fn take(&mut self) -> ReceivedObject {
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
    ///
    /// # Panics
    /// When a field does not take its value.
    #[track_caller]
    pub fn encode(&mut self, class: &str, values: &Value) -> String {
        let reply = self.call(&json!({"op": "encode", "name": class, "values": values}));
        reply["payload"].as_str().unwrap_or_default().to_owned()
    }

    /// The fields that a program finds set in this payload when it knows the class in an older version, which lacks some
    /// of the fields.
    ///
    /// # Errors
    /// The real decoder's, when it refuses the payload.
    pub fn read_as_older(
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

    /// Nanoseconds to build an object of a class of ironic from one with these values, as ironic's schemas do, and to
    /// write it as JSON, each `count` times; and that JSON.
    ///
    /// # Panics
    /// When a field does not take its value.
    #[track_caller]
    pub fn measure(&mut self, class: &str, values: &Value, count: u64) -> (f64, String) {
        let request = json!({"op": "measure", "name": class, "values": values, "count": count});
        let reply = self.call(&request);
        let payload = reply["payload"].as_str().unwrap_or_default().to_owned();
        (reply["nanoseconds"].as_f64().unwrap_or(f64::NAN), payload)
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
