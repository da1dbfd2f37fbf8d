//! The meaning of a `k2hr3_osnl.conf`: one listener, one rule, one action.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use osnl::actions::k2hr3::K2hr3;
use osnl::assembly::{BuildError, OpenedJournal};
use osnl::control::{ControlHandler, Store};
use osnl::daemon::{Daemon, DaemonError};
use osnl::intake::RuleEngine;
use osnl::listener::{Listener, ListenerConfig};
use osnl_core::ends::EndReports;
use osnl_core::metrics::Counters;
use osnl_core::rule::Rule;
use osnl_delivery::{
    BatchLimits, DeliveryLimits, DeliveryLoop, DeliverySettings, HostLimits, RetryPolicy, WhenExhausted,
};
use osnl_journal::Journal;
use osnl_journal::in_hand::InHand;
use osnl_journal::memory::MemoryJournal;
use osnl_model::{NotificationFilter, Pattern, Priority, Target};
use osnl_net::http::{HttpError, HttpOptions, Verification};
use osnl_transport::{Declare, ListenOptions, RabbitOptions, Transport};

use super::Conf;
use super::wire_log::WireLog;
use crate::incidents;

pub(super) const NAME: &str = "k2hr3_osnl";

/// The prefetch count. k2hr3_osnl set no limit and could fill its memory.
pub(super) const PREFETCH: u16 = 200;

const CONCURRENCY: usize = 16;

impl Conf {
    /// Returns the options of the URL's query, and oslo.messaging's heartbeat. A section
    /// `[oslo_messaging_rabbit]` is ignored, as in k2hr3_osnl.
    #[must_use]
    pub fn rabbit(&self) -> RabbitOptions {
        let url = &self.oslo_messaging_notifications.transport_url;
        RabbitOptions::from_query(url).unwrap_or_default().with_oslo_heartbeat()
    }

    /// Returns the queue: topic exchange and pool queue declared as by k2hr3_osnl, bound with
    /// `<topic>.info` only.
    #[must_use]
    pub fn listener(&self) -> ListenerConfig {
        let options = &self.oslo_messaging_notifications;
        let rabbit = self.rabbit();
        let targets = vec![(Target::new(options.exchange(), &options.topic), Priority::Info)];
        let (prefetch, queue) = (rabbit.prefetch().unwrap_or(PREFETCH), rabbit.queue().as_oslo());
        let options = ListenOptions::new(options.pool(), prefetch, Declare::Create, queue);
        ListenerConfig { refused_access_is_fatal: true, ..ListenerConfig::new(NAME.into(), targets, options) }
    }

