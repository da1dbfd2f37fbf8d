//! Queues that a reload takes from listeners, and the refusal while such a queue may hold messages.
//!
//! | change | left |
//! | --- | --- |
//! | `pool`, `queue`, virtual host or hosts of `transport_url` | the former queue |
//! | `exchange`, `topics`, `priorities` without a pool | the queues of the keys that are gone |
//! | a listener that is removed or has no enabled rule any more | its queues |
//! | `pool` or broker of a listener with a dead letter queue, or its removal | the dead letter queue |
//! | on Kafka: the group, the hosts, topics, a removed listener | the unread part of the partitions, by the group's lag |
//!
//! A queue that another new listener reads is not left, nor a queue that osnl has never read.
//!
//! Unbinding first would lose messages published before the reload. So the refusal names the safe order: the former
//! queue becomes a listener of its own, is then unbound, and is removed when empty. An auto-delete queue keeps its listener.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use osnl_brokers::Driver;
use osnl_transport::Declare;
use tokio::time::{Instant, timeout};

use super::parts::AssemblyParts;
use crate::control::PartitionLag;
use crate::daemon::{ListenerHandle, ReloadRefusal, ReloadRefusalReason};
use crate::listener::{ExitObstacle, OwnQueue, QueueExit};
use crate::native::{ListenerConf, Native};

/// The looks that certainly see a message on its way.
const CHECKS: u32 = 5;
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// Below the five seconds that a command waits.
const ANSWER: Duration = Duration::from_secs(4);

#[derive(Clone)]
pub(super) struct LeavingListener {
    pub(super) conf: ListenerConf,
    pub(super) exit: QueueExit,
    topics: Vec<String>,
    /// The dead letter queue that no listener reads any more; `None` if there is none, or another reads it.
    dead_letters: Option<OwnQueue>,
}

pub(super) fn leaving(
    parts: &AssemblyParts,
    (old, new): (&Native, &Native),
    leave: &[Arc<str>],
) -> Vec<LeavingListener> {
    let running = parts.state.as_ref().map(|state| state.listeners()).unwrap_or_default();
    let now: Vec<_> = new.heard().iter().flat_map(|(conf, _)| conf.read_queues()).collect();
    let of = |conf: &ListenerConf| {
        let ListenerHandle { state, gauges, .. } =
            running.iter().find(|running| running.name == conf.name)?.clone();
        let left = conf.read_queues().into_iter();
        let left: Vec<_> = left.filter(|read| !now.iter().any(|now| now.own.is_same(&read.own))).collect();
        let next = new.heard().into_iter().map(|(next, _)| next).find(|next| next.name == conf.name);
        // The same name at other hosts may be the same queue, just bound.
        let is_named =
            |queue: &str, vhost: &str| now.iter().any(|now| now.own.queue == queue && now.own.vhost == vhost);
        let unbound = left.iter().filter(|left| !is_named(&left.own.queue, &left.own.vhost));
        let group = next.filter(|next| conf.is_same_group(next));
        let topics =
            group.iter().flat_map(|next| next.targets()).map(|(to, priority)| to.routing_key(&priority));
        let exit = QueueExit {
            listener: conf.name.clone(),
            transport: parts.transport_of(conf)?,
            memory: parts.bindings.clone(),
            bindings: unbound.flat_map(|left| left.bindings.clone()).collect(),
            queues: left.into_iter().map(|left| left.own).collect(),
            is_replaced: next.is_some(),
            state,
            gauges,
        };
        let topics = topics.collect();
        let kept = new.heard().into_iter().filter_map(|(next, _)| next.own_dead_letters());
        let kept: Vec<_> = kept.collect();
        let dead_letters = conf.own_dead_letters().filter(|own| !kept.iter().any(|kept| kept.is_same(own)));
        Some(LeavingListener { conf: conf.clone(), exit, topics, dead_letters })
    };
    let ends = old.heard().into_iter().filter(|(conf, _)| leave.contains(&conf.name));
    ends.filter_map(|(conf, _)| of(conf)).collect()
}

pub(super) async fn refuse_messages(leaving: &[LeavingListener]) -> Result<(), ReloadRefusal> {
    let asked = leaving.iter().map(|listener| timeout(ANSWER, listener.obstacle_that_stays()));
    let mut errors = Vec::new();
    for (listener, obstacle) in leaving.iter().zip(join_all(asked).await) {
        let silent = || {
            let queue = listener.exit.queues.first()?.clone();
            let reason = format!("the broker has not said for {} s what it holds", ANSWER.as_secs());
            Some(ExitObstacle { queue, reason })
        };
        let obstacle = obstacle.unwrap_or_else(|_| Some(silent()));
        errors.extend(obstacle.iter().flat_map(|obstacle| listener.refusal(obstacle)));
    }
    errors.extend(
        join_all(leaving.iter().map(LeavingListener::left_letters)).await.into_iter().flatten().flatten(),
    );
    match errors.is_empty() {
        true => Ok(()),
        false => Err(ReloadRefusal { reason: ReloadRefusalReason::QueueNotEmpty, errors }),
    }
}

