//! One attempt to listen: connect, look for the topics, join the group, and find the first places.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use tokio::sync::oneshot;

use super::connect::connect;
use super::context::{Context, Errors, commit};
use super::ends::members;
use super::failure;
use super::flow::Flow;
use super::names::Plan;
use super::options::KafkaOptions;
use super::settings::{Settings, of_group, unusable};
use super::shared::{GroupMemory, SharedState};
use super::start::{FoundPlaces, Place, StartRule};
use super::worker::{Worker, is_gone};
use crate::bodies::BodyBounds;
use crate::topology::{OpenQueue, Subscription};
use crate::{Declare, ListenOptions, TransportError};

/// The longest wait for the group to give partitions; afterwards they are waited for as an open subscription.
const JOINED: Duration = Duration::from_secs(30);
/// The longest wait for open messages of partitions that another member is to have, if `max.poll.interval.ms` allows it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages that may be unfinished where the listener sets no limit.
const UNLIMITED: usize = 10_000;

/// A thread that was started.
pub(super) struct StartedThread {
    /// The subscription, when it is open.
    pub(super) opening: oneshot::Receiver<Result<Subscription, TransportError>>,
    /// Ends when the group was left.
    pub(super) finished: oneshot::Receiver<()>,
}

/// All that the thread of a consumer needs to begin.
pub(super) struct OpeningThread {
    pub(super) settings: Settings,
    pub(super) options: KafkaOptions,
    pub(super) plan: Arc<Plan>,
    pub(super) shared: Arc<SharedState>,
    pub(super) bodies: BodyBounds,
    pub(super) creates: bool,
    /// Whether the caller remembers that the group has read.
    pub(super) has_read: bool,
}

impl OpeningThread {
    pub(super) fn new(
        (settings, options): (&Settings, &KafkaOptions),
        plan: Plan,
        listen: &ListenOptions,
        handed: GroupMemory,
    ) -> Self {
        let shared = Arc::new(SharedState::default());
        shared.lock().handed = handed;
        shared.lock().most = match listen.prefetch {
            0 => UNLIMITED,
            most => most.into(),
        };
        shared.body_flow.begin(listen.bodies);
        let has_read = listen.queue.resume.contains_key(&plan.group);
        Self {
            settings: settings.clone(),
            options: options.clone(),
            plan: Arc::new(plan),
            shared,
            bodies: listen.bodies,
            has_read,
            creates: match listen.declare {
                Declare::Create => true,
                Declare::Passive | Declare::Nothing => false,
            },
        }
    }

    /// Begins the thread.
    pub(super) fn start(self) -> Result<StartedThread, TransportError> {
        let (opened, opening) = oneshot::channel();
        let (done, finished) = oneshot::channel();
        let begun =
            thread::Builder::new().name("kafka consumer".to_owned()).spawn(move || match self.open() {
                Ok((worker, subscription)) => {
                    // A caller that has gone away wants no subscription.
                    if opened.send(Ok(subscription)).is_err() {
                        worker.shared.lock().is_closing = true;
                    }
                    worker.run(done);
                }
                Err(error) => drop(opened.send(Err(error))),
            });
        begun.map_err(|error| failure::lost(format!("no thread for the Kafka client: {error}")))?;
        Ok(StartedThread { opening, finished })
    }

    fn open(self) -> Result<(Worker, Subscription), TransportError> {
        let group: Arc<str> = self.plan.group.as_str().into();
        let config = self.settings.client(&of_group(&self.options, &group, self.creates));
        let interval =
            config.get("max.poll.interval.ms").and_then(|text| text.parse().ok()).unwrap_or(300_000);
        let rule = StartRule {
            group: group.to_string(),
            first: self.options.first_offset(),
            topics: self.plan.topics().into_iter().map(str::to_owned).collect(),
            late: Mutex::default(),
            has_read: self.has_read,
        };
        let context = Context {
            shared: self.shared.clone(),
            rule,
            patience: PATIENCE.min(Duration::from_millis(interval) / 2),
            errors: Errors::default(),
            first: Mutex::default(),
        };
        let consumer =
            BaseConsumer::from_config_and_context(&config, context).map_err(|error| unusable(&error))?;
        let topics = self.plan.topics();
        let (host, _) =
            connect(&consumer, &consumer.context().errors, &self.settings, topics.first().copied())?;
        let missing: BTreeSet<String> = topics
            .iter()
            .filter(|topic| is_gone(&consumer, topic))
            .map(|topic| (*topic).to_owned())
            .collect();
        consumer.context().rule.late.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&missing);
        consumer
            .subscribe(&topics)
            .map_err(|error| TransportError::ListenOptions { problem: format!("topics: {error}") })?;
        let known: Vec<String> =
            topics.iter().filter(|t| !missing.contains(**t)).map(|t| (*t).to_owned()).collect();
        let mut worker = Worker {
            consumer,
            shared: self.shared.clone(),
            group: group.clone(),
            plan: self.plan.clone(),
            bodies: self.bodies,
            known,
            flow: Flow::default(),
            committed_at: Instant::now(),
        };
        if !worker.known.is_empty() {
            let joined = self.join(&mut worker);
            if joined.is_err() {
                worker.give_partitions_back();
            }
            joined?;
        }
        // The places of a new group, so that nothing is skipped if this program ends now.
        commit(&worker.consumer, &self.shared, CommitMode::Sync, |_| true);
        let subscription = self.subscription(&worker, host, &missing);
        Ok((worker, subscription))
    }

    /// Waits for the first partitions.
    fn join(&self, worker: &mut Worker) -> Result<(), TransportError> {
        let until = Instant::now() + JOINED;
        while Instant::now() < until {
            worker.poll();
            if let Some(error) = &self.shared.lock().ended {
                return Err(error.clone());
            }
            let first = worker.consumer.context().first.lock().unwrap_or_else(PoisonError::into_inner);
            if first.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn subscription(&self, worker: &Worker, host: String, missing: &BTreeSet<String>) -> Subscription {
        let first = worker.consumer.context().first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut remarks = Vec::new();
        if first.is_none() && !worker.known.is_empty() {
            remarks.push(format!(
                "group \"{}\" has not given partitions yet: its other members have not let go of theirs",
                worker.group
            ));
        }
        let found = first.unwrap_or_else(|| FoundPlaces { is_shared: true, ..FoundPlaces::default() });
        let leaderless = found.places.iter().filter(|place| place.end.is_none());
        remarks.extend(leaderless.map(|place| {
            let Place { topic, partition, .. } = place;
            format!(
                "topic \"{topic}\", partition {partition}: it has no leader; it is read as soon as it has one"
            )
        }));
        let others = match members(&worker.consumer, &worker.group) {
            Some(members) => members.saturating_sub(1),
            None => u32::from(found.is_shared && !worker.known.is_empty()),
        };
        let waiting: u64 = found.places.iter().map(Place::waiting).sum();
        let queue = OpenQueue {
            name: worker.group.clone(),
            queue_type: None,
            waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
            other_consumers: others,
            created: found.is_new,
            durable: Some(true),
            differs: None,
            drops: None,
            loses: None,
        };
        let bindings = self.plan.bindings.clone();
        let unbound = bindings.iter().filter(|b| missing.contains(&b.routing_key)).cloned().collect();
        Subscription::new(host, (bindings, unbound), vec![queue], remarks)
    }
}
