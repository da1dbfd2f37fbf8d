//! The alarm of each broker, for which one listener of the daemon at a time looks, on one connection.
//!
//! The listeners of a broker take turns: one has the connection, and the others hear what it sees. Its turn ends with its
//! session, with the connection, and with a refusal, since the user of another listener may be allowed to look. A refusal
//! shows nothing about an alarm, so it ends only an alarm that no other user of the daemon can see.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use osnl_transport::{AlarmWatch, BoxFuture, TransportError};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

/// The interval between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// The pause after a connection that failed.
const LOST: Duration = Duration::from_secs(60);
/// The time for which an alarm lasts without a user that may look.
const UNSEEN: Duration = Duration::from_secs(120);
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
    /// The number of listeners whose user may look.
    sights: watch::Sender<usize>,
}

/// The right of a listener's user to look, known by an answer.
struct Sight<'a>(&'a BrokerAlarm);

impl<'a> Sight<'a> {
    fn new(alarm: &'a BrokerAlarm) -> Self {
        alarm.sights.send_modify(|sights| *sights += 1);
        Self(alarm)
    }
}

impl Drop for Sight<'_> {
    fn drop(&mut self) {
        self.0.sights.send_modify(|sights| *sights -= 1);
    }
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
        let mut sight = None;
        loop {
            let turn = self.turn.lock().await;
            let end = self.take_turn(&connect, &say, &mut sight).await;
            drop(turn);
            match end {
                TurnEnd::NoAlarms => return,
                TurnEnd::Lost => sleep(LOST).await,
                TurnEnd::Refused => {
                    let again = timeout(REFUSED, asked.notified());
                    tokio::select! { _ = again => {} never = self.end_unseen() => match never {} }
                }
            }
        }
    }

    /// Ends an alarm for which no listener has been able to look for a while.
    async fn end_unseen(&self) -> Infallible {
        let mut sights = self.sights.subscribe();
        loop {
            // The sender is a field, so it does not close.
            let _ = sights.wait_for(|sights| *sights == 0).await;
            if timeout(UNSEEN, sights.wait_for(|sights| *sights > 0)).await.is_err() {
                self.reason.send_replace(None);
                let _ = sights.wait_for(|sights| *sights > 0).await;
            }
        }
    }

    async fn take_turn<'a, 's>(
        &'s self,
        connect: &impl Fn() -> Connecting<'a>,
        say: &impl Fn(Option<&str>),
        sight: &mut Option<Sight<'s>>,
    ) -> TurnEnd {
        sleep(LOOK).await;
        let mut watch = match connect().await {
            Ok(Some(watch)) => watch,
            Ok(None) => return TurnEnd::NoAlarms,
            Err(_) => return TurnEnd::Lost,
        };
        let error = loop {
            match watch.look().await {
                Ok(reason) => {
                    sight.get_or_insert_with(|| Sight::new(self));
                    self.set(reason, say);
                }
                Err(error) => break error,
            }
            sleep(LOOK).await;
        };
        tracing::debug!(error = error.to_string(), "alarms of the broker are not looked for");
        match error {
            TransportError::Refused { code: Some(403), .. } => {
                *sight = None;
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

    /// A look whose connection breaks after the first answer.
    struct StubBreaking(bool);

    impl AlarmWatch for StubBreaking {
        fn look(&mut self) -> BoxFuture<'_, Result<Option<String>, TransportError>> {
            let lost = || TransportError::Lost { reason: "reset".to_owned() };
            let seen =
                if std::mem::replace(&mut self.0, true) { Err(lost()) } else { Ok(Some("low".to_owned())) };
            Box::pin(std::future::ready(seen))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_user_ends_no_alarm_that_another_user_has_seen() {
        let (alarm, broker, asked) = (BrokerAlarm::default(), StubBroker::leaked(), Notify::new());
        let heard: Mutex<Vec<bool>> = Mutex::default();
        let hear = alarm.hear(|reason| heard.lock().unwrap().push(reason.is_some()));
        let breaking = || -> Connecting<'static> {
            let watch: Box<dyn AlarmWatch> = Box::new(StubBreaking(false));
            Box::pin(std::future::ready(Ok(Some(watch))))
        };
        let mut guest =
            Box::pin(async { tokio::join!(hear, alarm.look(|| broker.connect(false), &asked, |_| {})) });
        {
            let mut other = Box::pin(alarm.look(breaking, &asked, |_| {}));
            // Polled first, it has the turn, and the guest has it while the connection is lost.
            let both = async { tokio::join!(&mut other, &mut guest) };
            assert!(timeout(REFUSED / 2, both).await.is_err());
        }
        assert!(broker.refusals.load(Ordering::Relaxed) > 0);
        let is_heard =
            |alarms: &[bool]| alarms.iter().skip_while(|is_alarm| !**is_alarm).all(|is_alarm| *is_alarm);
        assert!(is_heard(&heard.lock().unwrap()), "{:?}", heard.lock().unwrap());
        // A session that comes back soon keeps the alarm; without one, none knows of an alarm any more.
        assert!(timeout(UNSEEN / 2, &mut guest).await.is_err());
        assert!(is_heard(&heard.lock().unwrap()));
        assert!(timeout(UNSEEN, &mut guest).await.is_err());
        assert_eq!(heard.lock().unwrap().last(), Some(&false));
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