    #[must_use]
    pub fn rule(&self) -> Rule {
        let options = &self.oslo_messaging_notifications;
        Rule {
            name: NAME.into(),
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

    /// `max_retries` bounds the attempts after K2HR3's *answers*. A target without an answer, or
    /// with 408, 425, 429 or 5xx, is held without end. The pause grows from one second up to
    /// `retry_interval_seconds`. A failure returns to the broker with `requeue_on_error` and
    /// `allow_requeue`, else it is a dead letter.
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

    #[must_use]
    pub fn http_options(&self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> HttpOptions {
        let mut options = HttpOptions::from_environment(environment);
        if self.k2hr3.allow_self_signed_cert {
            options.verification = Verification::None;
        }
        options
    }

    pub fn action(&self, http: &HttpOptions) -> Result<K2hr3, HttpError> {
        K2hr3::new(self.k2hr3.api_url.clone(), http)
    }

    pub fn daemon(
        &self,
        transport: Arc<dyn Transport>,
        counters: &Arc<Counters>,
        http: &HttpOptions,
    ) -> Result<Daemon, StartError> {
        self.daemon_with(transport, counters, http, self.delivery())
    }

    pub fn daemon_with(
        &self,
        transport: Arc<dyn Transport>,
        counters: &Arc<Counters>,
        http: &HttpOptions,
        delivery: DeliverySettings,
    ) -> Result<Daemon, StartError> {
        let part = EndpointPart { rule: self.rule(), action: self.action(http)?, delivery };
        let journal = self.open_journal(counters)?;
        Ok(assemble(self.listener(), vec![part], journal, transport, counters))
    }

    pub(super) fn open_journal(&self, counters: &Arc<Counters>) -> Result<OpenJournal, StartError> {
        let opened = self.journal.open(self.listener().options.prefetch, Default::default(), counters);
        let OpenedJournal { journal, store, sqlite, memory } = opened.map_err(StartError::Journal)?;
        let (mut ends, mut in_hand) = Default::default();
        if let Some(sqlite) = sqlite {
            in_hand =
                sqlite.file().parent().map_or_else(InHand::default, |folder| InHand::open(folder, true));
            sqlite.hold_suspects(in_hand.take_suspects());
            ends = sqlite.ends();
        }
        Ok(OpenJournal { journal, store, memory, ends, in_hand: Arc::new(in_hand) })
    }
}

/// Returns the error with which a daemon ended, with the remedy of the broker.
#[must_use]
pub fn explained(error: &DaemonError, listener: &ListenerConfig, transport: &dyn Transport) -> String {
    let remedy = match error {
        DaemonError::Listener(error) => transport.remedy(error, &listener.targets, &listener.options),
        DaemonError::Unexpected(_) => None,
    };
    remedy.map_or_else(|| error.to_string(), |remedy| format!("{error}; {remedy}"))
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Journal(BuildError),
}

pub(super) struct OpenJournal {
    journal: Arc<dyn Journal>,
    store: Store,
    memory: Option<Arc<MemoryJournal>>,
    ends: EndReports,
    in_hand: Arc<InHand>,
}

pub(super) struct EndpointPart {
    pub(super) rule: Rule,
    pub(super) action: K2hr3,
    pub(super) delivery: DeliverySettings,
}

pub(super) fn assemble(
    listener: ListenerConfig,
    parts: Vec<EndpointPart>,
    opened: OpenJournal,
    transport: Arc<dyn Transport>,
    counters: &Arc<Counters>,
) -> Daemon {
    let OpenJournal { journal, store, memory, ends, in_hand } = opened;
    let wire_log = Arc::new(WireLog::new(memory.is_some()));
    if let Some(memory) = memory {
        let log = wire_log.clone();
        memory.on_return(Box::new(move |event| log.returned(event)));
    }
    let several = parts.len() > 1;
    let mut rules = Vec::new();
    let mut deliveries = Vec::new();
    for (number, EndpointPart { mut rule, action, delivery }) in (1..).zip(parts) {
        let name: Arc<str> = if several { format!("{NAME}.{number}").into() } else { NAME.into() };
        rule.name = name.clone();
        rule.actions = vec![name.clone()];
        rules.push(rule);
        let log = wire_log.clone();
        let action = Arc::new(action.with_observer(move |event, host| log.read(event, host)));
        let delivery = DeliveryLoop::new(name, action, journal.clone(), delivery, counters.clone())
            .with_observer(wire_log.clone());
        deliveries.push(delivery.with_in_hand(in_hand.clone()));
    }
    let engine =
        Arc::new(RuleEngine::new(rules, journal.clone(), counters.clone()).with_in_hand(in_hand.clone()));
    let listener = Listener::new(listener, transport, engine, counters.clone());
    let daemon = Daemon::new(vec![listener], deliveries, journal).watching(ends).recording(in_hand);
    let handler = ControlHandler::for_daemon(store, daemon.state(), counters.clone());
    incidents::logged(daemon, Arc::new(handler))
}

/// Converts a pattern to osnl's own form, where an empty pattern is an error: `.*` matches
/// everything.
pub(super) fn native_pattern(pattern: &Pattern) -> Pattern {
    let all = || Pattern::new(".*").unwrap_or_else(|_| pattern.clone());
    if pattern.as_str().is_empty() { all() } else { pattern.clone() }
}
