//! What a `k2hr3_osnl.conf` means: one listener, one rule, one action.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use osnl_model::{NotificationFilter, Priority, Target};
use osnl_transport::{Declare, ListenOptions, QueueKind, Transport};

use super::Conf;
use crate::action::Action;
use crate::action::k2hr3::{ForNoAddresses, K2hr3, NoAddresses};
use crate::daemon::Daemon;
use crate::delivery::{DeliveryLoop, DeliverySettings, RetryPolicy, WhenExhausted};
use crate::endpoint::RuleEngine;
use crate::journal::memory::{MemoryJournal, MemoryLimits};
use crate::listener::{Listener, ListenerConfig};
use crate::metrics::Counters;
use crate::rule::Rule;

/// The one name of the listener, the rule and the action.
pub(super) const NAME: &str = "k2hr3_osnl";

/// Unsettled messages that the broker may hand us. k2hr3_osnl set no limit and could fill its memory.
pub(super) const PREFETCH: u16 = 200;

/// Calls of K2HR3 under way at once, each for another instance. k2hr3_osnl had up to 64.
const CONCURRENCY: usize = 16;

impl Conf {
    /// The queue that is consumed, and how it is declared: topic exchange and pool queue as k2hr3_osnl
    /// declares them, bound with `<topic>.info` only.
    #[must_use]
    pub fn listener(&self) -> ListenerConfig {
        let options = &self.oslo_messaging_notifications;
        ListenerConfig {
            name: NAME.into(),
            targets: vec![(Target::new(&options.exchange, &options.topic), Priority::Info)],
            options: ListenOptions {
                pool: Some(options.pool.clone()),
                prefetch: PREFETCH,
                declare: Declare::Create,
                queue: QueueKind::OSLO,
            },
            refused_access_is_fatal: true,
        }
    }

    /// Which notifications count.
    #[must_use]
    pub fn rule(&self) -> Rule {
        let options = &self.oslo_messaging_notifications;
        Rule {
            name: NAME.into(),
            // oslo.messaging looks for the endpoint's method by the priority in the body, whatever the key.
            priorities: Some(BTreeSet::from([Priority::Info])),
            filter: NotificationFilter {
                publisher_id: Some(options.publisher_id.clone()),
                event_type: Some(options.event_type.clone()),
                context: options.context.iter().cloned().collect(),
                metadata: options.metadata.iter().cloned().collect(),
                payload: options.payload.iter().cloned().collect(),
            },
            actions: vec![NAME.into()],
        }
    }

    /// What the retry options mean here.
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
        }
    }

    /// All of it, listening by `transport`; `memory://` is the journal, as k2hr3_osnl kept no state.
    ///
    /// # Errors
    /// `api_url` is `https` and the system's certificates cannot be read.
    pub fn daemon(&self, transport: Arc<dyn Transport>, counters: &Arc<Counters>) -> std::io::Result<Daemon> {
        self.daemon_with(transport, counters, self.delivery())
    }

    /// The same with other delivery settings than the file's.
    ///
    /// # Errors
    /// As [`Conf::daemon`].
    pub fn daemon_with(
        &self,
        transport: Arc<dyn Transport>,
        counters: &Arc<Counters>,
        delivery: DeliverySettings,
    ) -> std::io::Result<Daemon> {
        let action = K2hr3::new(self.k2hr3.api_url.clone())?;
        let action: Arc<dyn Action> = Arc::new(ForNoAddresses::new(action, NoAddresses::All));
        let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(PREFETCH), counters.clone()));
        let engine = Arc::new(RuleEngine::new(vec![self.rule()], journal.clone(), counters.clone()));
        let listener = Listener::new(self.listener(), transport, engine, counters.clone());
        let delivery = DeliveryLoop::new(NAME, action, journal.clone(), delivery, counters.clone());
        Ok(Daemon { listeners: vec![listener], deliveries: vec![delivery], journal })
    }
}
