use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener};
use std::sync::mpsc;

use osnl::action::http::{HttpError, HttpOptions};
use osnl::action::{Action, ActionError, Completion, ErrorClass};
use osnl::actions::k2hr3::K2hr3;
use osnl_legacy::k2hr3::ApiUrl;
use osnl_testkit::{Reply, Sink};
use tokio::runtime::Runtime;

use crate::harness::{SOON, event_of, framed, instance, port_deleted};

#[derive(Debug)]
pub(crate) struct Attempts {
    runtime: Runtime,
    action: K2hr3,
}

impl Attempts {
    pub(crate) fn at(api_url: &str, options: &HttpOptions) -> Result<Self, HttpError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Ok(Self { runtime, action: K2hr3::new(ApiUrl::parse(api_url).unwrap(), options)? })
    }

    pub(crate) fn make(&self) -> Result<Completion, ActionError> {
        let body = framed("network.node1", "port.delete.end", &port_deleted(&instance(1), "10.0.0.1"));
        let events = [event_of(body, "test")];
        let attempt = async { tokio::time::timeout(SOON, self.action.run(&events)).await.unwrap() };
        self.runtime.block_on(attempt).remove(0)
    }

    /// Runs the connections' tasks until `done` returns, so that connections notice their end.
    fn idle<T: Send + 'static>(&self, done: impl FnOnce() -> T + Send + 'static) -> T {
        self.runtime.block_on(async { tokio::task::spawn_blocking(done).await.unwrap() })
    }
}

pub(crate) fn environment(variables: &[(&str, &str)]) -> HttpOptions {
    HttpOptions::from_environment(variables.iter().map(|(name, value)| (name.into(), value.into())))
}

#[test]
fn idle_connections_that_the_server_closed_fail_no_request() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/v1/role", listener.local_addr().unwrap());
    let (ended, closed) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            // Without `Connection: close` the client keeps the connection, and notices its end only now.
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(stream.read(&mut request).unwrap(), 0);
            ended.send(()).unwrap();
        }
    });
    let attempts = Attempts::at(&url, &HttpOptions::default()).unwrap();
    let mut closed = closed;
    for _ in 0..3 {
        attempts.make().unwrap();
        closed = attempts.idle(move || {
            closed.recv_timeout(SOON).unwrap();
            closed
        });
    }
}

#[test]
fn what_is_no_answer_is_told_apart() {
    let sink = Sink::start();
    let attempts = Attempts::at(&sink.url("/v1/role"), &HttpOptions::default()).unwrap();
    let check = |reply: Reply, class: ErrorClass| {
        sink.script(vec![reply.clone()]);
        assert_eq!(attempts.make().unwrap_err().class, class, "{reply:?}");
    };
    check(Reply::Reset, ErrorClass::Reset);
    check(Reply::CloseWithoutReply, ErrorClass::Reset);
    check(Reply::Garbage, ErrorClass::Reset);
    // The program k2hr3_osnl made one request too: the status has told the outcome.
    sink.script(vec![Reply::ShortBody]);
    attempts.make().unwrap();
    check(Reply::Status(503), ErrorClass::Status(503));
    // A 407 without a proxy is the target's own answer.
    check(Reply::Status(407), ErrorClass::Status(407));
    sink.stop();
    let attempts = Attempts::at(&sink.url("/v1/role"), &HttpOptions::default()).unwrap();
    assert_eq!(attempts.make().unwrap_err().class, ErrorClass::Connect);
}
