use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Mutex;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::{Guard, python_program};

const PROGRAM: &str = include_str!("../python/amqp1.py");

pub struct Amqp1Peer {
    child: Child,
    pipes: Mutex<(Option<ChildStdin>, BufReader<ChildStdout>)>,
    port: u64,
    _guard: Guard,
}

impl Amqp1Peer {
    fn start(role: &str, argument: &str) -> Self {
        let mut command = python_program("python");
        command.args(["-W", "ignore", "-c", PROGRAM, role, argument]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let guard = Guard::over(&[child.id()], None);
        let pipes = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, pipes: Mutex::new(pipes), port: 0, _guard: guard }
    }

    #[must_use]
    pub fn broker(product: &str) -> Self {
        let mut broker = Self::start("broker", product);
        broker.port = broker.read()["port"].as_u64().unwrap();
        broker
    }

    #[must_use]
    pub fn publisher(url: &str) -> Self {
        Self::start("publish", url)
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://127.0.0.1:{}/", self.port)
    }

    fn read(&self) -> Value {
        let mut line = String::new();
        self.pipes.lock().unwrap().1.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the Python program has ended: {error}"))
    }

    pub fn ask(&self, line: &Value) -> Value {
        writeln!(self.pipes.lock().unwrap().0.as_mut().unwrap(), "{line}").unwrap();
        self.read()
    }

    pub fn publish(&self, address: &str, body: &[u8], properties: &Value) {
        let body = BASE64_STANDARD.encode(body);
        self.ask(&json!({"do": "publish", "address": address, "body": body, "properties": properties}));
    }

    #[must_use]
    pub fn depth(&self, address: &str) -> (u64, u64) {
        let depth = self.ask(&json!({"do": "depth", "address": address}));
        (depth["ready"].as_u64().unwrap(), depth["unacknowledged"].as_u64().unwrap())
    }
}

impl Drop for Amqp1Peer {
    fn drop(&mut self) {
        self.pipes.get_mut().unwrap().0 = None;
        let _ = self.child.wait();
    }
}
