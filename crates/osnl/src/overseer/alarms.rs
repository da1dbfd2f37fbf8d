//! The alarm of each broker, for which one listener of the daemon at a time looks, on one connection.
//!
//! The listeners of a broker take turns: one has the connection, and the others hear what it sees. Its turn ends with its
//! session, with the connection, and with a refusal, since the user of another listener may be allowed to look.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use osnl_transport::{AlarmWatch, BoxFuture, TransportError};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

/// The interval between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// The pause after a connection that failed.
const LOST: Duration = Duration::from_secs(60);
/// The pause after a refusal, which the broker logs.
const REFUSED: Duration = Duration::from_secs(3600);

type Connecting<'a> = BoxFuture<'a, Result<Option<Box<dyn AlarmWatch>>, TransportError>>;

/// The alarms of the brokers that the listeners of a daemon read from.
#[derive(Clone, Debug, Default)]
pub(crate) struct BrokerAlarms(Arc<Mutex<HashMap<String, Weak<BrokerAlarm>>>>);

impl BrokerAlarms {
    /// Returns the alarm of a broker, which all listeners with the same hosts share.
    pub(crate) fn at(&self, broker: &str) -> Arc<BrokerAlarm> {
        let mut alarms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(alarm) = alarms.get(broker).and_then(Weak::upgrade) {
            return alarm;
        }
        alarms.retain(|_, alarm| alarm.strong_count() > 0);
        let alarm = Arc::<BrokerAlarm>::default();
        alarms.insert(broker.to_owned(), Arc::downgrade(&alarm));
        alarm
    }
}

#[derive(Debug, Default)]
pub(crate) struct BrokerAlarm {
    turn: tokio::sync::Mutex<()>,
    /// The reason for which the broker blocks publishers.
    reason: watch::Sender<Option<String>>,
}

/// The end of a listener's turn to look.
enum TurnEnd {
    /// This kind of broker has no alarms.
    NoAlarms,
    Lost,
    Refused,
}

impl BrokerAlarm {
    /// Passes on the reason of the alarm now, and each time that it changes.
    pub(super) async fn hear(&self, set: impl Fn(Option<&str>)) {
        if self.reason.receiver_count() == 0 {
            // While no listener is connected, none looks.
            self.reason.send_replace(None);
        }
        let mut heard = self.reason.subscribe();
        loop {
            let reason = heard.borrow_and_update().clone();
            set(reason.as_deref());
            if heard.changed().await.is_err() {
                return;
            }
        }
    }

