//! A listener with a full journal: received messages are requeued, and read again when there is room.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use osnl::action::http::HttpOptions;
use osnl::listener::{Gap, GapBook, ListenerState};
use osnl::metrics::Counters;
use osnl_testkit::{Broker, Notice, OsloPublisher, PublisherOptions, Reply, Sink, Vhost, wait_until};

use crate::faults::Target;
use crate::harness::{DaemonRig, SOON, instance};
use crate::native::native;
use crate::rabbit::ports;

const GIVEN_BACK: &str = "nothing could keep is given back";

fn daemon(vhost: &Vhost, target: &Target, folder: &Path, journal: &str, more: &str) -> DaemonRig {
    let text = format!(
        "[DEFAULT]\nstate_dir = {}\n[journal]\n{journal}\n\
         [listener:l]\ntransport_url = {}\nexchange = neutron\npool = q\ndeclare = create\n{more}\n\
         \
         [rule:r]\nevent_type = ^port\\.delete\\.end$\nactions = roles\n\
         [action:roles]\ndriver = k2hr3\napi_url = {}\nretry_interval = 1s\n",
        folder.display(),
        vhost.url(),
        target.sink.url("/v1/role"),
    );
    start(&text)
}

fn start(text: &str) -> DaemonRig {
    let counters = Arc::new(Counters::default());
    let mut conf = native(text);
    conf.listeners[0].give_back_after = Duration::from_millis(400);
    let daemon = conf.daemon(&HttpOptions::default(), &counters).unwrap();
    let daemon = DaemonRig::start_daemon(daemon, counters, Duration::from_secs(10));
    wait_until(SOON, "it listens", || daemon.state().is_subscribed());
    daemon
}

fn sqlite(folder: &Path) -> String {
    format!("connection = sqlite:///{}/journal.db\nallow_volatile = yes\nmax_pending = 1", folder.display())
}

fn gaps(folder: &Path) -> Vec<Gap> {
    assert!(folder.join("gaps.json").exists(), "the daemon keeps its gaps");
    GapBook::open(Some(folder)).open_gaps()
}

fn reason(daemon: &DaemonRig) -> String {
    match daemon.state() {
        ListenerState::Blocked { reason, .. } => reason.to_string(),
        _ => String::new(),
    }
}

#[test]
fn a_full_window_behind_a_held_target_goes_back_and_nothing_is_done_twice() {
    let vhost = Broker::shared().vhost("blocked-memory");
    let target = Target::down();
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(&vhost, &target, folder.path(), "connection = memory://", "prefetch = 5");
    OsloPublisher::start(&vhost.url(), PublisherOptions::default()).notify_all(&ports(0..12));
    daemon.wait_for_log(GIVEN_BACK);
    wait_until(SOON, "all are with the broker", || vhost.queue_depth("q") == Some((12, 0)));
    let said = reason(&daemon);
    assert!(said.contains("5 messages wait for the end of their deliveries"), "{said}");
    let tried = target.sink.requests().len();
    wait_until(SOON, "the target is probed", || target.sink.requests().len() > tried);
    assert_eq!((daemon.counters.received.get(), daemon.counters.returned.get()), (5, 0));
    target.come_up();
    wait_until(SOON, "all have their effect", || target.effects(0..12).iter().all(|n| *n >= 1));
    wait_until(SOON, "all are settled", || vhost.queue_depth("q") == Some((0, 0)));
    wait_until(SOON, "it listens", || daemon.state() == ListenerState::Listening);
    daemon.stop().unwrap();
    assert_eq!(target.effects(0..12), [1; 12]);
    assert_eq!(gaps(folder.path()), []);
}

#[test]
fn a_queue_that_is_deleted_while_nothing_is_read_is_made_again_and_a_gap() {
    let vhost = Broker::shared().vhost("blocked-deleted");
    let target = Target::down();
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(&vhost, &target, folder.path(), &sqlite(folder.path()), "");
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&ports(0..6));
    daemon.wait_for_log(GIVEN_BACK);
    vhost.delete_queue("q");
    daemon.wait_for_log("the queue is gone: the listener subscribes again");
    daemon.wait_for_log("the queue was gone and has been made anew");
    publisher.notify_all(&ports(6..7));
    target.come_up();
    wait_until(SOON, "what came since has its effect", || target.effects(6..7)[0] >= 1);
    daemon.stop().unwrap();
    let gaps: Vec<bool> = gaps(folder.path()).iter().map(|gap| gap.is_certain).collect();
    assert_eq!(gaps, [true]);
}

