//! Gathers a [`Survey`]: by AMQP twice, so that growth shows, and by the management API. Nothing is consumed or
//! changed; the look for an alarm publishes a message to no queue.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use osnl_model::nearest;
use osnl_transport::{
    BrokerInspection, ExchangeInspection, Proof, Proofs, QueueInspection, QueueKind, QueueMade,
    RabbitTransport, Remedy, STREAM, Shards, Thorough, TransportError,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::services::PRIORITIES;
use super::{
    DaemonCounts, EXCHANGES, QueueRow, QueueState, Survey, TOPICS, Wanted, WantedOrigin, WantedShards,
};
use crate::management::client::ApiQuestion;
use crate::management::{BrokerFacts, UnknownFact};

const USUAL_PRIORITIES: [&str; 2] = ["info", "error"];

/// The waits of a survey.
#[derive(Clone, Copy, Debug)]
pub struct SurveyLimits {
    /// The longest wait for the whole survey.
    pub deadline: Duration,
    /// The pause between two looks, in which growth shows.
    pub pause: Duration,
}

impl Wanted {
    pub async fn survey(&self, daemon: DaemonCounts, limits: SurveyLimits) -> Survey {
        let transport = match RabbitTransport::new(self.url.clone(), self.rabbit.clone()) {
            Ok(transport) => transport,
            Err(error) => return self.unreached(daemon, error.to_string(), None),
        };
        let (limit, end) = (limits.deadline.mul_f64(0.5), Instant::now() + limits.deadline + limits.pause);
        let completed;
        let wanted = match self.shards() {
            Some(shards) => {
                completed = self.with_former(shards, &transport, limit.mul_f64(0.5)).await;
                &completed
            }
            None if self.is_of_url() && self.exchanges.is_empty() => {
                completed = self.with_usual_exchanges(&transport, limit.mul_f64(0.5)).await;
                &completed
            }
            None => self,
        };
        wanted.survey_by(&transport, daemon, limits, (limit, end)).await
    }

    /// Looks for the former number of shards, whose queues are looked at too.
    async fn with_former(&self, shards: &WantedShards, transport: &RabbitTransport, limit: Duration) -> Self {
        let former = timeout(limit, transport.count_of_shards(&shards.all, limit)).await.ok().flatten();
        let most =
            former.and_then(NonZeroU32::new).map_or(shards.all.count, |most| most.max(shards.all.count));
        let queues = Shards { count: most, ..shards.all.clone() }.queues();
        Self {
            queues,
            origin: WantedOrigin::Shards(WantedShards { former, ..shards.clone() }),
            ..self.clone()
        }
    }

    async fn survey_by(
        &self,
        transport: &RabbitTransport,
        daemon: DaemonCounts,
        limits: SurveyLimits,
        (limit, end): (Duration, Instant),
    ) -> Survey {
        let surveying = async {
            let inspection = self.inspect(transport, limit).await;
            let (services, facts) = tokio::join!(
                self.inspect_services(transport, &inspection, limit),
                self.facts(&inspection, limit)
            );
            (self.survey_inspections(&inspection, &services, facts), inspection)
        };
        let Ok((mut survey, inspection)) = timeout_at(end, surveying).await else {
            let reason = format!("no answer within {} s", limits.deadline.as_secs_f64());
            let remedy = Some("look at names, routes and firewalls on the way".into());
            return self.unreached(daemon, reason, remedy);
        };
        if survey.is_reached {
            // A broker with a silent host has answered, though too late for the last questions.
            let _ = timeout_at(end, async {
                (survey.denied, survey.alarm) = tokio::join!(
                    self.denied(transport, &inspection, limit),
                    transport.blocks_publishers(limit)
                );
                if !limits.pause.is_zero() {
                    survey.grow(transport, limits, limit).await;
                }
            })
            .await;
        }
        Survey { daemon, ..survey }
    }

    fn unreached(&self, daemon: DaemonCounts, reason: String, remedy: Option<Remedy>) -> Survey {
        let refusals = vec![(self.broker.clone(), reason, remedy)];
        Survey { refusals, daemon, ..self.empty() }
    }

    fn empty(&self) -> Survey {
        Survey {
            wanted: self.clone(),
            greeting: Default::default(),
            refusals: Vec::new(),
            is_reached: false,
            exchanges: Vec::new(),
            near: Vec::new(),
            queues: Vec::new(),
            denied: Vec::new(),
            alarm: None,
            facts: None,
            unknown: None,
            daemon: DaemonCounts::default(),
        }
    }

    async fn inspect(&self, transport: &RabbitTransport, limit: Duration) -> BrokerInspection {
        let ours = self.declares().then_some(&self.kind);
        transport.inspect(&self.exchanges, &self.queues, ours, limit).await
    }

    /// Looks also at exchanges of services with a name near a missing exchange. A comparison with oslo.messaging's
    /// default shows whether a queue is durable.
    pub(crate) async fn inspect_services(
        &self,
        transport: &RabbitTransport,
        inspection: &BrokerInspection,
        limit: Duration,
    ) -> BrokerInspection {
        if self.shards().is_some() || !inspection.hosts.iter().any(|host| host.reached.is_ok()) {
            return BrokerInspection::default();
        }
        let missing = inspection.exchanges.iter().filter(|(_, found)| *found == ExchangeInspection::Missing);
        let near = near_names(missing.map(|(name, _)| &**name));
        transport.inspect(&near, &self.services_queues(), Some(&QueueKind::OSLO), limit).await
    }

    /// Returns those of the exchanges that are there.
    pub(crate) async fn present(&self, exchanges: &[String], limit: Duration) -> Vec<String> {
        if exchanges.is_empty() {
            return Vec::new();
        }
        let Ok(transport) = RabbitTransport::new(self.url.clone(), self.rabbit.clone()) else {
            return Vec::new();
        };
        present(&transport.inspect(exchanges, &[], None, limit).await)
    }

    /// Returns the names of the queues that services give the usual topics and the listener's, without those that the
    /// listener reads. The broker logs each question about a missing queue, so rare priorities are not asked.
    pub(crate) fn services_queues(&self) -> Vec<String> {
        let is_plain = |topic: &&str| !topic.contains(['*', '#']);
        let own = self.topics.iter().map(String::as_str).filter(is_plain);
        let used =
            self.priorities.iter().map(String::as_str).filter(|_| self.priorities.len() < PRIORITIES.len());
        let priorities: BTreeSet<&str> = used.chain(USUAL_PRIORITIES).collect();
        let topics: BTreeSet<&str> = own.chain(TOPICS).collect();
        let names = topics
            .iter()
            .flat_map(|topic| priorities.iter().map(move |priority| format!("{topic}.{priority}")));
        names.filter(|name| !self.queues.contains(name)).collect()
    }

    pub(crate) async fn facts(
        &self,
        inspection: &BrokerInspection,
        limit: Duration,
    ) -> Result<BrokerFacts, UnknownFact> {
        let Some(api) = &self.management else { return Err(UnknownFact::not_asked(&self.listener)) };
        let mut hosts = inspection.hosts.iter();
        let cluster = hosts.find_map(|host| host.reached.as_ref().ok()?.greeting.cluster.as_deref());
        let (vhost, queues) = (self.url.virtual_host(), [&self.queues[..], &self.dead_letters[..]].concat());
        let question = ApiQuestion { vhost, queues: &queues, cluster, thorough: Some(&self.exchanges) };
        timeout(limit, api.ask(&question)).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {} s", limit.as_secs_f64());
            Err(UnknownFact::new(reason, "look at host and port of management_url"))
        })
    }

    async fn denied(
        &self,
        transport: &RabbitTransport,
        inspection: &BrokerInspection,
        limit: Duration,
    ) -> Vec<String> {
        let ours = self.declares().then_some(&self.kind);
        let is_there = |name: &&String| {
            let inspected = inspection.exchanges.iter().find(|(exchange, _)| exchange == *name);
            inspected.is_some_and(|(_, found)| *found != ExchangeInspection::Missing)
        };
        let exchanges: Vec<String> = self.exchanges.iter().filter(is_there).cloned().collect();
        let mut denied = Vec::new();
        // The daemons of the shards make, bind, and read their queues.
        for queue in self.queues.iter().filter(|_| self.shards().is_none()) {
            let Ok(proofs) = transport.prove(queue, &exchanges, ours, Thorough::Asks, limit).await else {
                continue;
            };
            denied.extend(refused(&proofs));
        }
        denied
    }

    fn remedy(&self, error: &TransportError) -> Option<Remedy> {
        error.remedy(self.url.virtual_host(), |_| self.permissions.clone())
    }

    pub(crate) fn survey_inspections(
        &self,
        inspection: &BrokerInspection,
        services: &BrokerInspection,
        facts: Result<BrokerFacts, UnknownFact>,
    ) -> Survey {
        let mut survey = self.empty();
        for host in &inspection.hosts {
            match &host.reached {
                Ok(reached) => {
                    survey.greeting = reached.greeting.clone();
                    survey.is_reached = true;
                }
                Err(error) => {
                    let remedy = self.remedy(error);
                    let words = error.to_string();
                    let words = words.strip_prefix(&format!("{}: ", host.host)).unwrap_or(&words).to_owned();
                    survey.refusals.push((host.host.clone(), words, remedy));
                }
            }
        }
        survey.exchanges.clone_from(&inspection.exchanges);
        survey.near = present(services);
        let own = |(name, found): &(String, QueueInspection)| {
            let remedy = match found {
                QueueInspection::Refused(error) => self.remedy(error),
                QueueInspection::There { .. } | QueueInspection::Missing => None,
            };
            QueueRow { remedy, ..row(name, found, Some(&self.kind)) }
        };
        survey.queues = inspection.queues.iter().map(own).collect();
        survey.queues.extend(services.queues.iter().map(|(name, found)| row(name, found, None)));
        match facts {
            Ok(facts) => survey.add(facts),
            Err(unknown) => survey.unknown = Some(unknown),
        }
        survey
    }

    pub(crate) fn survey_depths(
        &self,
        exchanges: Vec<(String, ExchangeInspection)>,
        queues: Vec<QueueRow>,
        facts: Result<BrokerFacts, UnknownFact>,
    ) -> Survey {
        let mut survey = Survey { is_reached: true, exchanges, queues, ..self.empty() };
        match facts {
            Ok(facts) => survey.add(facts),
            Err(unknown) => survey.unknown = Some(unknown),
        }
        survey
    }
}

