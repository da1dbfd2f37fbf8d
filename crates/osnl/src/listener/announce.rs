//! What is said of a subscription when it opens, queue by queue: what was found, who else reads, and what a broker
//! that was away has lost.

use std::time::Duration;

use osnl_transport::{ListenOptions, OpenQueue, QueueType, Subscription};

/// Says it. `away` is how long the connection was lost, at the start nothing.
pub(super) fn announce(
    listener: &str,
    options: &ListenOptions,
    found: &Subscription,
    away: Option<Duration>,
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
                "queue \"{}\" exists with other arguments than ours and is used as it is ({differs})",
                queue.name
            );
        }
        other_consumers(listener, options, queue);
    }
    durability(listener, found, away);
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
    // Of a stream everybody has everything.
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

fn durability(listener: &str, found: &Subscription, away: Option<Duration>) {
    let names = |which: &dyn Fn(&OpenQueue) -> bool| {
        let names: Vec<&str> = found.open.iter().filter(|queue| which(queue)).map(|q| &*q.name).collect();
        names.join(", ")
    };
    match away {
        Some(away) if found.created => tracing::warn!(
            listener.name = listener,
            queue.name = names(&|queue| queue.created),
            "the queue was gone and has been made anew: what waited in it, and what was published in the {:.1} s \
             since the connection was lost, is lost; a queue and an exchange that are declared durable keep it",
            away.as_secs_f64()
        ),
        Some(away) => tracing::info!(
            listener.name = listener,
            "back after {:.1} s; the queue kept its messages",
            away.as_secs_f64()
        ),
        None if found.durable == Some(false) => tracing::warn!(
            listener.name = listener,
            queue.name = names(&|queue| queue.durable == Some(false)),
            "the queue is transient, as k2hr3_osnl declares it: a restart of the broker loses what waits in it; \
             a queue of this name that is declared durable beforehand is used as it is"
        ),
        None => {}
    }
}
