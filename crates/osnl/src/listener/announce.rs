//! The log lines about a subscription when it opens, queue by queue: messages found, other consumers, and losses of a
//! broker that was away.

use std::time::Duration;

use osnl_core::former::Former;
use osnl_transport::{ListenOptions, OpenQueue, QueueType, Subscription};

/// The remedy for a queue that another program has made.
pub(crate) const AS_CONFIGURED: &str =
    "to have it created as configured: stop its consumers, empty it, and delete it";
/// The remedy for a queue to which the broker gives its delivery limit.
pub(crate) const ANOTHER_LIMIT: &str = "set delivery-limit or a dead-letter exchange for it by a policy of the broker, \
     or read a pool of osnl's own: without oslo_arguments";

/// The state known when the connection ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// The time since the connection ended.
    pub(super) away: Duration,
    /// Messages that were not settled, as far as is known.
    pub(super) unsettled: usize,
}

/// The fate of the messages that were unsettled when a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnsettledFate {
    /// As many wait as were unsettled, or more.
    All,
    /// So many are not there any more: no other consumer has them.
    Lost(usize),
    /// Fewer wait; another consumer may have the others, or the broker has not noticed yet that the connection ended.
    Unknown(usize),
}

/// Says it. `is_shared`: the consumers of a name share its partitions. `before`: of the connection before this one, at the
/// start nothing.
pub(super) fn announce(
    listener: &str,
    (options, is_shared): (&ListenOptions, bool),
    found: &Subscription,
    before: Option<Before>,
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
        former = %Former(
            format_args!("listening at {}", found.host),
            &[
                ("listener.name", listener),
                ("queue.name", &queues),
                ("queue.waiting", &found.waiting.to_string())
            ]
        ),
        "listening at the broker"
    );
    if found.open.len() > 1 {
        let each: Vec<String> = found.open.iter().map(in_short).collect();
        let each_queue = each.join("; ");
        tracing::info!(
            listener.name = listener,
            queues = each_queue,
            former = %Former(
                format_args!("{} queues: {each_queue}", each.len()),
                &[("listener.name", listener)]
            ),
            "the listener reads several queues"
        );
    }
    for remark in &found.remarks {
        tracing::info!(
            listener.name = listener,
            remark,
            former = %Former(remark, &[("listener.name", listener)]),
            "remark of the broker's client"
        );
    }
    for queue in &found.open {
        if let Some(differs) = &queue.differs {
            tracing::warn!(
                listener.name = listener,
                queue.name = &*queue.name,
                difference = differs.to_string(),
                remedy = AS_CONFIGURED,
                former = %Former(
                    format_args!(
                        "queue \"{}\" exists with other arguments than ours and is used as it is ({differs})",
                        queue.name
                    ),
                    &[("listener.name", listener), ("queue.name", &*queue.name), ("remedy", AS_CONFIGURED)]
                ),
                "the queue exists with other arguments than configured, and osnl uses it as it is"
            );
        }
        if let Some(drops) = &queue.drops {
            tracing::warn!(
                listener.name = listener,
                queue.name = &*queue.name,
                reason = drops.to_string(),
                former = %Former(
                    format_args!("queue \"{}\" {drops}", queue.name),
                    &[("listener.name", listener), ("queue.name", &*queue.name)]
                ),
                "the broker may drop messages of the queue"
            );
        }
        other_consumers(listener, (options, is_shared), queue);
    }
    durability(listener, found, before);
}

/// `notifications.info (classic, 3 waiting, 1 other consumer)`
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
    // Each reader of a stream gets every message.
    if queue.other_consumers == 0 || queue.queue_type == Some(QueueType::Stream) {
        return;
    }
    let before = [("listener.name", listener), ("queue.name", &*queue.name)];
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
            former = %Former(
                format_args!(
                    "{} other consumer(s) on this queue: of a queue made by osnl one gets the messages, the others wait \
                     to take its place",
                    queue.other_consumers
                ),
                &before
            ),
            "the queue has other consumers: one of them gets the messages, the others stand by"
        );
    } else {
        tracing::warn!(
            listener.name = listener,
            queue.name = &*queue.name,
            queue.other_consumers = queue.other_consumers,
            former = %Former(
                format_args!(
                    "{} other consumer(s) on this queue take a share of its messages; a pool of its own gets all of them",
                    queue.other_consumers
                ),
                &before
            ),
            "other consumers take a share of this queue's messages; a listener with its own pool gets all of them"
        );
    }
}

fn kept(found: &Subscription, unsettled: usize) -> UnsettledFate {
    // Nothing is taken from a stream.
    let is_stream = found.open.iter().all(|queue| queue.queue_type == Some(QueueType::Stream));
    let missing = unsettled.saturating_sub(usize::try_from(found.waiting).unwrap_or(usize::MAX));
    match missing {
        0 => UnsettledFate::All,
        _ if is_stream => UnsettledFate::All,
        missing if found.other_consumers == 0 => UnsettledFate::Lost(missing),
        missing => UnsettledFate::Unknown(missing),
    }
}

