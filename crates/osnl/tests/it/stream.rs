//! A daemon that reads a stream and continues at its position over restarts, kills and lost connections.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use osnl::action::http::HttpOptions;
use osnl::assembly::BuildError;
use osnl::daemon::RunEnd;
use osnl::listener::ListenerState;
use osnl::metrics::Counters;
use osnl::native::{Sources, load_texts};
use osnl_testkit::{
    Broker, BrokerObjects, Notice, OsloPublisher, PublisherOptions, Reply, Sink, Vhost, wait_until,
};
use serde_json::json;

use crate::harness::{ListenerRig, SOON, instance};
use crate::rabbit::ports;

const STREAM: &str = "log";

fn stream(name: &str) -> (Vhost, OsloPublisher) {
    let vhost = Broker::shared().vhost(name);
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions { durable: true });
    let arguments = json!({"x-queue-type": "stream"});
    publisher.prepare(&BrokerObjects { queue: STREAM.into(), arguments, ..BrokerObjects::default() });
    (vhost, publisher)
}

fn text(vhost: &Vhost, sink: &Sink, state_dir: &Path, more: &str) -> String {
    format!(
        "[DEFAULT]\nstate_dir = {}\n[journal]\nconnection = memory://\n[listener:audit]\ntransport_url = {}\nqueue = {STREAM}\nqueue_type = stream\n\
         stream_offset = first\nprefetch = 20\n[rule:r]\nevent_type = ^port\\.delete\\.end$\nactions = roles\n\
         [action:roles]\ndriver = k2hr3\napi_url = {}\nretry_interval = 0\n{more}",
        state_dir.display(),
        vhost.url(),
        sink.url("/v1/role"),
    )
}

fn run(text: &str) -> ListenerRig {
    let texts = [("test.conf".to_owned(), text.to_owned())];
    let conf = load_texts(&texts, &Sources::default()).unwrap_or_else(|errors| panic!("{errors}")).conf;
    let counters = Arc::new(Counters::default());
    let daemon = conf.daemon(&HttpOptions::default(), &counters).unwrap();
    ListenerRig::start_daemon(daemon, counters, Duration::from_secs(10))
}

fn effects(sink: &Sink, count: usize) -> Vec<usize> {
    let requests = sink.requests();
    (0..count).map(|n| requests.iter().filter(|r| r.target.contains(&instance(n))).count()).collect()
}

fn position(state_dir: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(state_dir.join("streams/audit.json")).ok()?;
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    found["streams"][STREAM]["offset"].as_u64()
}

#[test]
fn a_restart_goes_on_where_it_was_left_and_repeats_nothing() {
    let (vhost, mut publisher) = stream("resumed");
    let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let text = text(&vhost, &sink, folder.path(), "");
    publisher.notify_all(&ports(0..50));
    let daemon = run(&text);
    daemon.wait_until("all are delivered", |c| c.delivered.get() == 50);
    assert_eq!(daemon.stop().unwrap(), RunEnd::Drained);
    assert_eq!(position(folder.path()), Some(50));
    publisher.notify_all(&ports(50..60));
    let daemon = run(&text);
    daemon.wait_until("what is new is delivered", |c| c.delivered.get() == 10);
    daemon.stop().unwrap();
    assert_eq!(effects(&sink, 60), [1; 60]);
    std::fs::remove_file(folder.path().join("streams/audit.json")).unwrap();
    let daemon = run(&text);
    daemon.wait_until("all are delivered again", |c| c.delivered.get() == 60);
    daemon.stop().unwrap();
}

