use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Mutex;

use serde_json::Value;

use crate::{Guard, python_program};

const PROGRAM: &str = include_str!("../python/amqp1.py");

/// A program of `python/amqp1.py`: the broker of the tests of oslo.messaging 14.9.3, or that oslo.messaging as a publisher.
pub struct Amqp1Peer {
    child: Child,
    pipes: Mutex<(Option<ChildStdin>, BufReader<ChildStdout>)>,
    port: u16,
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

    /// Starts the broker of oslo.messaging's own tests, which keeps no messages; an empty product is none.
    #[must_use]
    pub fn broker(product: &str) -> Self {
        let mut broker = Self::start("fake", product);
        broker.port = broker.read()["port"].as_u64().and_then(|port| port.try_into().ok()).unwrap();
        broker
    }

    #[must_use]
    pub fn publisher(url: &str) -> Self {
        Self::start("publish", url)
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
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
}

impl Drop for Amqp1Peer {
    fn drop(&mut self) {
        self.pipes.get_mut().unwrap().0 = None;
        let _ = self.child.wait();
    }
}
