//! The [`Oversight`] of a listener on RabbitMQ: surveys the queues of its subscription, repeatedly, by the management API
//! and by the services' queues, and looks for alarms of the broker.
//!
//! The broker gathers a queue's statistics only seconds after its creation, so missing answers of the API are soon
//! requested again, then less often; also as soon as a look at the bindings shows something else, and after a reload.
//! The services' queues have a connection of their own, a minute after the connect or from `silent_after` on. The types
//! of the exchanges are asked for with them: an exchange may be made anew with another type, and a binding to that is
//! made without an error.

mod alarms;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use osnl_transport::{
    BoxFuture, ExchangeFound, ExchangeInspection, OpenQueue, QueueDepths, QueueSeen, RabbitTransport,
    Transport,
};
use tokio::time::{Instant, timeout};

use self::alarms::BrokerAlarm;
pub(crate) use self::alarms::BrokerAlarms;
use crate::daemon::ListenerHandle;
use crate::listener::{BindingGaps, GapFact, OverseenListener, Oversight};
use crate::management::client::ApiQuestion;
use crate::management::risk::drop_limits;
use crate::management::{BrokerFacts, UnknownFact};
use crate::queues::{
    BrokerPlace, DaemonCounts, Finding, FindingKind, FindingSeverity, QueueRow, QueueState, Survey, Wanted,
    judge_alarm, near_names,
};

/// The interval between two looks, since a policy may be set at any time.
const AGAIN: Duration = Duration::from_secs(5 * 60);
/// The interval while something is found, whose end is soon to be seen.
const WHILE_FOUND: Duration = Duration::from_secs(60);
/// The first pause after a missing answer; each further pause is half as long again.
const SOON: Duration = Duration::from_secs(2);
/// The time after the connect at which the services' queues are looked at.
const FIRST: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(20);

pub(crate) struct Overseer {
    wanted: Wanted,
    alarm: Arc<BrokerAlarm>,
    seen: Mutex<Overseen>,
    /// The finding while the broker blocks publishers.
    blocked: Mutex<Option<Finding>>,
}

/// The findings of the latest look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overseen {
    /// The time of the look; `None` before the first.
    pub(crate) at: Option<SystemTime>,
    /// The latest facts of the management API, and their time.
    pub(crate) facts: Option<(BrokerFacts, SystemTime)>,
    pub(crate) findings: Vec<Finding>,
    /// The reason for which facts are missing; `None` if all are known.
    pub(crate) unknown: Option<UnknownFact>,
}

impl Overseen {
    fn has(&self, finding: &Finding) -> bool {
        self.findings.iter().any(|one| one.kind == finding.kind && one.subject == finding.subject)
    }
}

impl Oversight for Overseer {
    fn watch<'a>(&'a self, listener: OverseenListener<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            tokio::join!(self.survey(listener), self.watch_alarms(listener));
        })
    }
}

impl Overseer {
    pub(crate) fn new(wanted: Wanted, alarm: Arc<BrokerAlarm>) -> Self {
        let unknown = match &wanted.management {
            None => UnknownFact::not_asked(&wanted.listener),
            Some(_) => {
                UnknownFact::new("the management API has not been asked yet", "it is asked after the connect")
            }
        };
        let seen = Mutex::new(Overseen { unknown: Some(unknown), ..Overseen::default() });
        Self { wanted, alarm, seen, blocked: Mutex::default() }
    }

    /// Returns the overseer of a listener; `None` for a broker without a survey.
    pub(crate) fn from_handle(listener: &ListenerHandle) -> Option<&Self> {
        let oversight: &dyn Any = &**listener.oversight.as_ref()?;
        oversight.downcast_ref()
    }

    pub(crate) fn place(&self) -> BrokerPlace {
        self.wanted.place()
    }

    pub(crate) fn lacks_facts(&self) -> bool {
        let unknown = self.latest().unknown;
        unknown.is_some_and(|unknown| unknown != UnknownFact::not_asked(&self.wanted.listener))
    }

    /// Returns the latest look, with the alarm of the broker.
    pub(crate) fn seen(&self) -> Overseen {
        let mut seen = self.latest();
        seen.findings.extend(self.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone());
        seen
    }