fn durability(listener: &str, found: &Subscription, before: Option<Before>) {
    let names = |which: &dyn Fn(&OpenQueue) -> bool| {
        let names: Vec<&str> = found.open.iter().filter(|queue| which(queue)).map(|q| &*q.name).collect();
        names.join(", ")
    };
    match before {
        Some(Before { away, .. }) if found.created => {
            let (queues, away) = (names(&|queue| queue.created), format!("{:.1} s", away.as_secs_f64()));
            tracing::warn!(
                listener.name = listener,
                queue.name = queues,
                away,
                former = %Former(
                    format_args!(
                        "the queue was gone and has been made anew: what waited in it, and what was published in the \
                         {away} since the connection was lost, is lost; a queue and an exchange that are declared durable \
                         keep it"
                    ),
                    &[("listener.name", listener), ("queue.name", &queues)]
                ),
                "the queue was gone and has been made anew: its messages, and those published since the connection was \
                 lost, are lost; durable = true keeps the queue of a pool, and amqp_durable_queues = true queue and \
                 exchange, if the services have it too"
            );
        }
        Some(Before { away, unsettled }) => {
            let (queues, away) = (names(&|_| true), format!("{:.1} s", away.as_secs_f64()));
            back(listener, &queues, &away, unsettled, kept(found, unsettled));
        }
        None if found.durable == Some(false) => tracing::warn!(
            listener.name = listener,
            queue.name = names(&|queue| queue.durable == Some(false)),
            "the queue is transient: a restart of the broker deletes it with its messages; with amqp_durable_queues = true \
             osnl creates a durable one, but an existing queue is used as it is"
        ),
        None => {}
    }
}

/// Reports a queue that was there all the time, and what it has of the unsettled messages.
fn back(listener: &str, queues: &str, away: &str, unsettled: usize, fate: UnsettledFate) {
    let number = unsettled.to_string();
    match fate {
        UnsettledFate::All => tracing::info!(
            listener.name = listener,
            queue.unsettled = unsettled,
            away,
            former = %Former(
                format_args!("back after {away}; the queue kept its messages"),
                &[("listener.name", listener), ("queue.unsettled", &number)]
            ),
            "back after a lost connection; the queue kept its messages"
        ),
        UnsettledFate::Lost(messages) => tracing::error!(
            listener.name = listener,
            queue.name = queues,
            queue.unsettled = unsettled,
            queue.lost = messages,
            away,
            former = %Former(
                format_args!(
                    "back after {away}; messages that were not settled are not in the queue any more: a delivery \
                     limit or a time-out of the queue has dropped or dead-lettered them, or somebody has purged it"
                ),
                &[
                    ("listener.name", listener),
                    ("queue.name", queues),
                    ("queue.unsettled", &number),
                    ("queue.lost", &messages.to_string())
                ]
            ),
            "back after a lost connection; unsettled messages are not in the queue any more: a delivery limit or a \
             time-out of the queue has dropped or dead-lettered them, or an operator has purged it"
        ),
        UnsettledFate::Unknown(messages) => tracing::warn!(
            listener.name = listener,
            queue.name = queues,
            queue.unsettled = unsettled,
            queue.missing = messages,
            away,
            former = %Former(
                format_args!(
                    "back after {away}; whether the queue kept its messages is not known: another consumer may \
                     have them, or the broker has not noticed yet that the connection before ended"
                ),
                &[
                    ("listener.name", listener),
                    ("queue.name", queues),
                    ("queue.unsettled", &number),
                    ("queue.missing", &messages.to_string())
                ]
            ),
            "back after a lost connection; whether the queue kept its messages is unknown: another consumer may have \
             them, or the broker has not noticed yet that the previous connection ended"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::subscription;
    use super::*;

    #[tokio::test]
    async fn a_queue_is_said_to_have_kept_its_messages_only_if_it_has_them() {
        let mut found = subscription("q").await;
        for (unsettled, waiting, others, expected) in [
            (0, 0, 0, UnsettledFate::All),
            (5, 5, 0, UnsettledFate::All),
            (5, 70, 3, UnsettledFate::All),
            (5, 0, 0, UnsettledFate::Lost(5)),
            (5, 1, 0, UnsettledFate::Lost(4)),
            (5, 1, 1, UnsettledFate::Unknown(4)),
        ] {
            (found.waiting, found.other_consumers) = (waiting, others);
            assert_eq!(kept(&found, unsettled), expected, "{unsettled} {waiting} {others}");
        }
    }
}
