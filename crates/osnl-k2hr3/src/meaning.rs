//! The meaning of a `k2hr3_osnl.conf`: one listener, one rule, one action.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use osnl::action::k2hr3::K2hr3;
use osnl::assembly::BuildError;
use osnl::control::Store;
use osnl::daemon::Daemon;
use osnl::intake::RuleEngine;
use osnl::listener::{GIVE_BACK_AFTER, Listener, ListenerConfig};
use osnl_core::attempt::Action;
use osnl_core::ends::EndReports;
use osnl_core::metrics::Counters;
use osnl_core::rule::Rule;
use osnl_delivery::{
    BatchLimits, DeliveryLimits, DeliveryLoop, DeliverySettings, HostLimits, RetryPolicy, WhenExhausted,
};
use osnl_http::{HttpError, HttpOptions, Verification};
use osnl_journal::Journal;
use osnl_journal::in_hand::InHand;
use osnl_model::{NotificationFilter, Pattern, Priority, Target};
use osnl_transport::{Declare, ListenOptions, RabbitOptions, Transport};

use super::Conf;
use super::wire_log::{WireLog, log_returned};

/// The one name of the listener, the rule and the action.
pub(super) const NAME: &str = "k2hr3_osnl";

/// Unsettled messages that the broker may hand us. k2hr3_osnl set no limit and could fill its memory.
pub(super) const PREFETCH: u16 = 200;

/// Calls of K2HR3 under way at once, each for another instance.
const CONCURRENCY: usize = 16;

impl Conf {
    /// The queue that is consumed, and how it is declared: topic exchange and pool queue as k2hr3_osnl
    /// declares them, bound with `<topic>.info` only.
    #[must_use]
    pub fn listener(&self) -> ListenerConfig {
        let options = &self.oslo_messaging_notifications;
        // The query was checked with the URL. It counts as it did for oslo.messaging; a section
        // [oslo_messaging_rabbit] does not, as it did not for k2hr3_osnl.
        let rabbit = RabbitOptions::from_query(&options.transport_url).unwrap_or_default();
        ListenerConfig {
            budget: Default::default(),
            name: NAME.into(),
            targets: vec![(Target::new(&options.exchange, &options.topic), Priority::Info)],
            options: ListenOptions {
                bodies: Default::default(),
                pool: Some(options.pool.clone()),
                prefetch: rabbit.prefetch().unwrap_or(PREFETCH),
                declare: Declare::Create,
                queue: rabbit.queue().as_oslo(),
            },
            refused_access_is_fatal: true,
            give_back_after: GIVE_BACK_AFTER,
        }
    }

    /// Returns the rule for the notifications that count.
    #[must_use]
    pub fn rule(&self) -> Rule {
        let options = &self.oslo_messaging_notifications;
        Rule {
            name: NAME.into(),
            // oslo.messaging looks for the endpoint's method by the priority in the body, whatever the key.
            priorities: Some(BTreeSet::from([Priority::Info])),
            filter: NotificationFilter {
                publisher_id: Some(native_pattern(&options.publisher_id)),
                event_type: Some(native_pattern(&options.event_type)),
                context: options.context.iter().cloned().collect(),
                metadata: options.metadata.iter().cloned().collect(),
                payload: options.payload.iter().cloned().collect(),
            },
            actions: vec![NAME.into()],
            ..Rule::default()
        }
    }

    /// Returns the delivery settings that the retry options mean here.
    ///
    /// `max_retries` bounds the attempts on K2HR3's *answers*; a target that does not answer, or answers
    /// 408, 425, 429 or 5xx, is held without end. The pause grows from one second up to
    /// `retry_interval_seconds`. What ends without success goes back to the broker with
    /// `requeue_on_error` and `allow_requeue`, else it is a dead letter.
    #[must_use]
    pub fn delivery(&self) -> DeliverySettings {
        let k2hr3 = &self.k2hr3;
        let requeue = k2hr3.requeue_on_error && self.oslo_messaging_notifications.allow_requeue;
        DeliverySettings {
            concurrency: CONCURRENCY,
            timeout: Duration::from_secs(k2hr3.timeout_seconds.into()),
            policy: RetryPolicy {
                max_attempts: NonZeroU32::MIN.saturating_add(k2hr3.max_retries),
                initial: Duration::from_secs(1),
                max: Duration::from_secs(k2hr3.retry_interval_seconds.into()),
                jitter: 0.2,
            },
            when_exhausted: if requeue { WhenExhausted::Return } else { WhenExhausted::DeadLetter },
            limits: DeliveryLimits::default(),
            batch: BatchLimits::default(),
            rate: None,
            hosts: HostLimits::default(),
        }
    }