impl Survey {
    fn add(&mut self, mut facts: BrokerFacts) {
        for (name, found) in &facts.services {
            if !self.queues.iter().any(|row| row.name == *name && row.state != QueueState::Missing) {
                self.queues.retain(|row| row.name != *name);
                let (messages, consumers) = (found.messages.unwrap_or(0), found.consumer_count.unwrap_or(0));
                let seen = QueueRow {
                    messages,
                    consumers,
                    state: QueueState::There,
                    ..QueueRow::missing(name, false)
                };
                self.queues.push(seen);
            }
        }
        let own = facts.queues.iter().filter_map(|(name, found)| Some((name, found.as_ref().ok()?)));
        let known: BTreeMap<&String, _> =
            own.chain(facts.services.iter().map(|(name, found)| (name, found))).collect();
        for row in &mut self.queues {
            row.bindings = facts.bindings.remove(&row.name);
            let Some(found) = known.get(&row.name) else { continue };
            row.facts = Some((*found).clone());
            row.durable = found.durable.or(row.durable);
            row.queue_type = found.queue_type.clone().or(row.queue_type.take());
        }
        self.unknown = facts.unknown().cloned();
        self.facts = Some(facts);
    }

    async fn grow(&mut self, transport: &RabbitTransport, limits: SurveyLimits, limit: Duration) {
        let names: Vec<String> =
            self.queues.iter().filter(|row| row.is_there()).map(|row| row.name.clone()).collect();
        let began = Instant::now();
        sleep(limits.pause).await;
        let again = transport.inspect(&[], &names, None, limit).await;
        let seconds = began.elapsed().as_secs_f64();
        for (name, found) in again.queues {
            let QueueInspection::There { waiting, consumers, .. } = found else { continue };
            for row in self.queues.iter_mut().filter(|row| row.name == name) {
                row.growth = Some((f64::from(waiting) - row.messages as f64) / seconds);
                (row.messages, row.consumers) = (waiting.into(), consumers.into());
            }
        }
    }
}

