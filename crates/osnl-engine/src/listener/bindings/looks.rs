//! Keeps the queues of a subscription bound.
//!
//! A restarted broker keeps a durable queue, and loses a transient exchange (oslo.messaging's default) until its
//! service publishes again. An exchange may also be deleted and made again at any time, without its bindings. So the
//! bindings are made again and again:
//!
//! | at the last look | next look |
//! | --- | --- |
//! | bound, or no answer | [`BINDING_INTERVAL`] |
//! | the exchange was missing | [`MISSING`]: what is published to it before the binding does not arrive |
//! | refused, or no such queue | [`REFUSED`], since the broker logs each refusal, or with the next reload |
//!
//! A queue that is left is not bound again; its bindings are removed at each look, which notices a node that is cut off
//! as the other looks do.
//!
//! The queue is read meanwhile, or waits for room ([`given_back`](super::given_back)); status and log name what is
//! missing.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::time::Duration;

use osnl_core::epoch;
use osnl_transport::{
    BINDING_INTERVAL, Binding, BindingLook, BindingWatch, Remedy, Subscription, TransportError,
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::listener::{BindingGaps, ConnectionTrouble, Listener, UnboundLooks};

const MISSING: Duration = Duration::from_secs(1);
const REFUSED: Duration = Duration::from_secs(60);

/// The state of a binding at the latest look. `Gone`: its queue does not exist, as the next subscription finds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BindingState {
    Bound,
    Missing { since: Instant },
    Refused { words: String },
    Gone,
}

/// A binding of the subscription, and the time of its next look.
#[derive(Debug)]
struct KeptBinding {
    binding: Binding,
    state: BindingState,
    looks: UnboundLooks,
    /// Whether the binding has been seen in this subscription.
    was_bound: bool,
    /// The beginning of the first look without an answer since the latest with one.
    unanswered: Option<Instant>,
    due: Instant,
}

/// The bindings of a subscription, with what the latest look has shown. Pure.
#[derive(Debug)]
pub(in crate::listener) struct KeptBindings(Vec<KeptBinding>);

/// The differences that a look has found since the one before.
#[derive(Debug, Default)]
struct BindingChanges {
    missing: BTreeSet<String>,
    /// Exchanges that were missing and have come, each with the time without it.
    bound: Vec<(String, Duration)>,
    made: Vec<String>,
    refused: Vec<TransportError>,
    /// Exchanges whose bindings were missing or refused and are made.
    ended: BTreeMap<String, UnboundLooks>,
}

impl BindingChanges {
    fn is_none(&self) -> bool {
        let Self { missing, bound, made, refused, ended } = self;
        let is_as_before = bound.is_empty() && ended.is_empty() && made.is_empty();
        is_as_before && missing.is_empty() && refused.is_empty()
    }
}

impl KeptBindings {
    /// `before`: the looks of the connections before this subscription.
    fn new(found: &Subscription, before: &BTreeMap<String, UnboundLooks>, now: Instant) -> Self {
        let kept = |was_bound: bool, bindings: &[Binding]| {
            let state = if was_bound { BindingState::Bound } else { BindingState::Missing { since: now } };
            let due = now + pause(&state);
            // The subscription itself has looked a moment ago.
            let missing = now.checked_sub(BINDING_INTERVAL).filter(|_| !was_bound);
            let one = |binding: &Binding| {
                let before = before.get(&binding.exchange).filter(|_| !was_bound);
                let looks = UnboundLooks { missing, refused: before.and_then(|looks| looks.refused) };
                let (binding, state, unanswered) = (binding.clone(), state.clone(), None);
                KeptBinding { binding, state, looks, was_bound, unanswered, due }
            };
            bindings.iter().map(one).collect::<Vec<_>>()
        };
        Self(kept(true, &found.bindings).into_iter().chain(kept(false, &found.unbound)).collect())
    }