    /// Returns the HTTP options of K2HR3: the proxies and CA certificates that these variables of the environment name
    /// ([`HttpOptions::from_environment`]); with `allow_self_signed_cert`, any server is believed.
    #[must_use]
    pub fn http_options(&self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> HttpOptions {
        let mut options = HttpOptions::from_environment(environment);
        if self.k2hr3.allow_self_signed_cert {
            options.verification = Verification::None;
        }
        options
    }

    /// The call of K2HR3.
    ///
    /// # Errors
    /// `api_url` is `https` and there are no CA certificates where they should be, or the proxy for it cannot
    /// be used.
    pub fn action(&self, http: &HttpOptions) -> Result<K2hr3, HttpError> {
        K2hr3::new(self.k2hr3.api_url.clone(), http)
    }

    /// Builds the daemon, which listens by `transport`, on the journal of `[journal]`.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn daemon(
        &self,
        transport: Arc<dyn Transport>,
        counters: &Arc<Counters>,
        http: &HttpOptions,
    ) -> Result<Daemon, StartError> {
        self.daemon_with(transport, counters, http, self.delivery())
    }

    /// Like `daemon`, with other delivery settings than the file's.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn daemon_with(
        &self,
        transport: Arc<dyn Transport>,
        counters: &Arc<Counters>,
        http: &HttpOptions,
        delivery: DeliverySettings,
    ) -> Result<Daemon, StartError> {
        let part = EndpointPart { rule: self.rule(), action: Arc::new(self.action(http)?), delivery };
        let journal = self.open_journal(counters)?;
        Ok(assemble(self.listener(), vec![part], journal, transport, counters))
    }

    pub(super) fn open_journal(&self, counters: &Arc<Counters>) -> Result<OpenJournal, StartError> {
        let opened = self.journal.open(self.listener().options.prefetch, None, Default::default(), counters);
        let (journal, store) = opened.map_err(StartError::Journal)?;
        let (ends, in_hand) = match &store {
            Store::Sqlite(sqlite, path) => {
                let in_hand = path.parent().map_or_else(InHand::default, |folder| InHand::open(folder, true));
                sqlite.hold_suspects(in_hand.take_suspects());
                (sqlite.ends(), in_hand)
            }
            // Without a file it has no folder of its own either.
            Store::Memory(memory, _) => {
                memory.on_return(Box::new(log_returned));
                Default::default()
            }
            Store::Shared(..) | Store::File(_) => Default::default(),
        };
        Ok(OpenJournal { journal, ends, in_hand: Arc::new(in_hand) })
    }
}

/// The reason why a valid configuration cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The certificates or the proxy for K2HR3.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The file of `[journal]`.
    #[error(transparent)]
    Journal(BuildError),
}

/// A journal, and the watch over its users.
pub(super) struct OpenJournal {
    journal: Arc<dyn Journal>,
    ends: EndReports,
    in_hand: Arc<InHand>,
}

/// One endpoint's share of a daemon.
pub(super) struct EndpointPart {
    pub(super) rule: Rule,
    pub(super) action: Arc<dyn Action>,
    pub(super) delivery: DeliverySettings,
}

/// One listener, and a rule with an action for each part. Several parts are told apart by a number.
pub(super) fn assemble(
    listener: ListenerConfig,
    parts: Vec<EndpointPart>,
    opened: OpenJournal,
    transport: Arc<dyn Transport>,
    counters: &Arc<Counters>,
) -> Daemon {
    let OpenJournal { journal, ends, in_hand } = opened;
    let wire_log = Arc::new(WireLog::default());
    let several = parts.len() > 1;
    let mut rules = Vec::new();
    let mut deliveries = Vec::new();
    for (number, EndpointPart { mut rule, action, delivery }) in (1..).zip(parts) {
        let name: Arc<str> = if several { format!("{NAME}.{number}").into() } else { NAME.into() };
        rule.name = name.clone();
        rule.actions = vec![name.clone()];
        rules.push(rule);
        let delivery = DeliveryLoop::new(name, action, journal.clone(), delivery, counters.clone())
            .with_observer(wire_log.clone());
        deliveries.push(delivery.with_in_hand(in_hand.clone()));
    }
    let engine =
        Arc::new(RuleEngine::new(rules, journal.clone(), counters.clone()).with_in_hand(in_hand.clone()));
    let listener = Listener::new(listener, transport, engine, counters.clone());
    Daemon::new(vec![listener], deliveries, journal).watching(ends).recording(in_hand)
}

/// A pattern in osnl's own form, in which an empty one is an error: what matches all is `.*`.
pub(super) fn native_pattern(pattern: &Pattern) -> Pattern {
    let all = || Pattern::new(".*").unwrap_or_else(|_| pattern.clone());
    if pattern.as_str().is_empty() { all() } else { pattern.clone() }
}
