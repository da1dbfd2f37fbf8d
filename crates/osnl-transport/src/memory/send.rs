use osnl_model::{Priority, Target};

use super::MemoryBroker;
use crate::TransportError;
use crate::outgoing::OutgoingMessage;
use crate::topology::{Binding, Declare, route};

pub(super) fn send(
    broker: &MemoryBroker,
    to: &Target,
    priority: &Priority,
    message: OutgoingMessage,
) -> Result<(), TransportError> {
    let mut state = broker.lock();
    if state.down {
        return Err(TransportError::Connect { host: "memory".into(), reason: "the broker is down".into() });
    }
    let (exchange, routing_key) = route(to, priority);
    match message.declare {
        Declare::Create => {
            let binding = Binding {
                queue: routing_key.clone(),
                exchange: exchange.clone(),
                routing_key: routing_key.clone(),
            };
            state.exchanges.insert(exchange.clone());
            state.queues.entry(routing_key.clone()).or_default();
            if !state.bindings.contains(&binding) {
                state.bindings.push(binding);
            }
        }
        Declare::Passive | Declare::Nothing => {
            if !state.exchanges.contains(&exchange) {
                return Err(TransportError::no_exchange_to_publish_to(&exchange));
            }
        }
    }
    drop(state);
    let taken = broker.publish_raw(&exchange, &routing_key, message.body, message.properties);
    if taken == 0 && message.mandatory {
        return Err(TransportError::Unroutable { exchange, routing_key });
    }
    Ok(())
}