    fn next(&self) -> Option<Instant> {
        self.0.iter().map(|one| one.due).min()
    }

    fn hasten(&mut self, now: Instant) {
        self.0.iter_mut().for_each(|one| one.due = now);
    }

    fn due(&self, now: Instant) -> Vec<Binding> {
        self.0.iter().filter(|one| one.due <= now).map(|one| one.binding.clone()).collect()
    }

    fn seen(&mut self, asked: &[Binding], look: Option<BindingLook>, now: Instant) -> BindingChanges {
        let mut changes = BindingChanges::default();
        for one in self.0.iter_mut().filter(|one| asked.contains(&one.binding)) {
            let Some(look) = &look else {
                one.unanswered.get_or_insert(one.due);
                one.due = now + BINDING_INTERVAL;
                continue;
            };
            let unanswered = one.unanswered.take();
            let exchange = &one.binding.exchange;
            let refusal = look.refused.iter().find(|(binding, _)| *binding == one.binding);
            let state = match (refusal, &one.state) {
                (Some((_, error)), before) => {
                    let words = error.to_string();
                    let is_known =
                        matches!(before, BindingState::Refused { words: known } if *known == words);
                    if !is_known && !changes.refused.iter().any(|other| other.to_string() == words) {
                        changes.refused.push(error.clone());
                    }
                    one.looks.refused.get_or_insert(unanswered.unwrap_or(one.due));
                    BindingState::Refused { words }
                }
                (None, before) if look.missing.contains(&one.binding) => {
                    one.looks.missing = Some(one.due);
                    match before {
                        BindingState::Missing { .. } => before.clone(),
                        BindingState::Bound | BindingState::Refused { .. } | BindingState::Gone => {
                            changes.missing.insert(exchange.clone());
                            BindingState::Missing { since: now }
                        }
                    }
                }
                (None, _) if look.gone.contains(&one.binding.queue) => BindingState::Gone,
                (None, before) => {
                    if let BindingState::Missing { since } = before
                        && !changes.bound.iter().any(|(known, _)| known == exchange)
                    {
                        changes.bound.push((exchange.clone(), now.duration_since(*since)));
                    }
                    let looks = std::mem::take(&mut one.looks);
                    if !looks.is_none() {
                        changes.ended.entry(exchange.clone()).or_default().add(looks);
                    }
                    one.was_bound = true;
                    BindingState::Bound
                }
            };
            one.due = now + pause(&state);
            one.state = state;
        }
        changes.made = look.map(|look| look.made).unwrap_or_default();
        changes
    }

    fn missing(&self) -> BTreeSet<&str> {
        let missing = self.0.iter().filter(|one| matches!(one.state, BindingState::Missing { .. }));
        missing.map(|one| one.binding.exchange.as_str()).collect()
    }

    /// Returns what is not bound, in words; `None` if no exchange is missing.
    fn gap(&self) -> Option<String> {
        let missing = self.missing();
        let all = self.0.iter().map(|one| one.binding.exchange.as_str()).collect::<BTreeSet<_>>().len();
        let quoted: Vec<String> = missing.iter().map(|exchange| format!("\"{exchange}\"")).collect();
        let (noun, verb) = match quoted.len() {
            0 => return None,
            1 => ("exchange", "does"),
            _ => ("exchanges", "do"),
        };
        let were_there =
            |one: &KeptBinding| one.was_bound || !missing.contains(one.binding.exchange.as_str());
        let when = if self.0.iter().all(were_there) { "any more" } else { "yet" };
        Some(format!(
            "bound to {} of {all} exchanges: {noun} {} {verb} not exist {when}",
            all - missing.len(),
            quoted.join(", ")
        ))
    }

