//! Logs the opening of a subscription by queue.

use std::time::{Duration, SystemTime};

use osnl_core::epoch;
use osnl_transport::{
    AS_CONFIGURED, BINDING_INTERVAL, Consumer, Features, ListenOptions, OpenQueue, PartitionSeen, QueueType,
    Subscription,
};

use super::Listener;
use super::gaps::GapFact;
use super::gauges::UnboundLooks;
use super::returns::ReturnVerdict;

pub const ANOTHER_LIMIT: &str = "set delivery-limit or a dead-letter exchange for it by a policy of the broker, \
     or read a pool of osnl's own: without oslo_arguments";

/// The facts about the queue from before a subscription.
#[derive(Clone, Copy, Debug)]
struct Before {
    away: Option<Duration>,
    /// `None` if no run has read the queue, `Some(None)` if the run crashed.
    former: Option<Option<usize>>,
    unsettled: usize,
}

impl Before {
    fn was_read(&self) -> bool {
        self.away.is_some() || self.former.is_some()
    }
}

/// Logs the subscription. `is_shared`: consumers of one name share the partitions.
fn announce(
    listener: &str,
    (options, is_shared): (&ListenOptions, bool),
    found: &Subscription,
    before: &Before,
) {
    let queues = found.queues().join(", ");
    for binding in &found.bindings {
        tracing::debug!(
            listener.name = listener,
            queue.name = &*binding.queue,
            exchange = &*binding.exchange,
            routing_key = &*binding.routing_key,
            "queue bound"
        );
    }
    tracing::info!(
        listener.name = listener,
        queue.name = queues,
        queue.waiting = found.waiting,
        broker.host = &*found.host,
        "listening at the broker"
    );
    if found.open.len() > 1 {
        let each: Vec<String> = found.open.iter().map(in_short).collect();
        let each_queue = each.join("; ");
        tracing::info!(listener.name = listener, queues = each_queue, "the listener reads several queues");
    }
    for remark in &found.remarks {
        tracing::info!(listener.name = listener, remark, "remark of the broker's client");
    }
    for queue in &found.open {
        if let Some(differs) = &queue.differs {
            tracing::warn!(
                listener.name = listener,
                queue.name = &*queue.name,
                difference = differs.to_string(),
                remedy = AS_CONFIGURED,
                "the queue exists with other arguments than configured, and osnl uses it as it is"
            );
        }
        if let Some(drops) = &queue.drops {
            tracing::warn!(
                listener.name = listener,
                queue.name = &*queue.name,
                reason = drops.to_string(),
                "the broker may drop messages of the queue"
            );
        }
        other_consumers(listener, (options, is_shared), queue);
    }
    durability(listener, (options, found), before);
}

fn in_short(queue: &OpenQueue) -> String {
    let kind = queue.queue_type.map_or("kind unknown", QueueType::as_str);
    let others = match queue.other_consumers {
        0 => String::new(),
        1 => ", 1 other consumer".to_owned(),
        n => format!(", {n} other consumers"),
    };
    format!("{} ({kind}, {} waiting{others})", queue.name, queue.waiting)
}

fn other_consumers(listener: &str, (options, is_shared): (&ListenOptions, bool), queue: &OpenQueue) {
    if queue.other_consumers == 0 {
        return;
    }
    if is_shared {
        tracing::info!(
            listener.name = listener,
            queue.name = &*queue.name,
            queue.other_consumers = queue.other_consumers,
            "the group has other members: each reads the partitions that the group gives it"
        );
    } else if options.queue.single_active_consumer && queue.differs.is_none() {
        tracing::info!(
            listener.name = listener,
            queue.name = &*queue.name,
            queue.other_consumers = queue.other_consumers,
            "the queue has other consumers: one of them gets the messages, the others stand by"
        );
    } else {
        tracing::warn!(
            listener.name = listener,
            queue.name = &*queue.name,
            queue.other_consumers = queue.other_consumers,
            "other consumers take a share of this queue's messages; a listener with its own pool gets all of them"
        );
    }
}

fn names(found: &Subscription, which: impl Fn(&OpenQueue) -> bool) -> String {
    let names: Vec<&str> = found.open.iter().filter(|queue| which(queue)).map(|q| &*q.name).collect();
    names.join(", ")
}