    fn latest(&self) -> Overseen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn survey(&self, listener: OverseenListener<'_>) {
        let OverseenListener { found, transport, gauges, .. } = listener;
        let wanted = &self.wanted;
        let mut queues: Vec<String> = found.queues().iter().map(ToString::to_string).collect();
        queues.extend(wanted.dead_letters.iter().cloned());
        let began = Instant::now();
        let (mut depths, mut kinds) = (ServicesQueues::default(), ExchangeKinds::default());
        let (mut pause, mut is_asked) = (SOON, false);
        let mut is_first = true;
        // Who is told that nothing was ever received is told why.
        let first = gauges.silent_after().map_or(FIRST, |after| after.min(FIRST));
        loop {
            let before = self.latest();
            let is_thorough = is_asked || began.elapsed() >= first;
            if is_thorough {
                depths.refresh(transport, wanted, is_asked).await;
                kinds.refresh(wanted, is_asked).await;
                if let Some(ends) = transport.certificate_of(&found.host, ANSWER).await {
                    gauges.set_certificate(ends);
                }
            }
            let near = self.near(listener).await;
            let thorough = is_thorough.then_some(&wanted.exchanges[..]);
            let (vhost, cluster) = (wanted.url.virtual_host(), found.cluster.as_deref());
            let asked = match &wanted.management {
                None => Err(UnknownFact::not_asked(&wanted.listener)),
                Some(api) => api.ask(&ApiQuestion { vhost, queues: &queues, cluster, thorough }).await,
            };
            let services = (&depths.rows[..], &kinds, near);
            let seen = self.judged(listener, (asked, before.facts.clone()), services);
            say_overseen(listener.name, &before, &seen);
            if let Some((facts, _)) = seen.facts.as_ref().filter(|_| seen.unknown.is_none()) {
                self.note_limits(listener, facts, std::mem::take(&mut is_first));
            }
            let is_known = seen.unknown.is_none() || wanted.management.is_none();
            let usual = if seen.findings.is_empty() { AGAIN } else { WHILE_FOUND };
            pause = if is_known { usual } else { pause.mul_f64(1.5).min(usual) };
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
            let wait = if is_thorough { pause } else { pause.min(first.saturating_sub(began.elapsed())) };
            is_asked = timeout(wait, gauges.survey_is_asked()).await.is_ok();
        }
    }

    /// Notes the limits by which messages may have been dropped. `is_first`: those that waited at the subscription count.
    fn note_limits(&self, listener: OverseenListener<'_>, facts: &BrokerFacts, is_first: bool) {
        let (OverseenListener { found, gauges, gaps: (book, scope), .. }, now) =
            (listener, SystemTime::now());
        let depths = gauges.waiting();
        let waiting = gauges.depth().and_then(|depth| depth.waiting_since).filter(|_| !is_first);
        let day = |at: Instant| now.checked_sub(at.elapsed());
        let since = waiting.and_then(day);
        let dropped = gauges.take_dropped().and_then(|(since, until)| day(since).zip(day(until)));
        for open in &found.open {
            let facts = facts.queues.iter().find(|(name, _)| **name == *open.name);
            let queue = facts.and_then(|(_, queue)| queue.as_ref().ok());
            if let Some(limits) = queue.and_then(|queue| drop_limits((&*open.name, queue), &self.wanted.kind))
            {
                let messages = waiting_in(open, &depths, is_first);
                book.note(scope, GapFact::Limited { limits: limits.clone(), messages, since }, now);
                if let Some((since, until)) = dropped {
                    // Which of the queues has dropped them is not known.
                    let fact = GapFact::Limited { limits, messages: 1, since: Some(since) };
                    book.note(scope, fact, until);
                }
            }
        }
    }

    /// Returns existing exchanges of services with names near to missing exchanges.
    async fn near(&self, listener: OverseenListener<'_>) -> Vec<String> {
        let missing = listener.found.unbound.iter().map(|binding| &*binding.exchange);
        let names = near_names(missing.filter(|_| listener.gauges.trouble().is_some()));
        self.wanted.present(&names, ANSWER).await
    }

