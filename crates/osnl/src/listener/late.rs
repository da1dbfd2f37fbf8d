//! Binds queues to exchanges that were missing when the queue was opened.
//!
//! A restarted broker keeps a durable queue, and loses a transient exchange (oslo.messaging's default) until its
//! service publishes again. So the queue is read at once, and status and log name the missing exchange.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use osnl_transport::{Binding, LateBindings, Subscription, TransportError};
use tokio::time::{Instant, sleep};

use super::Listener;
use super::gauges::ConnectionTrouble;

const EACH: Duration = Duration::from_secs(1);

impl Listener {
    pub(super) async fn bind_late(&self, found: &Subscription, mut late: Box<dyn LateBindings>) {
        let name = &*self.config.name;
        let (mut bound, mut unbound) = (found.bindings.clone(), found.unbound.clone());
        if unbound.is_empty() {
            return;
        }
        let remedy = unbound.first().and_then(|binding| {
            self.remedy(&TransportError::NoExchange { exchange: binding.exchange.clone() })
        });
        let (queues, missing) = (found.queues().join(", "), gap(&bound, &unbound));
        let mut before = vec![("listener.name", name), ("queue.name", &*queues)];
        before.extend(remedy.as_deref().map(|remedy| ("remedy", remedy)));
        tracing::warn!(
            listener.name = name,
            queue.name = queues,
            reason = missing,
            remedy = remedy.as_deref(),
            "an exchange is missing: its service creates it with its first notification; osnl reads the queue meanwhile, and \
             looks for the exchange every second"
        );
        let began = Instant::now();
        while !unbound.is_empty() {
            let next = SystemTime::now() + EACH;
            let reason = gap(&bound, &unbound);
            let (remedy, is_unbound) = (remedy.clone(), bound.is_empty());
            self.gauges.failed(Some(ConnectionTrouble { reason, remedy, attempts: 0, next, is_unbound }));
            sleep(EACH).await;
            match late.bind(&unbound).await {
                Ok(rest) => {
                    let new: Vec<Binding> =
                        unbound.into_iter().filter(|binding| !rest.contains(binding)).collect();
                    for exchange in exchanges(&new) {
                        tracing::info!(
                            listener.name = name,
                            exchange,
                            unbound_seconds = began.elapsed().as_secs(),
                            "the exchange is there and the queue is bound to it; what was published to it before is in \
                             the service's own queues only"
                        );
                    }
                    bound.extend(new);
                    unbound = rest;
                }
                // A lost connection is reported where the subscription ends.
                Err(error) => tracing::debug!(listener.name = name, %error, "the queue cannot be bound yet"),
            }
        }
        self.gauges.failed(None);
    }
}

fn gap(bound: &[Binding], unbound: &[Binding]) -> String {
    let missing = exchanges(unbound);
    let all = exchanges(bound).union(&missing).count();
    let quoted: Vec<String> = missing.iter().map(|exchange| format!("\"{exchange}\"")).collect();
    let (noun, verb) = if quoted.len() == 1 { ("exchange", "does") } else { ("exchanges", "do") };
    format!(
        "bound to {} of {all} exchanges: {noun} {} {verb} not exist yet",
        all - missing.len(),
        quoted.join(", ")
    )
}

fn exchanges(bindings: &[Binding]) -> BTreeSet<&str> {
    bindings.iter().map(|binding| binding.exchange.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_counts_exchanges_and_names_the_missing_ones() {
        let bindings = |exchanges: &[&str]| -> Vec<Binding> {
            let keys = ["n.info", "n.error"];
            let of = |exchange: &&str| {
                keys.map(|key| Binding {
                    queue: "q".into(),
                    exchange: (*exchange).into(),
                    routing_key: key.into(),
                })
            };
            exchanges.iter().flat_map(of).collect()
        };
        let check = |bound: &[&str], unbound: &[&str], expected: &str| {
            assert_eq!(gap(&bindings(bound), &bindings(unbound)), expected);
        };
        check(&[], &["nova"], "bound to 0 of 1 exchanges: exchange \"nova\" does not exist yet");
        check(
            &["neutron"],
            &["nova", "ironic"],
            "bound to 1 of 3 exchanges: exchanges \"ironic\", \"nova\" do not exist yet",
        );
    }
}