fn durability(listener: &str, (options, found): (&ListenOptions, &Subscription), before: &Before) {
    let away = before.away.map(|away| format!("{:.1} s", away.as_secs_f64()));
    let Before { unsettled, former, .. } = *before;
    match away {
        Some(away) if found.created => {
            let queues = names(found, |queue| queue.created);
            tracing::warn!(
                listener.name = listener,
                queue.name = queues,
                queue.unsettled = unsettled,
                away,
                "the queue was gone and has been made anew: its messages, and those published while it was gone, are \
                 lost; durable = true keeps the queue of a pool, and amqp_durable_queues = true queue and exchange, if \
                 the services have it too"
            );
        }
        Some(away) => tracing::info!(
            listener.name = listener,
            queue.unsettled = unsettled,
            queue.waiting = found.waiting,
            away,
            "subscribed again; messages that were unsettled are counted as the broker delivers them again"
        ),
        None => at_start(listener, (options, found), (former, unsettled)),
    }
}

fn at_start(
    listener: &str,
    (options, found): (&ListenOptions, &Subscription),
    (former, unsettled): (Option<Option<usize>>, usize),
) {
    if found.durable == Some(false) {
        tracing::warn!(
            listener.name = listener,
            queue.name = names(found, |queue| queue.durable == Some(false)),
            "the queue is transient: a restart of the broker deletes it with its messages; with amqp_durable_queues = true \
             osnl creates a durable one, but an existing queue is used as it is"
        );
    }
    let is_auto_deleted = found.is_auto_deleted().unwrap_or(options.queue.auto_delete);
    if is_auto_deleted && options.queue.auto_delete {
        tracing::warn!(
            listener.name = listener,
            queue.name = names(found, |_| true),
            "the broker deletes the queue with its messages when its last consumer goes, such as at a restart or a lost \
             connection of osnl: without auto_delete and amqp_auto_delete, osnl creates one that stays"
        );
    }
    match former {
        Some(_) if found.created && !is_auto_deleted => tracing::warn!(
            listener.name = listener,
            queue.name = names(found, |queue| queue.created),
            queue.unsettled = unsettled,
            "the queue that an earlier run read did not exist and was created: what it held, and what was published \
             meanwhile, is lost"
        ),
        Some(Some(1..)) => tracing::info!(
            listener.name = listener,
            queue.name = names(found, |_| true),
            queue.unsettled = unsettled,
            queue.waiting = found.waiting,
            "messages were unsettled when the run before ended; they are counted as the broker delivers them again"
        ),
        Some(None) => tracing::info!(
            listener.name = listener,
            queue.name = names(found, |_| true),
            queue.waiting = found.waiting,
            "the run before ended without counting its unsettled messages: whether all of them come back is unknown"
        ),
        Some(Some(0)) | None => {}
    }
}

/// The first wait of a standby that counts the other consumers again is short, since the other consumer may be this
/// daemon's own former connection; each further one is twice as long.
const FIRST_RECOUNT: Duration = Duration::from_secs(10);
const LONGEST_RECOUNT: Duration = Duration::from_secs(300);

pub(super) fn log_others_left(listener: &str) {
    tracing::info!(
        listener.name = listener,
        "the other consumers have left the queue: this listener receives its messages now"
    );
}

impl Listener {
    fn connected(&self, consumer: &dyn Consumer, away: Option<Duration>) {
        let (found, is_shared) = (consumer.subscription(), self.transport.features().partitions);
        let former = away.is_none().then(|| self.tidying.as_ref()?.begin_reading()).flatten();
        if let Some(Some(unsettled)) = former {
            self.count_ended(unsettled);
        }
        let mut returns = self.gauges.returns();
        let unsettled = returns.expected();
        if found.created {
            returns.created();
        }
        drop(returns);
        let before = Before { away, former, unsettled };
        let name = &self.config.name;
        announce(name, (&self.config.options, is_shared), found, &before);
        if found.created && before.was_read() && !self.is_auto_deleted() {
            self.gauges.created_again();
        }
        self.gauges.connected(found, away.is_some());
        self.gauges.forget_waiting();
        let created = found.open.iter().filter(|queue| queue.created).map(|queue| queue.name.to_string());
        self.note_gap(GapFact::Subscribed {
            queues: found.queues().iter().map(ToString::to_string).collect(),
            created: created.collect(),
            is_transient: self.is_auto_deleted() || found.durable == Some(false),
            is_again: away.is_some(),
            is_empty: found.waiting == 0,
            unsettled,
        });
        let partitions = consumer.partitions();
        self.note_positions(partitions.as_deref());
        self.gauges.record_partitions(partitions);
    }

