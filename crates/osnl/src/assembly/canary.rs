//! Sends the canary while its listener listens.
//!
//! While the listener is on standby or disconnected, another daemon may read the queue: no canary is sent and none is
//! missed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use osnl_model::{Emission, Framing, Priority, Target};
use osnl_transport::{Declare, OutgoingMessage, Transport};
use serde_json::value::RawValue;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::daemon::{DaemonState, ServiceTask};
use crate::listener::ListenerState;
use crate::metrics::{Canary, Counters};
use crate::native::{CanaryConf, canary};

const ANSWER: Duration = Duration::from_secs(10);

/// The transport of the canary's listener, which a reload may replace.
#[derive(Clone, Default)]
pub(super) struct Way(Arc<Mutex<Option<CanaryPlace>>>);

type CanaryPlace = (Arc<dyn Transport>, String);

impl Way {
    pub(super) fn set(&self, transport: Arc<dyn Transport>, exchange: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((transport, exchange.to_owned()));
    }

    fn now(&self) -> Option<CanaryPlace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(super) fn send(
    conf: CanaryConf,
    way: Way,
    daemon: Arc<DaemonState>,
    counters: Arc<Counters>,
) -> ServiceTask {
    Box::new(|end| {
        Box::pin(async move {
            let canary = &counters.series.canary;
            canary.begin(conf.every, Instant::now());
            let mut tick = interval(conf.every);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut fails = false;
            loop {
                tokio::select! {
                    biased;
                    () = end.cancelled() => break,
                    _ = tick.tick() => {}
                }
                let Some((transport, exchange)) = way.now().filter(|_| listens(&daemon, &conf)) else {
                    canary.begin(conf.every, Instant::now());
                    continue;
                };
                let sent = tokio::select! {
                    biased;
                    () = end.cancelled() => break,
                    sent = one(canary, &*transport, &exchange) => sent,
                };
                match sent {
                    Ok(()) if std::mem::take(&mut fails) => {
                        tracing::info!(listener.name = &*conf.listener, "the canary is sent again");
                    }
                    Err(error) if !std::mem::replace(&mut fails, true) => {
                        tracing::warn!(
                            listener.name = &*conf.listener,
                            exchange.name = exchange,
                            error,
                            "the canary cannot be sent; it needs write permission on the exchange"
                        );
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            if let Some((transport, _)) = way.now() {
                let _ = timeout(ANSWER, transport.close()).await;
            }
        })
    })
}

fn listens(daemon: &DaemonState, conf: &CanaryConf) -> bool {
    let listeners = daemon.listeners();
    let own = listeners.iter().find(|listener| listener.name == conf.listener);
    own.is_some_and(|listener| {
        let topic = Target::new("", canary::TOPIC).routing_key(&Priority::Info);
        // Another member of the group may have the partition.
        let is_ours = match listener.gauges.partitions() {
            Some(partitions) => partitions.iter().any(|partition| *partition.topic == *topic),
            None => true,
        };
        is_ours && *listener.state().borrow() == ListenerState::Listening
    })
}

async fn one(canary: &Canary, transport: &dyn Transport, exchange: &str) -> Result<(), String> {
    let id = crate::stamp::message_id();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let payload = serde_json::json!({"from": "osnl", "process": std::process::id()}).to_string();
    let emission = Emission {
        message_id: Some(id.clone()),
        publisher_id: Some(format!("{}{host}", canary::PUBLISHER)),
        event_type: Some(canary::EVENT_TYPE.to_owned()),
        priority: Some(Priority::Info),
        payload: RawValue::from_string(payload).map_err(|error| error.to_string())?,
        timestamp: Some(crate::stamp::timestamp()),
        unique_id: Some(crate::stamp::unique_id()),
        context: Vec::new(),
        extra: Vec::new(),
    };
    let body = emission
        .body(transport.features().framing.unwrap_or(Framing::Envelope))
        .map_err(|error| error.to_string())?;
    let sent = OutgoingMessage::json(body);
    let message = OutgoingMessage { declare: Declare::Passive, mandatory: true, ..sent };
    canary.sends(&id, Instant::now());
    let target = Target::new(exchange, canary::TOPIC);
    let sent = timeout(ANSWER, transport.send(&target, &Priority::Info, message)).await;
    let sent = sent.unwrap_or_else(|_| {
        Err(osnl_transport::TransportError::Lost { reason: "the broker does not confirm".to_owned() })
    });
    match sent {
        Ok(()) => {
            canary.sent.increment();
            Ok(())
        }
        Err(error) => {
            canary.is_refused(&id);
            Err(error.to_string())
        }
    }
}
