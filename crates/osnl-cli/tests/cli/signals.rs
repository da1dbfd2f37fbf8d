//! Signals: the first drains, the second aborts, SIGHUP reloads; unfinished messages return to the
//! broker.

use std::net::TcpListener;

use osnl_testkit::{Broker, OsloPublisher, PublisherOptions, Reply, Sink, closed_port};

use crate::harness::{PROMPTLY, Place, QUEUE, SOON, conf, depth, notices};

#[test]
fn a_second_signal_aborts_and_the_message_is_back_in_the_queue() {
    let vhost = Broker::shared().vhost("second-signal");
    let sink = Sink::start();
    sink.reply_with(Reply::Hang);
    let place = Place::new();
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    for (n, (first, second)) in [("TERM", "INT"), ("INT", "INT"), ("TERM", "TERM")].into_iter().enumerate() {
        let text = conf(&vhost.url(), &sink.url("/v1/role"), "");
        let mut osnl = place.daemon("k", &text).listening();
        if n == 0 {
            publisher.notify_all(&notices(0..1));
        }
        sink.wait_for(n + 1, SOON);
        osnl.signal(first);
        osnl.wait_for("Stopping");
        // The running attempt may still be answered, so the daemon does not end by itself.
        assert!(osnl.is_running());
        assert_eq!(vhost.queue_depth(QUEUE), Some((0, 1)));
        if n == 0 {
            osnl.wait_for("still waiting for running attempts at_most=");
        }
        osnl.signal(second);
        assert_eq!(osnl.wait(PROMPTLY).code(), Some(130), "{}", osnl.stderr());
        depth(&vhost, QUEUE, (1, 0));
    }
}

#[test]
fn it_ends_promptly_while_no_broker_answers() {
    let mut held = Vec::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port_of = |listener: &TcpListener| listener.local_addr().unwrap().port();
    // Three cases: a closed port, a silent peer during the opening of the connection, and a signal
    // right after the first log line, which for https precedes the reading of certificates.
    for (port, seen) in [
        (closed_port(), "cannot listen"),
        (port_of(&silent), " with k.conf"),
        (closed_port(), " with k.conf"),
    ] {
        for signal in ["TERM", "INT"] {
            let place = Place::new();
            let url = format!("rabbit://guest:hunter2@127.0.0.1:{port}/");
            let mut osnl = place.daemon("k", &conf(&url, "https://127.0.0.1:9/", ""));
            osnl.wait_for(seen);
            if port == port_of(&silent) {
                held.push(silent.accept().unwrap());
            }
            osnl.signal(signal);
            let status = osnl.wait(PROMPTLY);
            assert_eq!(status.code(), Some(0), "{status} after {seen}\n{}", osnl.stderr());
            assert!(osnl.stderr().contains("Stopping"), "{}", osnl.stderr());
            assert!(!osnl.stderr().contains("hunter2"), "{}", osnl.stderr());
        }
    }
}