    /// Looks for an alarm whenever it is this listener's turn, and says its beginning and its end. A refused look is
    /// repeated after a long pause, or when an operator asks.
    pub(super) async fn look<'a>(
        &self,
        connect: impl Fn() -> Connecting<'a>,
        asked: &Notify,
        say: impl Fn(Option<&str>),
    ) {
        loop {
            let turn = self.turn.lock().await;
            let end = self.take_turn(&connect, &say).await;
            drop(turn);
            match end {
                TurnEnd::NoAlarms => return,
                TurnEnd::Lost => sleep(LOST).await,
                TurnEnd::Refused => {
                    let _ = timeout(REFUSED, asked.notified()).await;
                }
            }
        }
    }

    async fn take_turn<'a>(
        &self,
        connect: &impl Fn() -> Connecting<'a>,
        say: &impl Fn(Option<&str>),
    ) -> TurnEnd {
        sleep(LOOK).await;
        let mut watch = match connect().await {
            Ok(Some(watch)) => watch,
            Ok(None) => return TurnEnd::NoAlarms,
            Err(_) => return TurnEnd::Lost,
        };
        let error = loop {
            match watch.look().await {
                Ok(reason) => self.set(reason, say),
                Err(error) => break error,
            }
            sleep(LOOK).await;
        };
        tracing::debug!(error = error.to_string(), "alarms of the broker are not looked for");
        match error {
            TransportError::Refused { code: Some(403), .. } => {
                self.reason.send_replace(None);
                TurnEnd::Refused
            }
            // An alarm lasts until a look shows its end.
            _ => TurnEnd::Lost,
        }
    }

    fn set(&self, reason: Option<String>, say: &impl Fn(Option<&str>)) {
        let before = self.reason.send_replace(reason.clone());
        if before.is_some() != reason.is_some() {
            say(reason.as_deref());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A broker under alarm; the user `guest` may not look.
    #[derive(Default)]
    struct StubBroker {
        connections: AtomicUsize,
        refusals: AtomicUsize,
    }

    struct StubWatch {
        may_look: bool,
        broker: &'static StubBroker,
    }

    impl AlarmWatch for StubWatch {
        fn look(&mut self) -> BoxFuture<'_, Result<Option<String>, TransportError>> {
            let refused = || {
                self.broker.refusals.fetch_add(1, Ordering::Relaxed);
                let [what, reason] = ["look for an alarm", "ACCESS_REFUSED"].map(str::to_owned);
                TransportError::Refused { what, reason, code: Some(403) }
            };
            let seen = if self.may_look { Ok(Some("low on memory".to_owned())) } else { Err(refused()) };
            Box::pin(std::future::ready(seen))
        }
    }

    impl StubBroker {
        fn leaked() -> &'static Self {
            Box::leak(Box::default())
        }

        fn connect(&'static self, may_look: bool) -> Connecting<'static> {
            self.connections.fetch_add(1, Ordering::Relaxed);
            let watch: Box<dyn AlarmWatch> = Box::new(StubWatch { may_look, broker: self });
            Box::pin(std::future::ready(Ok(Some(watch))))
        }
    }

    async fn listens(
        (alarm, broker): (&BrokerAlarm, &'static StubBroker),
        may_look: bool,
        asked: &Notify,
        heard: &Mutex<Vec<String>>,
    ) {
        let hear = alarm.hear(|reason| heard.lock().unwrap().extend(reason.map(str::to_owned)));
        tokio::join!(hear, alarm.look(|| broker.connect(may_look), asked, |_| {}));
    }

    #[tokio::test(start_paused = true)]
    async fn listeners_of_one_broker_share_a_connection_and_the_next_looks_when_the_first_ends() {
        let (alarms, broker, asked) = (BrokerAlarms::default(), StubBroker::leaked(), Notify::new());
        let [first, second, other] = ["mq1:5672", "mq1:5672", "mq2:5672"].map(|broker| alarms.at(broker));
        assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &other));
        let heard = [Mutex::default(), Mutex::default()];
        let mut stays = Box::pin(listens((&second, broker), true, &asked, &heard[1]));
        {
            let mut ends = Box::pin(listens((&first, broker), true, &asked, &heard[0]));
            // Polled first, it has the turn.
            let both = async { tokio::join!(&mut ends, &mut stays) };
            assert!(timeout(LOOK * 4, both).await.is_err());
        }
        assert_eq!(broker.connections.load(Ordering::Relaxed), 1);
        let words = || heard.each_ref().map(|heard| heard.lock().unwrap().first().cloned());
        assert_eq!(words(), [Some("low on memory".to_owned()), Some("low on memory".to_owned())]);
        assert!(timeout(LOOK * 4, &mut stays).await.is_err());
        assert_eq!(broker.connections.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_look_is_repeated_after_an_hour_or_a_reload_and_another_user_looks_meanwhile() {
        let (alarm, broker, asked) = (BrokerAlarm::default(), StubBroker::leaked(), Notify::new());
        let heard = Mutex::default();
        let refusals = || broker.refusals.load(Ordering::Relaxed);
        let mut guest = Box::pin(listens((&alarm, broker), false, &asked, &heard));
        assert!(timeout(REFUSED / 2, &mut guest).await.is_err());
        assert_eq!(refusals(), 1);
        asked.notify_waiters();
        assert!(timeout(REFUSED / 2, &mut guest).await.is_err());
        assert_eq!(refusals(), 2);
        assert!(timeout(REFUSED, &mut guest).await.is_err());
        assert_eq!((refusals(), heard.lock().unwrap().len()), (3, 0));
        let other = listens((&alarm, broker), true, &asked, &heard);
        assert!(timeout(LOOK * 4, async { tokio::join!(&mut guest, other) }).await.is_err());
        assert_eq!(heard.lock().unwrap().last().map(String::as_str), Some("low on memory"));
    }
}