    /// Looks for an alarm of the broker, together with the other listeners of that broker.
    async fn watch_alarms(&self, listener: OverseenListener<'_>) {
        let found = |reason: Option<&str>| reason.map(|reason| judge_alarm(&self.wanted, reason));
        let set = |reason: Option<&str>| {
            *self.blocked.lock().unwrap_or_else(PoisonError::into_inner) = found(reason);
        };
        let connect = || listener.transport.watch_alarms(ANSWER);
        let say = |reason: Option<&str>| say_alarm(listener.name, found(reason).as_ref());
        let look = self.alarm.look(connect, listener.gauges.alarm_look(), say);
        tokio::join!(self.alarm.hear(set), look);
    }

    /// Judges the answers. Facts that were known stay while the API does not answer.
    fn judged(
        &self,
        listener: OverseenListener<'_>,
        (asked, before): (Result<BrokerFacts, UnknownFact>, Option<(BrokerFacts, SystemTime)>),
        (services, kinds, near): (&[QueueRow], &ExchangeKinds, Vec<String>),
    ) -> Overseen {
        let (wanted, OverseenListener { found, gauges, .. }) = (&self.wanted, listener);
        let unknown = match &asked {
            Ok(facts) => facts.unknown().cloned(),
            Err(unknown) => Some(unknown.clone()),
        };
        let facts = asked.ok().map(|facts| (facts, SystemTime::now())).or(before);
        let BindingGaps { missing, refused, .. } = gauges.gaps();
        let inspection = |name: &String| {
            let there = || ExchangeInspection::There(kinds.found.get(name).cloned().unwrap_or_default());
            (name.clone(), if missing.contains(name) { ExchangeInspection::Missing } else { there() })
        };
        let own = found
            .queues()
            .into_iter()
            .map(|name| QueueRow { state: QueueState::There, ..QueueRow::missing(name, true) });
        let rows = own.chain(services.iter().cloned()).collect();
        let known = facts.as_ref().map(|(facts, _)| facts.clone());
        let known = known.ok_or_else(|| UnknownFact::not_asked(&wanted.listener));
        let exchanges = wanted.exchanges.iter().map(inspection).collect();
        let survey = Survey {
            near,
            daemon: DaemonCounts {
                has_received: Some(gauges.has_received()),
                received: gauges.messages(),
                ..DaemonCounts::default()
            },
            denied: refused,
            ..wanted.survey_depths(exchanges, rows, known)
        };
        let mut findings = survey.findings();
        findings.retain(|finding| finding.severity > FindingSeverity::Note);
        Overseen { at: Some(SystemTime::now()), facts, findings, unknown }
    }
}

fn say_alarm(listener: &str, found: Option<&Finding>) {
    match found {
        Some(found) => tracing::error!(
            listener.name = listener,
            reason = found.to_string(),
            remedy = &*found.command,
            "the broker blocks publishers"
        ),
        None => tracing::info!(listener.name = listener, "the broker takes messages of publishers again"),
    }
}

fn say_overseen(listener: &str, before: &Overseen, seen: &Overseen) {
    // A refused binding is logged by the look at it.
    let is_said = |finding: &&Finding| before.has(finding) || finding.kind == FindingKind::Permissions;
    for finding in seen.findings.iter().filter(|finding| !is_said(finding)) {
        // `osnl status` has the same severity.
        match finding.severity {
            FindingSeverity::Critical => tracing::error!(
                listener.name = listener,
                reason = finding.to_string(),
                remedy = &*finding.command,
                "a queue or an exchange of the broker needs attention: osnl queues"
            ),
            FindingSeverity::Warning | FindingSeverity::Note => tracing::warn!(
                listener.name = listener,
                reason = finding.to_string(),
                remedy = &*finding.command,
                "a queue or an exchange of the broker needs attention: osnl queues"
            ),
        }
    }
    if let Some(UnknownFact { reason, remedy }) = &seen.unknown
        && seen.unknown != before.unknown
    {
        tracing::info!(
            listener.name = listener,
            reason,
            remedy,
            "policies, delivery limit, and other consumers of the queue are not known"
        );
    }
}