#[test]
fn what_kill_9_leaves_repeats_and_never_loses() {
    let (vhost, mut publisher) = stream("killed");
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sink = Sink::start();
    publisher.notify_all(&ports(0..15));
    let daemon = run(&text(&vhost, &sink, folder.path(), ""));
    wait_until(SOON, "the position is written while it runs", || position(folder.path()) == Some(15));
    sink.reply_with(Reply::Hang);
    publisher.notify_all(&ports(15..30));
    daemon.wait_until("they are in work", |c| c.matched.get() == 30);
    // The later messages match no rule and are done at once, and the file is written once more.
    let file = || std::fs::metadata(folder.path().join("streams/audit.json")).unwrap().ino();
    let before = file();
    publisher.notify(&Notice { event_type: "port.create.end".to_owned(), ..Notice::default() });
    wait_until(SOON, "the position is written again", || file() != before);
    // The current file is the state that a kill would leave.
    std::fs::create_dir_all(copy.path().join("streams")).unwrap();
    std::fs::copy(folder.path().join("streams/audit.json"), copy.path().join("streams/audit.json")).unwrap();
    assert_eq!(position(copy.path()), Some(15));
    drop(daemon);
    assert_eq!(position(folder.path()), Some(15), "nothing that was in work counts as done");
    let after = Sink::start();
    let daemon = run(&text(&vhost, &after, copy.path(), ""));
    daemon.wait_until("they are delivered", |c| c.delivered.get() == 15);
    daemon.stop().unwrap();
    assert_eq!(effects(&after, 30), [[0; 15], [1; 15]].concat());
}

#[test]
fn what_goes_back_is_held_in_the_process_and_delivered_in_the_end() {
    let (vhost, mut publisher) = stream("held");
    let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.reply_with(Reply::Status(409));
    publisher.notify_all(&ports(0..3));
    let more = "max_attempts = 1\nwhen_exhausted = return\n";
    let daemon = run(&text(&vhost, &sink, folder.path(), more));
    wait_until(SOON, "each was tried twice", || effects(&sink, 3).iter().all(|n| *n >= 2));
    assert_eq!(daemon.counters.received.get(), 3, "the broker sent each once");
    sink.reply_with(Reply::Status(204));
    daemon.wait_until("all are delivered", |c| c.delivered.get() == 3);
    publisher.notify_all(&ports(3..4));
    daemon.wait_until("the next is delivered", |c| c.delivered.get() == 4);
    assert_eq!((daemon.counters.dead.get(), daemon.counters.reconnects.get()), (0, 0));
    daemon.stop().unwrap();
    assert_eq!(position(folder.path()), Some(4));
}

#[test]
fn a_lost_connection_reads_on_and_repeats_nothing_that_was_done() {
    let (vhost, mut publisher) = stream("lost");
    let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let daemon = run(&text(&vhost, &sink, folder.path(), ""));
    for round in 1..=3 {
        publisher.notify_all(&ports(round * 10 - 10..round * 10));
        daemon.wait_until("this round is delivered", |c| c.delivered.get() == 10 * round as u64);
        vhost.close_all_connections("test");
        daemon.wait_until("it is back", |c| c.reconnects.get() == round as u64);
        publisher = OsloPublisher::start(&vhost.url(), PublisherOptions { durable: true });
    }
    daemon.stop().unwrap();
    assert_eq!(effects(&sink, 30), [1; 30]);
}

#[test]
fn reading_what_is_next_misses_nothing_that_comes_while_it_is_away() {
    let (vhost, mut publisher) = stream("next");
    let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let text = text(&vhost, &sink, folder.path(), "[listener:audit]\nstream_offset = next\n");
    let daemon = run(&text);
    // The listener's state, because the broker has an earlier consumer that only asks for the queue's type.
    wait_until(SOON, "it listens", || daemon.state() == ListenerState::Listening);
    daemon.stop().unwrap();
    publisher.notify_all(&ports(0..5));
    let daemon = run(&text);
    daemon.wait_until("all are delivered", |c| c.delivered.get() == 5);
    daemon.stop().unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_is_said_before_anything_is_read() {
    let (vhost, _publisher) = stream("folder");
    let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let texts = [("test.conf".to_owned(), text(&vhost, &sink, &file, ""))];
    let conf = load_texts(&texts, &Sources::default()).unwrap().conf;
    let error = conf.daemon(&HttpOptions::default(), &Arc::new(Counters::default())).err().unwrap();
    assert!(matches!(error, BuildError::State { .. }), "{error}");
    let text = error.to_string();
    for part in ["[listener:audit]", &file.display().to_string(), "state_dir"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let unused: BTreeMap<String, u64> =
        vhost.list_queues().into_iter().map(|q| (q.name, q.consumers)).collect();
    assert_eq!(unused, BTreeMap::from([(STREAM.to_owned(), 0)]));
}
