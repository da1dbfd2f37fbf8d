//! Sends the canary while its listener listens.
//!
//! While the listener is on standby or disconnected, another daemon may read the queue: no canary is sent and none is
//! missed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use osnl_model::{Emission, Framing, Priority, Target};
use osnl_transport::{ALARM_REMEDY, Declare, OutgoingMessage, Remedy, Transport, TransportError};
use serde_json::value::RawValue;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::daemon::{DaemonState, ServiceTask};
use crate::listener::ListenerState;
use crate::metrics::{Canary, CanaryRefusal, Counters};
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

    pub(super) fn now(&self) -> Option<CanaryPlace> {
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
                    Err(CanaryRefusal { reason, remedy }) if !std::mem::replace(&mut fails, true) => {
                        tracing::warn!(
                            listener.name = &*conf.listener,
                            exchange.name = exchange,
                            error = reason,
                            remedy = remedy.as_deref(),
                            "the canary cannot be sent"
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

async fn one(canary: &Canary, transport: &dyn Transport, exchange: &str) -> Result<(), CanaryRefusal> {
    let unwritten = |reason: String| CanaryRefusal { reason, remedy: None };
    let id = crate::stamp::message_id();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let payload = serde_json::json!({"from": "osnl", "process": std::process::id()}).to_string();
    let emission = Emission {
        message_id: Some(id.clone()),
        publisher_id: Some(format!("{}{host}", canary::PUBLISHER)),
        event_type: Some(canary::EVENT_TYPE.to_owned()),
        priority: Some(Priority::Info),
        payload: RawValue::from_string(payload).map_err(|error| unwritten(error.to_string()))?,
        timestamp: Some(crate::stamp::timestamp()),
        unique_id: Some(crate::stamp::unique_id()),
        context: Vec::new(),
        extra: Vec::new(),
    };
    let body = emission
        .body(transport.features().framing.unwrap_or(Framing::Envelope))
        .map_err(|error| unwritten(error.to_string()))?;
    let sent = OutgoingMessage::json(body);
    let message = OutgoingMessage { declare: Declare::Passive, mandatory: true, ..sent };
    canary.sends(&id, Instant::now());
    let target = Target::new(exchange, canary::TOPIC);
    let sent = tokio::select! {
        biased;
        blocked = transport.blocked() => Err(blocked),
        sent = timeout(ANSWER, transport.send(&target, &Priority::Info, message)) => sent.unwrap_or_else(|_| {
            Err(TransportError::Lost { reason: "the broker does not confirm".to_owned() })
        }),
    };
    match sent {
        Ok(()) => {
            canary.is_sent();
            Ok(())
        }
        Err(error) => {
            let refusal = CanaryRefusal { reason: error.to_string(), remedy: remedy(&error) };
            canary.is_refused(&id, refusal.clone());
            Err(refusal)
        }
    }
}

/// The transport's own command for a sender would take the permissions of the listener, which is the same user, away.
fn remedy(error: &TransportError) -> Option<Remedy> {
    match error {
        TransportError::Refused { code: Some(403), .. } => {
            Some("osnl needs write permission on the exchange".into())
        }
        TransportError::Blocked { .. } => Some(Remedy::command(ALARM_REMEDY)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use osnl_transport::{BoxFuture, Consumer, ListenOptions, Tap, TapOptions};

    use super::*;

    /// A broker that blocks publishers, or answers them with an error.
    struct NoTaker {
        blocks: bool,
        error: TransportError,
    }

    impl Transport for NoTaker {
        fn listen<'a>(
            &'a self,
            _: &'a [(Target, Priority)],
            _: &'a ListenOptions,
        ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
            Box::pin(pending())
        }

        fn send<'a>(
            &'a self,
            _: &'a Target,
            _: &'a Priority,
            _: OutgoingMessage,
        ) -> BoxFuture<'a, Result<(), TransportError>> {
            match self.blocks {
                true => Box::pin(pending()),
                false => Box::pin(ready(Err(self.error.clone()))),
            }
        }

        fn blocked(&self) -> BoxFuture<'_, TransportError> {
            match self.blocks {
                true => Box::pin(ready(self.error.clone())),
                false => Box::pin(pending()),
            }
        }

        fn tap<'a>(&'a self, _: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>> {
            Box::pin(pending())
        }

        fn location(&self) -> String {
            "nowhere".to_owned()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_refused_permission_is_called_one() {
        let refused = |code| {
            let what = "publish to exchange \"nova\"".to_owned();
            TransportError::Refused { what, reason: "refused".to_owned(), code }
        };
        let blocked = TransportError::Blocked { host: "mq1".to_owned(), reason: "low on memory".to_owned() };
        for (blocks, error, expected) in [
            (true, blocked, Some(ALARM_REMEDY)),
            (false, refused(Some(403)), Some("osnl needs write permission on the exchange")),
            (false, refused(Some(404)), None),
        ] {
            let (canary, reason) = (Canary::default(), error.to_string());
            let refusal = one(&canary, &NoTaker { blocks, error }, "nova").await.unwrap_err();
            assert_eq!(canary.refusal().as_ref(), Some(&refusal));
            assert_eq!((refusal.reason, refusal.remedy.as_deref()), (reason, expected));
            assert_eq!((canary.sent.get(), canary.refused.get()), (0, 1));
        }
    }
}