    fn gaps(&self) -> BindingGaps {
        let refused = self.0.iter().filter_map(|one| match &one.state {
            BindingState::Refused { words } => Some(words.clone()),
            BindingState::Bound | BindingState::Missing { .. } | BindingState::Gone => None,
        });
        let mut unbound = BTreeMap::<String, UnboundLooks>::new();
        for one in self.0.iter().filter(|one| !one.looks.is_none()) {
            unbound.entry(one.binding.exchange.clone()).or_default().add(one.looks);
        }
        BindingGaps {
            missing: self.missing().into_iter().map(str::to_owned).collect(),
            refused: refused.collect(),
            unbound,
            is_unbound: self.0.iter().all(|one| matches!(one.state, BindingState::Missing { .. })),
        }
    }
}

fn pause(state: &BindingState) -> Duration {
    match state {
        BindingState::Bound => BINDING_INTERVAL,
        BindingState::Missing { .. } => MISSING,
        BindingState::Refused { .. } | BindingState::Gone => REFUSED,
    }
}

/// Removes the bindings of a queue that is left again and again. Returns only if the subscription has to end.
async fn keep_unbound(bindings: &[Binding], watch: &mut dyn BindingWatch) -> TransportError {
    // Without a binding to remove, the broker is asked nothing.
    if bindings.is_empty() {
        return pending().await;
    }
    loop {
        if let Err(error) = watch.look_unbound(bindings).await {
            return error;
        }
        sleep(BINDING_INTERVAL).await;
    }
}

impl Listener {
    pub(in crate::listener) fn kept_bindings(&self, found: &Subscription) -> KeptBindings {
        KeptBindings::new(found, &self.gauges.gaps().unbound, Instant::now())
    }

