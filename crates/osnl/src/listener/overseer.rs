//! Surveys the queues of a subscription, repeatedly: by the management API, and by the services' queues.
//!
//! The broker gathers a queue's statistics only seconds after its creation, so missing answers of the API are soon
//! requested again, then less often; also as soon as a look at the bindings shows something else, and after a reload. The services' queues have a connection of their own, a minute after the connect
//! or from `silent_after` on. The types of the exchanges are asked for with them: an exchange may be made anew with another
//! type, and a binding to that is made without an error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_transport::{ExchangeFound, ExchangeInspection, QueueSeen, RabbitTransport, Subscription};
use tokio::time::{Instant, timeout};

use super::Listener;
use super::alarms::BrokerAlarm;
use super::gauges::{BindingGaps, Overseen};
use crate::management::client::ApiQuestion;
use crate::management::{BrokerFacts, UnknownFact};
use crate::queues::{
    DaemonCounts, Finding, FindingKind, FindingSeverity, QueueRow, QueueState, Survey, Wanted, near_names,
    of_alarm,
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

pub(super) struct Overseer {
    pub(super) wanted: Wanted,
    pub(super) alarm: Arc<BrokerAlarm>,
}

impl Overseer {
    pub(super) fn unasked(&self, listener: &str) -> Overseen {
        let unknown = match &self.wanted.management {
            None => UnknownFact::not_asked(listener),
            Some(_) => {
                UnknownFact::new("the management API has not been asked yet", "it is asked after the connect")
            }
        };
        Overseen { unknown: Some(unknown), ..Overseen::default() }
    }
}

impl Listener {
    pub(super) async fn oversee(&self, found: &Subscription) {
        let Some(Overseer { wanted, .. }) = &self.overseer else { return };
        let mut queues: Vec<String> = found.queues().iter().map(ToString::to_string).collect();
        queues.extend(wanted.dead_letters.iter().cloned());
        let began = Instant::now();
        let (mut depths, mut kinds) = (ServicesQueues::default(), ExchangeKinds::default());
        let (mut pause, mut is_asked) = (SOON, false);
        // Who is told that nothing was ever received is told why.
        let first = self.gauges.silent_after().map_or(FIRST, |after| after.min(FIRST));
        loop {
            let before = self.gauges.overseen().unwrap_or_default();
            let is_thorough = is_asked || began.elapsed() >= first;
            if is_thorough {
                depths.refresh(self, wanted, is_asked).await;
                kinds.refresh(wanted, is_asked).await;
                // Of several hosts, the one that was asked may be another than the one that is read.
                if let (1, Some(ends)) = (wanted.url.hosts().len(), self.transport.certificate_ends()) {
                    self.gauges.set_certificate(ends);
                }
            }
            let near = self.near(wanted, found).await;
            let thorough = is_thorough.then_some(&wanted.exchanges[..]);
            let (vhost, cluster) = (wanted.url.virtual_host(), found.cluster.as_deref());
            let asked = match &wanted.management {
                None => Err(UnknownFact::not_asked(&wanted.listener)),
                Some(api) => api.ask(&ApiQuestion { vhost, queues: &queues, cluster, thorough }).await,
            };
            let services = (&depths.rows[..], &kinds, near);
            let seen = self.judged(wanted, found, (asked, before.facts.clone()), services);
            self.say_overseen(&before, &seen);
            let is_known = seen.unknown.is_none() || wanted.management.is_none();
            let usual = if seen.findings.is_empty() { AGAIN } else { WHILE_FOUND };
            pause = if is_known { usual } else { pause.mul_f64(1.5).min(usual) };
            self.gauges.oversaw(seen);
            let wait = if is_thorough { pause } else { pause.min(first.saturating_sub(began.elapsed())) };
            is_asked = timeout(wait, self.gauges.survey_is_asked()).await.is_ok();
        }
    }

    /// Returns existing exchanges of services with names near to missing exchanges.
    async fn near(&self, wanted: &Wanted, found: &Subscription) -> Vec<String> {
        let missing = found.unbound.iter().map(|binding| &*binding.exchange);
        let names = near_names(missing.filter(|_| self.gauges.trouble().is_some()));
        wanted.present(&names, ANSWER).await
    }

    /// Looks for an alarm of the broker, together with the other listeners of that broker.
    pub(super) async fn watch_alarms(&self) {
        let Some(Overseer { wanted, alarm }) = &self.overseer else { return };
        let found = |reason: Option<&str>| reason.map(|reason| of_alarm(wanted, reason));
        let hear = alarm.hear(|reason| self.gauges.set_alarm(found(reason)));
        let connect = || self.transport.watch_alarms(ANSWER);
        let say = |reason: Option<&str>| self.say_alarm(found(reason).as_ref());
        tokio::join!(hear, alarm.look(connect, self.gauges.alarm_look(), say));
    }

    fn say_alarm(&self, found: Option<&Finding>) {
        let listener = &*self.config.name;
        match found {
            Some(found) => tracing::warn!(
                listener.name = listener,
                reason = found.to_string(),
                remedy = found.command,
                "the broker blocks publishers"
            ),
            None => {
                tracing::info!(listener.name = listener, "the broker takes messages of publishers again");
            }
        }
    }

    /// Judges the answers. Facts that were known stay while the API does not answer.
    fn judged(
        &self,
        wanted: &Wanted,
        found: &Subscription,
        (asked, before): (Result<BrokerFacts, UnknownFact>, Option<(BrokerFacts, SystemTime)>),
        (services, kinds, near): (&[QueueRow], &ExchangeKinds, Vec<String>),
    ) -> Overseen {
        let unknown = match &asked {
            Ok(facts) => facts.unknown().cloned(),
            Err(unknown) => Some(unknown.clone()),
        };
        let facts = asked.ok().map(|facts| (facts, SystemTime::now())).or(before);
        let BindingGaps { missing, refused, .. } = self.gauges.gaps();
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
                has_received: Some(self.gauges.has_received()),
                received: self.gauges.messages(),
                ..DaemonCounts::default()
            },
            denied: refused,
            ..wanted.of_depths(exchanges, rows, known)
        };
        let mut findings = survey.findings();
        findings.retain(|finding| finding.severity > FindingSeverity::Note);
        Overseen { at: Some(SystemTime::now()), facts, findings, unknown }
    }

    fn say_overseen(&self, before: &Overseen, seen: &Overseen) {
        let listener = &*self.config.name;
        // A refused binding is logged by the look at it.
        let is_said = |finding: &&Finding| before.has(finding) || finding.kind == FindingKind::Permissions;
        for finding in seen.findings.iter().filter(|finding| !is_said(finding)) {
            tracing::warn!(
                listener.name = listener,
                reason = finding.to_string(),
                remedy = finding.command,
                "a queue or an exchange of the broker needs attention: osnl queues"
            );
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
    async fn refresh(&mut self, listener: &Listener, wanted: &Wanted, is_whole: bool) {
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
        let Ok(Ok(seen)) = timeout(ANSWER, listener.transport.tidy(&[], &names)).await else { return };
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
