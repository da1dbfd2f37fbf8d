//! A running daemon for tests, with its log, states, and counters; and the messages that most tests publish.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use osnl::action::Event;
use osnl::action::http::HttpOptions;
use osnl::daemon::{Daemon, DaemonError, RunEnd};
use osnl::delivery::DeliverySettings;
use osnl::listener::{Listener, ListenerState};
use osnl::metrics::Counters;
use osnl::native::{Native, Sources};
use osnl::received::ReceivedMessage;
use osnl::shutdown::Shutdown;
use osnl_legacy::k2hr3::Conf;
use osnl_model::{Priority, Target};
use osnl_testkit::{Sink, wait_until};
use osnl_transport::{MemoryBroker, Properties, Transport};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::log::Log;

/// Longer than any wait here takes on a slow machine, and short enough for a person to wait.
pub(crate) const SOON: Duration = Duration::from_secs(60);
pub(crate) const QUEUE: &str = "k2hr3_osnl";

pub(crate) fn sources() -> Sources {
    Sources { drivers: osnl_legacy::oss::drivers(), ..Sources::default() }
}

pub(crate) fn conf(api_url: &str, more: &str) -> Conf {
    let text = format!("[k2hr3]\napi_url = {api_url}\n{more}");
    Conf::from_text("test.conf", &text).unwrap().conf
}

pub(crate) fn quick(conf: &Conf) -> DeliverySettings {
    let mut settings = conf.delivery();
    settings.policy.initial = Duration::from_millis(20);
    settings.policy.max = Duration::from_millis(100);
    settings
}

/// A daemon that runs on a thread of its own and ends with the test.
pub(crate) struct DaemonRig {
    pub(crate) shutdown: Shutdown,
    pub(crate) counters: Arc<Counters>,
    states: States,
    log: Log,
    thread: Option<JoinHandle<Result<RunEnd, DaemonError>>>,
}

impl DaemonRig {
    pub(crate) fn start(conf: &Conf, transport: Arc<dyn Transport>) -> Self {
        Self::start_with(conf, quick(conf), Duration::from_secs(10), transport)
    }

    pub(crate) fn start_with(
        conf: &Conf,
        settings: DeliverySettings,
        drain_deadline: Duration,
        transport: Arc<dyn Transport>,
    ) -> Self {
        Self::start_through(conf, &HttpOptions::default(), settings, drain_deadline, transport)
    }

    pub(crate) fn start_through(
        conf: &Conf,
        http: &HttpOptions,
        settings: DeliverySettings,
        drain_deadline: Duration,
        transport: Arc<dyn Transport>,
    ) -> Self {
        let counters = Arc::new(Counters::default());
        let daemon = conf.daemon_with(transport, &counters, http, settings).unwrap();
        Self::start_daemon(daemon, counters, drain_deadline)
    }

    pub(crate) fn from_conf(conf: &Native, broker: &MemoryBroker) -> Self {
        let counters = Arc::new(Counters::default());
        let transports = |_: &_| Ok(Arc::new(broker.transport()) as Arc<_>);
        let daemon = conf.daemon_with(&transports, &HttpOptions::default(), &counters).unwrap();
        Self::start_daemon(daemon, counters, Duration::from_secs(10))
    }

