//! Faults between a running daemon and a real RabbitMQ that keeps running.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use osnl::daemon::RunEnd;
use osnl::listener::ListenerState;
use osnl_brokers::transport;
use osnl_model::TransportUrl;
use osnl_testkit::{
    Broker, FaultyProxy, NetworkFault, OsloPublisher, PublisherOptions, Reply, Sink, Vhost, wait_until,
};
use osnl_transport::Transport;

use crate::harness::{DaemonRig, QUEUE, SOON, conf, instance};
use crate::rabbit::ports;

pub(crate) fn connects(url: &str) -> Arc<dyn Transport> {
    transport(&TransportUrl::parse(url).unwrap()).unwrap().into()
}

#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) sink: Arc<Sink>,
    up: Arc<AtomicBool>,
    done: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Target {
    pub(crate) fn down() -> Self {
        let sink = Arc::new(Sink::start());
        let (up, done) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeMap::new())));
        let (is_up, effects): (Arc<AtomicBool>, Arc<Mutex<BTreeMap<String, usize>>>) =
            (up.clone(), done.clone());
        sink.reply_when(move |request| {
            if !is_up.load(Ordering::SeqCst) {
                return Some(Reply::Status(503));
            }
            let instance = request.target.split("cuk=").nth(1)?.split('&').next()?.to_owned();
            *effects.lock().unwrap().entry(instance).or_default() += 1;
            Some(Reply::Status(204))
        });
        Self { sink, up, done }
    }

    pub(crate) fn come_up(&self) {
        self.up.store(true, Ordering::SeqCst);
    }

    pub(crate) fn effects(&self, instances: std::ops::Range<usize>) -> Vec<usize> {
        let done = self.done.lock().unwrap();
        instances.map(|n| done.get(&instance(n)).copied().unwrap_or_default()).collect()
    }

    pub(crate) fn daemon(&self, transport: Arc<dyn Transport>) -> DaemonRig {
        let daemon = DaemonRig::start(&conf(&self.sink.url("/v1/role"), ""), transport);
        wait_until(SOON, "the daemon listens", || daemon.state() == ListenerState::Listening);
        daemon
    }
}

pub(crate) fn in_work(
    vhost: &Vhost,
    target: &Target,
    transport: Arc<dyn Transport>,
    count: usize,
) -> DaemonRig {
    let daemon = target.daemon(transport);
    OsloPublisher::start(&vhost.url(), PublisherOptions::default()).notify_all(&ports(0..count));
    daemon.wait_until("they are in work", |c| c.matched.get() == count as u64);
    daemon
}

pub(crate) fn all_done(vhost: &Vhost, target: &Target, daemon: DaemonRig, events: usize) {
    target.come_up();
    daemon.wait_until("all are delivered", |c| c.delivered.get() >= events as u64);
    wait_until(SOON, "everything is acknowledged", || vhost.queue_depth(QUEUE) == Some((0, 0)));
    assert_eq!(target.effects(0..events), vec![1; events]);
    let counted = &daemon.counters;
    assert_eq!(counted.dead.get(), 0);
    // The broker marks each redelivery, and the daemon recognises it. The unread rest of a batch from a lost
    // connection counts as received too.
    assert!(counted.received.get() >= events as u64 + counted.deduplicated.get());
    assert_eq!(daemon.stop().unwrap(), RunEnd::Drained);
}

#[test]
fn a_channel_error_is_told_and_everything_in_work_is_adopted() {
    let vhost = Broker::shared().vhost("channel-error");
    let target = Target::down();
    let daemon = in_work(&vhost, &target, connects(&vhost.url()), 20);
    vhost.fail_all_channels();
    daemon.wait_until("it is back and has adopted all", |c| c.deduplicated.get() == 20);
    daemon.wait_for_log("unknown delivery tag 4294967295");
    wait_until(SOON, "it listens again", || {
        daemon.listened() == 2 && daemon.state() == ListenerState::Listening
    });
    let states: Vec<_> = daemon.states().into_iter().map(|(_, state)| state).collect();
    let (connecting, listening) = (ListenerState::Connecting { attempt: 1 }, ListenerState::Listening);
    assert!(states.ends_with(&[connecting.clone(), listening.clone(), connecting, listening]), "{states:?}");
    all_done(&vhost, &target, daemon, 20);
}

#[test]
fn a_queue_deleted_under_the_consumer_takes_nothing_with_it_that_is_in_work() {
    let vhost = Broker::shared().vhost("cancelled");
    let target = Target::down();
    let daemon = in_work(&vhost, &target, connects(&vhost.url()), 10);
    vhost.delete_queue(QUEUE);
    daemon.wait_for_log(&format!("consumer of queue \\\"{QUEUE}\\\" cancelled by the broker"));
    wait_until(SOON, "it listens again", || {
        daemon.listened() == 2 && daemon.state() == ListenerState::Listening
    });
    OsloPublisher::start(&vhost.url(), PublisherOptions::default()).notify_all(&ports(10..15));
    all_done(&vhost, &target, daemon, 15);
}

#[test]
fn a_half_open_connection_is_noticed_by_its_missing_heartbeats() {
    let vhost = Broker::shared().vhost("half-open");
    let proxy = FaultyProxy::before(Broker::shared().port());
    let target = Target::down();
    let url = format!("{}?heartbeat_timeout_threshold=1", vhost.url_through(proxy.port()));
    let transport = transport(&TransportUrl::parse(&url).unwrap()).unwrap();
    let daemon = in_work(&vhost, &target, transport.into(), 10);
    proxy.set(NetworkFault::Stall);
    wait_until(SOON, "the silence is noticed", || daemon.state() != ListenerState::Listening);
    OsloPublisher::start(&vhost.url(), PublisherOptions::default()).notify_all(&ports(10..12));
    proxy.set(NetworkFault::None);
    // A busy machine may miss another heartbeat, and then all messages come once more.
    daemon.wait_until("it is back and has adopted all", |c| c.deduplicated.get() >= 10);
    all_done(&vhost, &target, daemon, 12);
}

#[test]
fn a_password_rotated_under_it_is_refused_ever_less_often_and_taken_when_it_is_right_again() {
    let vhost = Broker::shared().vhost("password");
    let user = format!("user-{}", vhost.name());
    vhost.set_password(&user, "first-word");
    let target = Target::down();
    let daemon = in_work(&vhost, &target, connects(&vhost.url_for(&user, "first-word")), 10);
    vhost.set_password(&user, "second-word");
    vhost.close_all_connections("the password has changed");
    let third = ListenerState::Connecting { attempt: 3 };
    wait_until(SOON, "two attempts were refused", || daemon.state() == third);
    daemon.wait_for_log(&format!("login refused for user \\\"{user}\\\""));
    assert!(daemon.log().iter().all(|line| !line.contains("first-word")));
    // Pauses of 1 s and 2 s, each up to a fifth shorter.
    let states = daemon.states();
    let begun = |attempt| {
        let wanted = ListenerState::Connecting { attempt };
        states.iter().rfind(|(_, state)| *state == wanted).map(|(at, _)| *at).unwrap()
    };
    assert!(
        begun(2) - begun(1) >= Duration::from_millis(800)
            && begun(3) - begun(2) >= Duration::from_millis(1600)
    );
    vhost.set_password(&user, "first-word");
    daemon.wait_until("it is back and has adopted all", |c| c.deduplicated.get() == 10);
    all_done(&vhost, &target, daemon, 10);
}