/// Returns the usual exchanges with names near to those of missing exchanges.
pub(crate) fn near_names<'a>(missing: impl Iterator<Item = &'a str>) -> Vec<String> {
    let unusual = missing.filter(|name| !EXCHANGES.contains(name));
    let names: BTreeSet<&str> = unusual.filter_map(|name| nearest(name, EXCHANGES)).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Returns the exchanges that are there.
fn present(inspection: &BrokerInspection) -> Vec<String> {
    let there =
        inspection.exchanges.iter().filter(|(_, found)| matches!(found, ExchangeInspection::There(_)));
    there.map(|(name, _)| name.clone()).collect()
}

fn row(name: &str, found: &QueueInspection, own: Option<&QueueKind>) -> QueueRow {
    let missing = QueueRow::missing(name, own.is_some());
    match found {
        QueueInspection::Missing => missing,
        QueueInspection::Refused(error) => {
            QueueRow { state: QueueState::Refused(error.to_string()), ..missing }
        }
        QueueInspection::There { waiting, consumers, made, drops } => {
            let durable = match (made, own) {
                (QueueMade::Unknown, _) => None,
                (QueueMade::Differs(difference), _) if difference.property == "durable" => {
                    Some(difference.found == "true")
                }
                // Durability is compared first, so another difference means that durability agrees.
                (_, Some(kind)) => Some(kind.durable),
                (_, None) => Some(false),
            };
            let differs = match made {
                QueueMade::Differs(difference) if own.is_some() => Some(difference.to_string()),
                _ => None,
            };
            let queue_type = (*made == QueueMade::Stream).then(|| STREAM.to_owned());
            let drops = drops.clone().filter(|_| own.is_some());
            let (messages, consumers) = (u64::from(*waiting), u64::from(*consumers));
            QueueRow {
                state: QueueState::There,
                messages,
                consumers,
                durable,
                differs,
                drops,
                queue_type,
                ..missing
            }
        }
    }
}

pub(crate) fn refused(Proofs { make, bind, read, .. }: &Proofs) -> Option<String> {
    let all = make.iter().chain(bind.iter().map(|(_, proof)| proof)).chain([read]);
    let words = |proof: &Proof| match proof {
        Proof::Refused(words) => Some(words.clone()),
        Proof::Proven | Proof::Unknown(_) => None,
    };
    all.filter_map(words).next()
}