    /// Notes the gaps of exchanges that were missing or refused when the connection was lost, and that are bound again.
    fn note_bound_again(&self, found: &Subscription) {
        let unbound = self.gauges.gaps().unbound.into_iter().filter(|_| self.gauges.has_received());
        for (exchange, looks) in unbound {
            if found.bindings.iter().any(|binding| binding.exchange == exchange) {
                self.note_bound(&exchange, looks);
            }
        }
    }

    /// Notes the gaps that end as the queue is bound to an exchange.
    pub(super) fn note_bound(&self, exchange: &str, looks: UnboundLooks) {
        let before = |age| epoch::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        if let Some(missing) = looks.missing {
            let (exchange, looked) = (exchange.to_owned(), before(missing.elapsed()));
            self.note_gap(GapFact::Bound { exchange, looked });
        }
        if let Some(refused) = looks.refused {
            let (exchange, looked) = (exchange.to_owned(), before(refused.elapsed() + BINDING_INTERVAL));
            self.note_gap(GapFact::Allowed { exchange, looked });
        }
    }

    pub(super) fn note_positions(&self, partitions: Option<&[PartitionSeen]>) {
        for PartitionSeen { topic, partition, lost, .. } in partitions.into_iter().flatten() {
            let Some(lost) = *lost else { continue };
            let (topic, partition) = (topic.to_string(), *partition);
            self.note_gap(GapFact::Position { topic, partition, lost });
        }
    }

    /// Announces a subscription: one after a lost connection, or one by which a standby counts the other consumers again
    /// after the time `recounted`. Returns the time after which a standby counts once more.
    pub(super) fn subscribed(
        &self,
        consumer: &dyn Consumer,
        away: Option<Duration>,
        recounted: Option<Duration>,
    ) -> Duration {
        self.note_bound_again(consumer.subscription());
        // A queue that was deleted meanwhile is made anew by this subscription: no other one finds the gap.
        let Some(recounted) = recounted.filter(|_| !consumer.subscription().created) else {
            self.connected(consumer, away);
            return FIRST_RECOUNT;
        };
        let found = consumer.subscription();
        if found.other_consumers == 0 {
            log_others_left(&self.config.name);
        }
        self.gauges.connected(found, false);
        (recounted * 2).min(LONGEST_RECOUNT)
    }

    pub(super) fn count_ended(&self, unsettled: usize) {
        // A partition keeps its messages, so none has to return. Without counts, what has returned is not known.
        let Features { partitions, counts, .. } = self.transport.features();
        self.gauges.returns().ended(if partitions || !counts { 0 } else { unsettled });
    }

    pub(super) fn say_returned(&self, verdict: Option<ReturnVerdict>) {
        let (listener, queues) = (&*self.config.name, self.gauges.opened().queues.join(", "));
        match verdict {
            None => {}
            Some(ReturnVerdict::Back(messages)) => tracing::info!(
                listener.name = listener,
                queue.name = queues,
                queue.redelivered = messages,
                "as many messages as were unsettled are delivered again"
            ),
            Some(ReturnVerdict::Missing(messages)) => {
                tracing::error!(
                    listener.name = listener,
                    queue.name = queues,
                    queue.missing = messages,
                    "unsettled messages did not come back, and the queue is empty: a delivery limit or a time-out of the \
                     queue has dropped or dead-lettered them, a consumer that has left has read them, or an operator has \
                     purged it"
                );
                self.note_gap(GapFact::NotBack { messages });
            }
            Some(ReturnVerdict::Unknown(messages)) => tracing::warn!(
                listener.name = listener,
                queue.name = queues,
                queue.missing = messages,
                "unsettled messages did not come back, and the queue is empty: whether another consumer has read them is \
                 unknown"
            ),
        }
    }
}