    /// Makes the bindings again and again. Returns only if the subscription has to end, see [`BindingWatch::look`].
    pub(in crate::listener) async fn keep_bound(
        &self,
        found: &Subscription,
        kept: &mut KeptBindings,
        watch: Option<Box<dyn BindingWatch>>,
    ) -> TransportError {
        let queues = found.queues().join(", ");
        let Some(mut watch) = watch else { return pending().await };
        if !kept.missing().is_empty() {
            self.say_missing(&queues, kept);
        }
        let (mut had_received, mut is_answered) = (false, true);
        loop {
            self.show_gaps(kept);
            let Some(next) = kept.next() else { return pending().await };
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.gauges.look_is_asked() => kept.hasten(Instant::now()),
            }
            if let Some(bindings) = self.gauges.leaving() {
                return keep_unbound(bindings, &mut *watch).await;
            }
            let due = kept.due(Instant::now());
            // A message may arrive by a binding before the look that makes it ends. A look without an answer may have
            // made bindings too.
            if is_answered {
                had_received = self.gauges.has_received();
            }
            let look = match watch.look(&due).await {
                Ok(look) => look,
                Err(error) => return error,
            };
            is_answered = look.is_some();
            let changes = kept.seen(&due, look, Instant::now());
            if !changes.is_none() {
                self.show_gaps(kept);
                self.say_changes(&queues, kept, &changes, had_received);
                self.gauges.ask_for_survey();
            }
        }
    }

    fn show_gaps(&self, kept: &KeptBindings) {
        let trouble = kept.gap().map(|reason| ConnectionTrouble {
            reason,
            remedy: self.no_exchange_remedy(kept),
            needs_operator: false,
            attempts: 0,
            next: epoch::now() + MISSING,
        });
        self.gauges.failed(trouble);
        self.gauges.set_gaps(kept.gaps());
    }

    fn no_exchange_remedy(&self, kept: &KeptBindings) -> Option<Remedy> {
        let exchange = (*kept.missing().first()?).to_owned();
        self.remedy(&TransportError::NoExchange { exchange })
    }

    fn say_missing(&self, queues: &str, kept: &KeptBindings) {
        let remedy = self.no_exchange_remedy(kept);
        tracing::warn!(
            listener.name = &*self.config.name,
            queue.name = queues,
            reason = kept.gap().unwrap_or_default(),
            remedy = remedy.as_deref(),
            "an exchange is missing: its service creates it with its first notification; osnl looks for it every second, and \
             binds the queue to it"
        );
    }

    fn say_changes(&self, queues: &str, kept: &KeptBindings, changes: &BindingChanges, had_received: bool) {
        let name = &*self.config.name;
        if !changes.missing.is_empty() {
            self.say_missing(queues, kept);
        }
        let gone = UnboundLooks { missing: Instant::now().checked_sub(BINDING_INTERVAL), refused: None };
        let made = changes.made.iter().map(|exchange| (exchange, &gone));
        for (exchange, looks) in changes.ended.iter().chain(made).filter(|_| had_received) {
            self.note_bound(exchange, *looks);
        }
        for (exchange, without) in &changes.bound {
            tracing::info!(
                listener.name = name,
                exchange,
                unbound_seconds = without.as_secs(),
                "the exchange is there and the queue is bound to it; what was published to it before is in \
                 the service's own queues only"
            );
        }
        for exchange in &changes.made {
            tracing::warn!(
                listener.name = name,
                exchange,
                "the exchange was gone, and osnl has made it anew and bound the queue to it (declare = create); what was \
                 published to it meanwhile is lost"
            );
        }
        for error in &changes.refused {
            let remedy = self.remedy(error);
            tracing::warn!(
                listener.name = name,
                queue.name = queues,
                reason = error.to_string(),
                remedy = remedy.as_deref(),
                "the broker refuses to bind the queue again: if its exchange is made anew, nothing comes from it; osnl asks \
                 again each minute and with osnl reload"
            );
        }
        if changes.ended.values().any(|looks| looks.refused.is_some()) {
            tracing::info!(
                listener.name = name,
                queue.name = queues,
                "the broker lets osnl bind the queue again"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use osnl_transport::{BoxFuture, MemoryBroker};

    use super::*;
    use crate::listener::holding::HoldingEndpoint;
    use crate::listener::{GapCause, Gauges, ListenerConfig, subscription};
    use osnl_core::metrics::Counters;

    const KEYS: [&str; 2] = ["n.info", "n.error"];

    fn bindings(exchanges: &[&str]) -> Vec<Binding> {
        let of = |exchange: &&str| {
            let exchange = (*exchange).to_owned();
            KEYS.map(|key| Binding { queue: "q".into(), exchange: exchange.clone(), routing_key: key.into() })
        };
        exchanges.iter().flat_map(of).collect()
    }

    async fn kept(bound: &[&str], unbound: &[&str]) -> KeptBindings {
        let found = subscription("q").await;
        let found = Subscription { bindings: bindings(bound), unbound: bindings(unbound), ..found };
        KeptBindings::new(&found, &BTreeMap::new(), Instant::now())
    }

    #[tokio::test]
    async fn the_gap_counts_exchanges_and_names_the_missing_ones() {
        let gap = |kept: KeptBindings| kept.gap();
        assert_eq!(gap(kept(&["nova"], &[]).await), None);
        assert_eq!(
            gap(kept(&[], &["nova"]).await).as_deref(),
            Some("bound to 0 of 1 exchanges: exchange \"nova\" does not exist yet")
        );
        assert_eq!(
            gap(kept(&["neutron"], &["nova", "ironic"]).await).as_deref(),
            Some("bound to 1 of 3 exchanges: exchanges \"ironic\", \"nova\" do not exist yet")
        );
    }

    fn refused(binding: &Binding) -> (Binding, TransportError) {
        let (what, reason) = ("bind".to_owned(), "403 ACCESS_REFUSED".to_owned());
        (binding.clone(), TransportError::Refused { what, reason, code: Some(403) })
    }

    #[tokio::test(start_paused = true)]
    async fn each_binding_is_looked_at_again_by_what_the_last_look_has_shown() {
        let (neutron, nova) = (bindings(&["neutron"]), bindings(&["nova"]));
        let all = [neutron.clone(), nova.clone()].concat();
        let mut kept = kept(&["neutron", "nova"], &[]).await;
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        assert_eq!((kept.due(at(4)), kept.due(at(5))), (Vec::new(), all.clone()));

        // An exchange goes, while another one is refused.
        let look = BindingLook {
            missing: nova.clone(),
            refused: neutron.iter().map(refused).collect(),
            ..BindingLook::default()
        };
        let changes = kept.seen(&all, Some(look.clone()), at(5));
        assert_eq!((changes.missing.len(), changes.refused.len()), (1, 1), "{changes:?}");
        assert_eq!(
            kept.gap().as_deref(),
            Some("bound to 1 of 2 exchanges: exchange \"nova\" does not exist any more")
        );
        assert!(!kept.gaps().is_unbound);
        assert_eq!(kept.due(at(6)), nova);
        let still = kept.seen(&nova, Some(look.clone()), at(6));
        assert!(still.is_none() && kept.seen(&nova, None, at(7)).is_none());
        assert_eq!((kept.due(at(11)), kept.due(at(12))), (Vec::new(), nova.clone()));

        let changes = kept.seen(&nova, Some(BindingLook::default()), at(12));
        assert_eq!(changes.bound, [("nova".to_owned(), Duration::from_secs(7))]);
        assert!(kept.gap().is_none() && kept.gaps().refused.len() == 2);
        assert_eq!((kept.due(at(64)), kept.due(at(65))), (nova.clone(), all.clone()));
        // The exchange that was refused goes as well, before it is made anew and bound.
        let missing = BindingLook { missing: neutron.clone(), ..BindingLook::default() };
        let changes = kept.seen(&all, Some(missing), at(65));
        assert_eq!((changes.missing.len(), changes.ended.len()), (1, 0), "{changes:?}");
        let changes = kept.seen(&neutron, Some(BindingLook::default()), at(66));
        assert_eq!(changes.bound, [("neutron".to_owned(), Duration::from_secs(1))]);
        let looks = UnboundLooks { missing: Some(at(65)), refused: Some(at(5)) };
        assert_eq!(changes.ended, [("neutron".to_owned(), looks)].into());
        assert!(kept.gaps().refused.is_empty() && kept.gaps().unbound.is_empty());
        assert!(kept.seen(&neutron, Some(BindingLook::default()), at(71)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_looks_from_which_gaps_begin_outlast_each_other_and_the_connection() {
        let mut kept = kept(&["nova"], &[]).await;
        let (begun, nova) = (Instant::now(), bindings(&["nova"]));
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let missing = BindingLook { missing: nova.clone(), ..BindingLook::default() };
        let refused = BindingLook { refused: nova.iter().map(refused).collect(), ..BindingLook::default() };
        for (look, seconds) in [(&missing, 5), (&missing, 6), (&refused, 7)] {
            kept.seen(&nova, Some(look.clone()), at(seconds));
        }
        let looks = |looks| BTreeMap::from([("nova".to_owned(), looks)]);
        let ended = looks(UnboundLooks { missing: Some(at(6)), refused: Some(at(7)) });
        assert_eq!(kept.gaps().unbound, ended);
        let changes = kept.seen(&nova, Some(BindingLook::default()), at(67));
        assert_eq!(changes.ended, ended);
        let found = Subscription { bindings: Vec::new(), unbound: nova, ..subscription("q").await };
        let kept = KeptBindings::new(&found, &ended, at(80));
        assert_eq!(kept.gaps().unbound, looks(UnboundLooks { missing: Some(at(75)), refused: Some(at(7)) }));
    }

    #[tokio::test(start_paused = true)]
    async fn looks_without_an_answer_before_a_refusal_are_a_part_of_its_gap() {
        let mut kept = kept(&["nova"], &[]).await;
        let (begun, nova) = (Instant::now(), bindings(&["nova"]));
        let refused = BindingLook { refused: nova.iter().map(refused).collect(), ..BindingLook::default() };
        let looks =
            [None, Some(BindingLook::default()), None, None, Some(refused.clone()), None, Some(refused)];
        for (look, seconds) in looks.into_iter().zip((5..).step_by(5)) {
            kept.seen(&nova, look, begun + Duration::from_secs(seconds));
        }
        let looks = UnboundLooks { missing: None, refused: Some(begun + Duration::from_secs(15)) };
        assert_eq!(kept.gaps().unbound, [("nova".to_owned(), looks)].into());
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_is_gone_hides_nothing_about_the_others() {
        let (nova, begun) = (bindings(&["nova"]), Instant::now());
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let deleted: Vec<Binding> =
            nova.iter().map(|one| Binding { queue: "deleted".into(), ..one.clone() }).collect();
        let all = [nova.clone(), deleted.clone()].concat();
        let found = Subscription { bindings: all.clone(), unbound: Vec::new(), ..subscription("q").await };
        let mut kept = KeptBindings::new(&found, &BTreeMap::new(), begun);
        let gone = BindingLook { gone: ["deleted".to_owned()].into(), ..BindingLook::default() };
        let look = BindingLook { refused: nova.iter().map(refused).collect(), ..gone.clone() };
        assert_eq!(kept.seen(&all, Some(look), at(5)).refused.len(), 1);
        assert_eq!(kept.gaps().refused.len(), 2);
        let look = BindingLook { missing: nova, ..gone };
        assert_eq!(kept.seen(&all, Some(look), at(65)).missing, ["nova".to_owned()].into());
        assert_eq!((kept.gaps().is_unbound, kept.due(at(124)).contains(&deleted[0])), (false, false));
        // Its exchange has lost nothing for it.
        let changes = kept.seen(&deleted, Some(BindingLook::default()), at(125));
        assert!(changes.is_none(), "{changes:?}");
    }

    fn removed() -> Vec<Binding> {
        vec![Binding { queue: "q".into(), exchange: "left".into(), routing_key: "notifications.info".into() }]
    }

    struct ScriptedWatch(Vec<Result<Option<BindingLook>, TransportError>>);

    impl BindingWatch for ScriptedWatch {
        fn look<'a>(
            &'a mut self,
            _: &'a [Binding],
        ) -> BoxFuture<'a, Result<Option<BindingLook>, TransportError>> {
            Box::pin(std::future::ready(self.0.remove(0)))
        }

        fn look_unbound<'a>(
            &'a mut self,
            bindings: &'a [Binding],
        ) -> BoxFuture<'a, Result<(), TransportError>> {
            assert_eq!(bindings, removed(), "only what is left is removed");
            Box::pin(std::future::ready(self.0.remove(0).map(drop)))
        }
    }

    fn listener() -> Listener {
        let options = osnl_transport::ListenOptions::new(
            Some("q"),
            9,
            osnl_transport::Declare::Passive,
            osnl_transport::QueueKind::OSLO,
        );
        let config = ListenerConfig::new("l".into(), Vec::new(), options);
        let (transport, counters) =
            (Arc::new(MemoryBroker::new().transport()), Arc::new(Counters::default()));
        Listener::new(config, transport, Arc::new(HoldingEndpoint::default()), counters)
    }

    async fn keep_bound(
        listener: &Listener,
        found: &Subscription,
        watch: impl BindingWatch + 'static,
    ) -> TransportError {
        listener.keep_bound(found, &mut listener.kept_bindings(found), Some(Box::new(watch))).await
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_node_that_is_cut_off_ends_the_subscription() {
        let found = subscription("q").await;
        let binding = found.bindings[0].clone();
        let (what, reason) = ("bind".to_owned(), "403 ACCESS_REFUSED".to_owned());
        let refused = TransportError::Refused { what, reason, code: Some(403) };
        let refused = BindingLook { refused: vec![(binding, refused)], ..BindingLook::default() };
        let missing = BindingLook { missing: found.bindings.clone(), ..BindingLook::default() };
        let cut_off = TransportError::Lost { reason: "cut off".to_owned() };
        let answers = vec![
            Ok(None),
            Ok(Some(refused.clone())),
            Ok(Some(refused.clone())),
            Ok(Some(BindingLook::default())),
            Ok(Some(missing)),
            Ok(Some(refused)),
            Ok(Some(BindingLook::default())),
            Err(cut_off),
        ];
        let (listener, begun) = (listener(), Instant::now());
        listener.gauges.set_received_before();
        let ended = keep_bound(&listener, &found, ScriptedWatch(answers)).await;
        assert_eq!(ended.to_string(), "connection lost: cut off");
        // Two usual looks, two after a refusal, a usual one, one for the missing exchange, one after a refusal, and the last.
        assert_eq!(begun.elapsed().as_secs(), 5 + 5 + 60 + 60 + 5 + 1 + 60 + 5);
        let gaps = listener.gaps.0.open_gaps();
        let gaps: Vec<_> = gaps.iter().map(|gap| (gap.cause, gap.is_certain)).collect();
        assert_eq!(gaps, [(GapCause::BindingRefused, false), (GapCause::ExchangeMissing, true)]);
    }

    /// A message arrives during each look, as by the binding that the look makes.
    struct BusyWatch(Arc<Gauges>, ScriptedWatch);

    impl BindingWatch for BusyWatch {
        fn look<'a>(
            &'a mut self,
            bindings: &'a [Binding],
        ) -> BoxFuture<'a, Result<Option<BindingLook>, TransportError>> {
            self.0.received(1);
            self.1.look(bindings)
        }

        fn look_unbound<'a>(
            &'a mut self,
            bindings: &'a [Binding],
        ) -> BoxFuture<'a, Result<(), TransportError>> {
            self.1.look_unbound(bindings)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_message_by_a_new_binding_shows_no_gap_before_it() {
        let check = async |answers: Vec<Option<BindingLook>>, expected: Option<GapCause>| {
            let found = Subscription {
                bindings: Vec::new(),
                unbound: bindings(&["nova"]),
                ..subscription("q").await
            };
            let cut_off = TransportError::Lost { reason: "cut off".to_owned() };
            let answers = answers.into_iter().map(Ok).chain([Err(cut_off)]).collect();
            let listener = listener();
            let watch = BusyWatch(listener.gauges.clone(), ScriptedWatch(answers));
            keep_bound(&listener, &found, watch).await;
            let gaps = listener.gaps.0.open_gaps();
            assert_eq!(gaps.first().map(|gap| gap.cause), expected, "{gaps:?}");
        };
        let missing = BindingLook { missing: bindings(&["nova"]), ..BindingLook::default() };
        let bound = BindingLook::default;
        let made = BindingLook { made: vec!["nova".to_owned()], ..bound() };
        check(vec![Some(bound())], None).await;
        check(vec![None, Some(bound())], None).await;
        for again in [vec![Some(bound()), Some(missing), Some(bound())], vec![Some(bound()), Some(made)]] {
            check(again, Some(GapCause::ExchangeMissing)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_is_left_is_not_bound_again_and_its_node_is_watched() {
        let (found, listener) = (subscription("q").await, listener());
        let cut_off = || Err(TransportError::Lost { reason: "cut off".to_owned() });
        listener.gauges.leave(&removed());
        let begun = Instant::now();
        let answers = vec![Ok(None), Ok(None), cut_off()];
        let ended = keep_bound(&listener, &found, ScriptedWatch(answers)).await;
        assert_eq!((ended.to_string().as_str(), begun.elapsed().as_secs()), ("connection lost: cut off", 15));
    }
}
