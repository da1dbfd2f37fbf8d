//! Publishing into the in-process broker, under the same rules as on RabbitMQ.

use osnl_model::{Priority, Target};

use super::MemoryBroker;
use crate::TransportError;
use crate::outgoing::Outgoing;
use crate::topology::{Declare, bindings};

pub(super) fn send(
    broker: &MemoryBroker,
    to: &Target,
    priority: &Priority,
    message: Outgoing,
) -> Result<(), TransportError> {
    let mut state = broker.lock();
    if state.down {
        return Err(TransportError::Connect { host: "memory".into(), reason: "the broker is down".into() });
    }
    // Of one target and priority there is one binding.
    for binding in bindings(&[(to.clone(), priority.clone())], None) {
        match message.route.declare {
            Declare::Create => {
                state.exchanges.insert(binding.exchange.clone());
                state.queues.entry(binding.queue.clone()).or_default();
                if !state.bindings.contains(&binding) {
                    state.bindings.push(binding.clone());
                }
            }
            Declare::Passive => {
                if !state.exchanges.contains(&binding.exchange) {
                    return Err(TransportError::no_exchange_to_publish_to(&binding.exchange));
                }
            }
        }
    }
    drop(state);
    let (exchange, routing_key) = crate::topology::route(to, priority);
    let taken = broker.publish_raw(&exchange, &routing_key, message.body, message.properties);
    if taken == 0 && message.mandatory {
        return Err(TransportError::Unroutable { exchange, routing_key });
    }
    Ok(())
}