/// Returns the messages that wait in one queue of a listener. A limit is for each queue, and not for their sum.
fn waiting_in(queue: &OpenQueue, depths: &QueueDepths, is_first: bool) -> u64 {
    let latest = depths.iter().filter(|(name, _)| *name == queue.name).map(|(_, seen)| seen.messages).max();
    latest.unwrap_or(0).max(if is_first { queue.waiting } else { 0 }).into()
}

/// The looks between two that ask for missing queues too, which the broker logs.
const ROUNDS: u32 = 12;

/// The types of the exchanges that exist. The broker logs each question.
#[derive(Default)]
struct ExchangeKinds {
    found: BTreeMap<String, ExchangeFound>,
    rounds: u32,
}

impl ExchangeKinds {
    /// Asks again at once, each [`ROUNDS`] looks, and at each look while a type is not the services'.
    async fn refresh(&mut self, wanted: &Wanted, is_asked: bool) {
        let is_due = is_asked
            || self.rounds.is_multiple_of(ROUNDS)
            || self.found.values().any(|found| found.other_kind().is_some());
        self.rounds += 1;
        let transport = RabbitTransport::new(wanted.url.clone(), wanted.rabbit.clone());
        let Some(transport) = transport.ok().filter(|_| is_due) else { return };
        for (name, found) in transport.inspect(&wanted.exchanges, &[], None, ANSWER).await.exchanges {
            match found {
                ExchangeInspection::There(ExchangeFound { kind, durable: _ }) => {
                    self.found.insert(name, ExchangeFound { kind, durable: None });
                }
                ExchangeInspection::Missing => drop(self.found.remove(&name)),
                ExchangeInspection::Refused(_) => {}
            }
        }
    }
}

#[derive(Default)]
struct ServicesQueues {
    rows: Vec<QueueRow>,
    at: Option<Instant>,
    rounds: u32,
}

impl ServicesQueues {
    /// Counts the queues again; `is_whole`: those that were missing too.
    async fn refresh(&mut self, transport: &dyn Transport, wanted: &Wanted, is_whole: bool) {
        let (before, at) = (std::mem::take(&mut self.rows), self.at.replace(Instant::now()));
        let (missing, there): (Vec<QueueRow>, Vec<QueueRow>) =
            before.into_iter().partition(|row| !row.is_there());
        let is_whole =
            is_whole || self.rounds.is_multiple_of(ROUNDS) || missing.is_empty() && there.is_empty();
        self.rounds += 1;
        let names: Vec<String> = match is_whole {
            true => wanted.services_queues(),
            false => there.iter().map(|row| row.name.clone()).collect(),
        };
        let Ok(Ok(seen)) = timeout(ANSWER, transport.tidy(&[], &names)).await else { return };
        let row = |(name, seen): (&String, Option<QueueSeen>)| {
            let Some(QueueSeen { messages, consumers }) = seen else { return QueueRow::missing(name, false) };
            let former = there.iter().find(|row| row.name == *name).zip(at);
            let growth = former
                .map(|(row, at)| (f64::from(messages) - row.messages as f64) / at.elapsed().as_secs_f64());
            let (messages, consumers) = (messages.into(), consumers.into());
            QueueRow {
                state: QueueState::There,
                messages,
                consumers,
                growth,
                ..QueueRow::missing(name, false)
            }
        };
        self.rows = names.iter().zip(seen).map(row).collect();
        self.rows.extend(missing.into_iter().filter(|_| !is_whole));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_compared_with_the_messages_of_its_own_queue() {
        let queue = |name: &str, waiting| OpenQueue { waiting, ..OpenQueue::named(name, None) };
        let seen = |name: &str, messages| (Arc::<str>::from(name), QueueSeen { messages, consumers: 1 });
        let (info, error) = (queue("notifications.info", 700), queue("notifications.error", 0));
        let depths = vec![seen("notifications.info", 600), seen("notifications.error", 500)];
        let waiting =
            |queue, depths: &QueueDepths| [true, false].map(|first| waiting_in(queue, depths, first));
        assert_eq!(waiting(&info, &depths), [700, 600]);
        assert_eq!(waiting(&error, &depths), [500, 500]);
        assert_eq!(waiting(&info, &Vec::new()), [700, 0]);
    }
}