    pub(crate) fn bound(conf: &Native, broker: &MemoryBroker, exchanges: &[&str]) -> Self {
        let daemon = Self::from_conf(conf, broker);
        for exchange in exchanges {
            let target = Target::new(*exchange, "notifications");
            let publish =
                || broker.publish(&target, &Priority::Info, r#"{"event_type": "x", "payload": {}}"#);
            wait_until(SOON, "the queue is bound", || publish() == 1);
        }
        daemon
    }

    pub(crate) fn start_daemon(daemon: Daemon, counters: Arc<Counters>, drain_deadline: Duration) -> Self {
        let shutdown = Shutdown::new();
        let told = shutdown.clone();
        let (states, log) = (States::default(), Log::default());
        let recorded = states.clone();
        let subscriber = log.subscriber();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let record = record(daemon.listeners.first().map(Listener::state), recorded);
            tracing::subscriber::with_default(subscriber, || {
                runtime.block_on(async {
                    tokio::select! {
                        ended = daemon.run(&told, drain_deadline) => ended,
                        never = record => match never {},
                    }
                })
            })
        });
        Self { shutdown, counters, states, log, thread: Some(thread) }
    }

    pub(crate) fn state(&self) -> ListenerState {
        self.states().last().map_or(ListenerState::Connecting { attempt: 0 }, |(_, state)| state.clone())
    }

    pub(crate) fn states(&self) -> Vec<(Instant, ListenerState)> {
        self.states.lock().unwrap().clone()
    }

    pub(crate) fn listened(&self) -> usize {
        self.states().iter().filter(|(_, state)| *state == ListenerState::Listening).count()
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        let said = || self.log.lines().iter().any(|line| line.contains(text));
        wait_until(SOON, &format!("{text:?} in the log"), said);
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    pub(crate) fn wait_until(&self, what: &str, mut done: impl FnMut(&Counters) -> bool) {
        wait_until(SOON, what, || done(&self.counters));
    }

    pub(crate) fn stop(mut self) -> Result<RunEnd, DaemonError> {
        self.shutdown.drain.cancel();
        self.join()
    }

    /// Ends a daemon whose delivery fails again and again, for which a drain would take its whole deadline.
    pub(crate) fn abort(mut self) -> Result<RunEnd, DaemonError> {
        self.shutdown.drain.cancel();
        self.shutdown.abort.cancel();
        self.join()
    }

    pub(crate) fn join(&mut self) -> Result<RunEnd, DaemonError> {
        self.thread.take().unwrap().join().unwrap()
    }
}

type States = Arc<Mutex<Vec<(Instant, ListenerState)>>>;

async fn record(state: Option<watch::Receiver<ListenerState>>, states: States) -> std::convert::Infallible {
    if let Some(mut state) = state {
        loop {
            let now = state.borrow_and_update().clone();
            states.lock().unwrap().push((Instant::now(), now));
            if state.changed().await.is_err() {
                break;
            }
        }
    }
    std::future::pending().await
}

impl Drop for DaemonRig {
    fn drop(&mut self) {
        self.shutdown.drain.cancel();
        self.shutdown.abort.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) fn daemon_for(sink: &Sink, more: &str) -> (MemoryBroker, DaemonRig) {
    let conf = conf(&sink.url("/v1/role"), more);
    let broker = bound_broker(&conf);
    let daemon = DaemonRig::start(&conf, Arc::new(broker.transport()));
    (broker, daemon)
}

pub(crate) fn instance(n: usize) -> String {
    format!("12345678-1234-5678-1234-{n:012}")
}

pub(crate) fn port_deleted(instance: &str, address: &str) -> Value {
    json!({"port": {"device_id": instance, "device_owner": "compute:nova", "fixed_ips": [{"ip_address": address}]}})
}

pub(crate) fn framed(publisher_id: &str, event_type: &str, payload: &Value) -> String {
    static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let id = LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    // serde_json sorts keys, so this body also misses the fast path of reading heads.
    let inner = json!({
        "message_id": format!("m{id}"), "publisher_id": publisher_id, "event_type": event_type,
        "priority": "INFO", "payload": payload, "timestamp": "2026-11-20 06:36:22.662155",
        "_unique_id": format!("u{id}"),
    });
    json!({"oslo.version": "2.0", "oslo.message": inner.to_string()}).to_string()
}

pub(crate) fn event_of(body: String, action: &str) -> Event {
    let received = ReceivedMessage::sample(body, false);
    let notification = received.decode().unwrap();
    Event::new(received, notification, "r", action)
}

pub(crate) fn publish(broker: &MemoryBroker, payload: &Value) {
    let body = framed("network.node1", "port.delete.end", payload);
    let taken = broker.publish(&Target::new("neutron", "notifications"), &Priority::Info, body);
    assert_eq!(taken, 1, "a queue is bound");
}

pub(crate) fn publish_raw(broker: &MemoryBroker, body: &[u8], properties: Properties) {
    broker.publish_raw("neutron", "notifications.info", body.to_vec().into(), properties);
}

/// Returns a broker whose queue is declared and bound already, so that no early message is lost.
pub(crate) fn bound_broker(conf: &Conf) -> MemoryBroker {
    let broker = MemoryBroker::new();
    let listener = conf.listener();
    let transport = broker.transport();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    drop(runtime.block_on(transport.listen(&listener.targets, &listener.options)).unwrap());
    broker
}
