//! The log lines about a subscription when it opens, queue by queue: messages found, other consumers, and losses of a
//! broker that was away.

use std::time::Duration;

use osnl_transport::{ListenOptions, OpenQueue, QueueType, Subscription};

/// The remedy for a queue that another program has made.
pub(crate) const AS_CONFIGURED: &str = "to have it as configured: stop its readers, empty and delete it";

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
enum Kept {
    /// As many wait as were unsettled, or more.
    All,
    /// So many are not there any more: no other consumer has them.
    Lost(usize),
    /// Fewer wait; another consumer may have the others, or the broker has not noticed yet that the connection ended.
    Unknown(usize),
}

/// Says it. `before`: of the connection before this one, at the start nothing.
pub(super) fn announce(
    listener: &str,
    options: &ListenOptions,
    found: &Subscription,
    before: Option<Before>,
) {
    let queues = found.queues().join(", ");
    for binding in &found.bindings {
        tracing::debug!(
            listener.name = listener,
            "queue {} bound to exchange {} with key {}",
            binding.queue,
            binding.exchange,
            binding.routing_key
        );
    }
    tracing::info!(
        listener.name = listener,
        queue.name = queues,
        queue.waiting = found.waiting,
        "listening at {}",
        found.host
    );
    if found.open.len() > 1 {
        let each: Vec<String> = found.open.iter().map(in_short).collect();
        tracing::info!(listener.name = listener, "{} queues: {}", each.len(), each.join("; "));
    }
    for remark in &found.remarks {
        tracing::info!(listener.name = listener, "{remark}");
    }
    for queue in &found.open {
        if let Some(differs) = &queue.differs {
            tracing::warn!(
                listener.name = listener,
                queue.name = &*queue.name,
                remedy = AS_CONFIGURED,
                "queue \"{}\" exists with other arguments than ours and is used as it is ({differs})",
                queue.name
            );
        }
        if let Some(drops) = &queue.drops {
            tracing::warn!(
                listener.name = listener,
                queue.name = &*queue.name,
                "queue \"{}\" {drops}",
                queue.name
            );
        }
        other_consumers(listener, options, queue);
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

fn other_consumers(listener: &str, options: &ListenOptions, queue: &OpenQueue) {
    // Each reader of a stream gets every message.
    if queue.other_consumers == 0 || queue.queue_type == Some(QueueType::Stream) {
        return;
    }
    if options.queue.single_active_consumer && queue.differs.is_none() {
        tracing::info!(
            listener.name = listener,
            queue.name = &*queue.name,
            "{} other consumer(s) on this queue: of a queue made by osnl one gets the messages, the others wait \
             to take its place",
            queue.other_consumers
        );
    } else {
        tracing::warn!(
            listener.name = listener,
            queue.name = &*queue.name,
            "{} other consumer(s) on this queue take a share of its messages; a pool of its own gets all of them",
            queue.other_consumers
        );
    }
}

fn kept(found: &Subscription, unsettled: usize) -> Kept {
    // Nothing is taken from a stream.
    let is_stream = found.open.iter().all(|queue| queue.queue_type == Some(QueueType::Stream));
    let missing = unsettled.saturating_sub(usize::try_from(found.waiting).unwrap_or(usize::MAX));
    match missing {
        0 => Kept::All,
        _ if is_stream => Kept::All,
        missing if found.other_consumers == 0 => Kept::Lost(missing),
        missing => Kept::Unknown(missing),
    }
}

fn durability(listener: &str, found: &Subscription, before: Option<Before>) {
    let names = |which: &dyn Fn(&OpenQueue) -> bool| {
        let names: Vec<&str> = found.open.iter().filter(|queue| which(queue)).map(|q| &*q.name).collect();
        names.join(", ")
    };
    match before {
        Some(Before { away, .. }) if found.created => tracing::warn!(
            listener.name = listener,
            queue.name = names(&|queue| queue.created),
            "the queue was gone and has been made anew: what waited in it, and what was published in the {:.1} s \
             since the connection was lost, is lost; a queue and an exchange that are declared durable keep it",
            away.as_secs_f64()
        ),
        Some(Before { away, unsettled }) => {
            let (queues, away) = (names(&|_| true), away.as_secs_f64());
            match kept(found, unsettled) {
                Kept::All => tracing::info!(
                    listener.name = listener,
                    queue.unsettled = unsettled,
                    "back after {away:.1} s; the queue kept its messages"
                ),
                Kept::Lost(messages) => tracing::error!(
                    listener.name = listener,
                    queue.name = queues,
                    queue.unsettled = unsettled,
                    queue.lost = messages,
                    "back after {away:.1} s; messages that were not settled are not in the queue any more: a delivery \
                     limit or a time-out of the queue has dropped or dead-lettered them, or somebody has purged it"
                ),
                Kept::Unknown(messages) => tracing::warn!(
                    listener.name = listener,
                    queue.name = queues,
                    queue.unsettled = unsettled,
                    queue.missing = messages,
                    "back after {away:.1} s; whether the queue kept its messages is not known: another consumer may have \
                     them, or the broker has not noticed yet that the connection before ended"
                ),
            }
        }
        None if found.durable == Some(false) => tracing::warn!(
            listener.name = listener,
            queue.name = names(&|queue| queue.durable == Some(false)),
            "the queue is transient, as k2hr3_osnl declares it: a restart of the broker deletes it with its messages; \
             a queue of this name that is declared durable beforehand is used as it is"
        ),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_is_said_to_have_kept_its_messages_only_if_it_has_them() {
        use osnl_model::{Priority, Target};
        use osnl_transport::{Declare, MemoryBroker, QueueKind, Transport as _};
        let options = ListenOptions {
            bodies: Default::default(),
            pool: Some("q".to_owned()),
            prefetch: 9,
            declare: Declare::Create,
            queue: QueueKind::OSLO,
        };
        let to = [(Target::new("x", "n"), Priority::Info)];
        let broker = MemoryBroker::new();
        let consumer = broker.transport().listen(&to, &options).await.unwrap();
        let mut found = consumer.subscription().clone();
        for (unsettled, waiting, others, expected) in [
            (0, 0, 0, Kept::All),
            (5, 5, 0, Kept::All),
            (5, 70, 3, Kept::All),
            (5, 0, 0, Kept::Lost(5)),
            (5, 1, 0, Kept::Lost(4)),
            (5, 1, 1, Kept::Unknown(4)),
        ] {
            (found.waiting, found.other_consumers) = (waiting, others);
            assert_eq!(kept(&found, unsettled), expected, "{unsettled} {waiting} {others}");
        }
    }
}