#[test]
fn two_daemons_that_are_blocked_do_not_pass_the_queue_to_and_fro() {
    let vhost = Broker::shared().vhost("blocked-standby");
    let target = Target::down();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [first, second] = [&folders[0], &folders[1]]
        .map(|folder| daemon(&vhost, &target, folder.path(), &sqlite(folder.path()), ""));
    assert_eq!((first.state(), second.state()), (ListenerState::Listening, ListenerState::Standby));
    OsloPublisher::start(&vhost.url(), PublisherOptions::default()).notify_all(&ports(0..6));
    first.wait_for_log(GIVEN_BACK);
    wait_until(SOON, "the first knows who reads now", || {
        reason(&first).contains("order holds for each daemon")
    });
    second.wait_for_log(GIVEN_BACK);
    wait_until(SOON, "nobody reads", || vhost.queue_depth("q") == Some((4, 0)));
    let tried = target.sink.requests().len();
    wait_until(SOON, "both are tried again", || target.sink.requests().len() >= tried + 4);
    assert_eq!(vhost.queue_depth("q"), Some((4, 0)));
    assert_eq!((first.counters.reconnects.get(), second.counters.reconnects.get()), (0, 0));
    target.come_up();
    wait_until(SOON, "all have their effect", || target.effects(0..6).iter().all(|n| *n >= 1));
    wait_until(SOON, "all are settled", || vhost.queue_depth("q") == Some((0, 0)));
    for daemon in [first, second] {
        daemon.stop().unwrap();
    }
    assert_eq!(target.effects(0..6), [1; 6]);
    assert_eq!(folders.each_ref().map(|folder| gaps(folder.path())), [[], []]);
}

#[test]
fn a_quorum_queue_keeps_its_order_over_daemons_that_give_it_back_and_stop() {
    const EVENTS: usize = 30;
    let vhost = Broker::shared().vhost("blocked-order");
    let sink = Sink::start();
    let (is_up, done) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (up, seen) = (is_up.clone(), done.clone());
    sink.reply_when(move |request| {
        if !up.load(Ordering::SeqCst) {
            return Some(Reply::Status(503));
        }
        seen.lock().unwrap().push(request.target.rsplit('/').next()?.parse::<usize>().ok()?);
        Some(Reply::Status(204))
    });
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [first, second] = [&folders[0], &folders[1]].map(|folder| {
        start(&format!(
            "[DEFAULT]\nstate_dir = {}\n[journal]\nconnection = memory://\n\
             [listener:l]\ntransport_url = {}\nexchange = neutron\npool = q\ndeclare = create\nprefetch = 5\n\
             queue_type = quorum\n[rule:r]\nevent_type = ^port\\.delete\\.end$\nactions = a\n\
             [action:a]\ndriver = http\nurl = {}/{{{{ payload.port.name }}}}\nretry_interval = 1s\n",
            folder.path().display(),
            vhost.url(),
            sink.url(""),
        ))
    });
    let event = |n: usize| Notice {
        payload: serde_json::json!({"port": {"id": instance(0), "name": n.to_string()}}),
        ..Notice::default()
    };
    let events: Vec<Notice> = (0..EVENTS).map(event).collect();
    OsloPublisher::start(&vhost.url(), PublisherOptions::default()).notify_all(&events);
    first.wait_for_log(GIVEN_BACK);
    second.wait_for_log(GIVEN_BACK);
    first.stop().unwrap();
    is_up.store(true, Ordering::SeqCst);
    // The reported depth of a quorum queue is some seconds old.
    wait_until(SOON, "the last has its effect", || done.lock().unwrap().contains(&(EVENTS - 1)));
    second.stop().unwrap();
    let done = done.lock().unwrap();
    let mut firsts: Vec<usize> = Vec::new();
    done.iter().for_each(|n| {
        if !firsts.contains(n) {
            firsts.push(*n);
        }
    });
    assert_eq!(firsts, (0..EVENTS).collect::<Vec<_>>(), "{done:?}");
}