impl LeavingListener {
    async fn obstacle_that_stays(&self) -> Option<Option<ExitObstacle>> {
        for _ in 1..CHECKS {
            self.obstacle().await?;
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        self.obstacle().await
    }

    async fn obstacle(&self) -> Option<Option<ExitObstacle>> {
        if self.conf.driver() == Driver::Kafka {
            return self.unread().map(|_| None);
        }
        self.exit.queues.first()?;
        self.exit.obstacle().await.map(Some)
    }

    /// Returns the refusal while the dead letter queue has messages, which no command would find any more.
    async fn left_letters(&self) -> Option<Vec<String>> {
        let queue = &self.dead_letters.as_ref()?.queue;
        let access = self.exit.transport.queue_access()?;
        let name = &self.conf.name;
        let mut reason = None;
        for _ in 0..CHECKS {
            match timeout(ANSWER / CHECKS, access.depth(queue)).await {
                // While another reads the queue, none of its messages counts.
                Ok(Ok(None | Some(0))) => {}
                Ok(Ok(Some(count))) => {
                    reason = Some(format!("has {count} dead or waiting deliveries"));
                    break;
                }
                Ok(Err(error)) => reason = Some(format!("the broker has not said what it has: {error}")),
                Err(_) => reason = Some("the broker has not said what it has".to_owned()),
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        let refused = format!("[listener:{name}] queue {queue} would be left, and {}", reason?);
        Some(vec![
            refused,
            "release, retry, or discard them (osnl deliveries list), and reload then".to_owned(),
        ])
    }

    fn unread(&self) -> Option<String> {
        if !self.exit.has_read() {
            return None;
        }
        let Some(partitions) = self.exit.gauges.partitions() else {
            return Some("its lag is not known".to_owned());
        };
        let is_subscribed = self.exit.state.borrow().is_subscribed();
        let now = Instant::now();
        let left = partitions.iter().filter(|seen| !self.topics.iter().any(|topic| **topic == *seen.topic));
        let mut lags = left.map(|seen| PartitionLag::new(seen, is_subscribed, now));
        lags.find_map(|of| match (of.lag, of.reason) {
            (Some(0), _) => None,
            (Some(lag), _) => Some(format!("topic {}, partition {}: {lag} unread", of.topic, of.partition)),
            (None, reason) => Some(format!(
                "topic {}, partition {}: its lag is not known{}",
                of.topic,
                of.partition,
                reason.map_or(String::new(), |reason| format!(" ({reason})"))
            )),
        })
    }

    fn refusal(&self, obstacle: &Option<ExitObstacle>) -> Vec<String> {
        let name = &self.conf.name;
        let Some(ExitObstacle { queue, reason }) = obstacle else {
            let unread = self.unread().unwrap_or_default();
            return vec![
                format!("[listener:{name}] group {} is not read to its end: {unread}", self.group()),
                format!(
                    "keep the group as a listener of its own with the former options, and remove that when its lag is 0 \
                     (osnl status); or reload [listener:{name}] then"
                ),
            ];
        };
        let (vhost, broker, of) = (&queue.vhost, queue.broker(), &queue.queue);
        let declared = self.conf.declare != Declare::Nothing && self.conf.pool.is_some();
        let unbind = declared.then(|| {
            let read = self.conf.read_queues().into_iter().find(|read| read.own == *queue)?;
            queue.unbind_command(&read.bindings)
        });
        let unbind = unbind.flatten();
        let mut lines = vec![
            format!(
                "[listener:{name}] queue {of} of virtual host {vhost} at {broker} would be left, and {reason}"
            ),
            match (&unbind, self.conf.queue.auto_delete) {
                // The broker deletes such a queue when its listener ends for another one.
                (_, true) => format!(
                    "to lose nothing: leave [listener:{name}] as it was, write what is new into a listener of another name, \
                     with rules that name it, and reload; remove [listener:{name}] when its queue is empty (until then \
                     each event arrives twice)"
                ),
                (unbind, false) => format!(
                    "to lose nothing: keep it in the same file as [listener:{name}-former] with the former transport_url \
                     and queue = {of}, with rules that name it, and reload; {}remove that listener when the queue is empty",
                    match unbind {
                        Some(_) => "then unbind the queue (until then each event arrives twice), and ",
                        None => "",
                    }
                ),
            },
        ];
        lines.push(match unbind {
            Some(unbind) => format!(
                "or unbind it, and reload when it is empty and the only consumer is this listener: events published between \
                 the two reach no queue of osnl; to unbind: {unbind}"
            ),
            None => format!(
                "or reload when it is empty and the only consumer is this listener; to see its bindings: rabbitmqctl \
                 list_bindings --vhost '{vhost}'"
            ),
        });
        lines
    }

    fn group(&self) -> String {
        self.exit.gauges.opened().queues.join(", ")
    }
}
