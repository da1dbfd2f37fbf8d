//! `[canary]`: osnl's own notifications through the broker, a rule, and the journal.
//!
//! The section becomes a rule before all others, an action, and a binding with its own routing key. No section can
//! have the canary's names, so no event of a service is taken for a canary.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use osnl_config::sections::SectionReader;
use osnl_config::{Options as _, ReadBySection, options};
use osnl_model::{NotificationFilter, Pattern};
use osnl_transport::Declare;

use super::kinds::{ACTION, LISTENER};
use super::{ActionConf, ListenerConf, RuleConf};
use crate::action::driver::{ActionDriver, ReadDriver as _};
use crate::actions::canary::CanaryDriver;
use crate::delivery::{
    BatchLimits, DeliveryLimits, DeliverySettings, HostLimits, RetryPolicy, WhenExhausted,
};
use crate::journal::JournalTerms;
use crate::metrics::Canary;
use crate::rule::Rule;

pub(crate) const NAME: &str = Canary::ACTION;
pub(crate) const TOPIC: &str = "osnl_canary";
pub(crate) const EVENT_TYPE: &str = Canary::EVENT_TYPE;
pub(crate) const PUBLISHER: &str = "osnl.";

options! {
    pub(super) struct CanaryOptions {
        listener: ReadBySection, written("name of a listener") => "Listener that must receive the canary. The canary is published to the listener's first exchange as osnl.canary, with the routing key osnl_canary.info. That needs write permission on the exchange; queues bound with # receive it too. The listener must have a pool.";
        every: Duration = "1m", at_least("1s") => "Interval between two canaries.";
        action: ReadBySection, written("name of an action") => "Action that is called with each canary. Without it, no action is called.";
    }
}

/// The settings of `[canary]`, which proves by a message of its own that messages pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryConf {
    pub listener: Arc<str>,
    pub every: Duration,
    pub action: Option<Arc<str>>,
}

pub(super) fn canary(
    reader: &mut SectionReader<'_>,
    listeners: &[&str],
    actions: &[&str],
) -> Option<Option<CanaryConf>> {
    let own = CanaryOptions::read(reader);
    let action = match reader.is_set("action") {
        true => one(reader, "action", ACTION, actions).map(Some),
        false => Some(None),
    };
    if !reader.is_set("listener") {
        if reader.is_set("action") {
            reader.warn("action", "has no effect without listener", "set listener, or remove the line");
        }
        return Some(None);
    }
    let listener = one(reader, "listener", LISTENER, listeners);
    Some(Some(CanaryConf { listener: listener?, every: own?.every, action: action? }))
}

fn one(reader: &mut SectionReader<'_>, option: &str, kind: &str, known: &[&str]) -> Option<Arc<str>> {
    let names = reader.references(option, kind, known)?;
    match &names[..] {
        [name] => Some(name.as_str().into()),
        _ => reader.refuse(option, "names several", "name one"),
    }
}

pub(super) fn add(
    reader: &mut SectionReader<'_>,
    conf: &CanaryConf,
    listeners: &mut [ListenerConf],
    rules: &mut Vec<RuleConf>,
    actions: &mut Vec<ActionConf>,
) -> Option<()> {
    let listener = listeners.iter_mut().find(|listener| listener.name == conf.listener)?;
    if listener.declare == Declare::Nothing || listener.pool.is_none() || !listener.driver().has_pools() {
        let problem = "names a listener that has no queue of its own to bind";
        return reader.refuse("listener", problem, "name one with a pool");
    }
    if !rules.iter().any(|rule| rule.enabled && rule.listeners.contains(&conf.listener)) {
        let problem = "names a listener without an enabled rule, which is not started";
        return reader.refuse("listener", problem, "name another, or write a rule");
    }
    listener.has_canary = true;
    let pattern = |text: &str| Pattern::new(text).ok();
    let filter = NotificationFilter {
        event_type: Some(pattern(r"^osnl\.canary$")?),
        publisher_id: Some(pattern(r"^osnl\.")?),
        ..NotificationFilter::default()
    };
    let name: Arc<str> = NAME.into();
    let rule = Rule {
        name: name.clone(),
        filter,
        actions: std::iter::once(name.clone()).chain(conf.action.clone()).collect(),
        stop: true,
        ..Rule::default()
    };
    let listeners = vec![conf.listener.clone()];
    rules.insert(0, RuleConf { rule, listeners, enabled: true, guard: None, expect: None });
    actions.push(ActionConf {
        name,
        driver: ActionDriver::new(CanaryDriver::TABLE, CanaryDriver),
        delivery: DeliverySettings {
            concurrency: 1,
            timeout: Duration::from_secs(30),
            policy: RetryPolicy {
                max_attempts: NonZeroU32::MIN,
                initial: Duration::from_secs(1),
                max: Duration::from_secs(60),
                jitter: 0.0,
            },
            when_exhausted: WhenExhausted::DeadLetter,
            limits: DeliveryLimits::default(),
            batch: BatchLimits::default(),
            rate: None,
            hosts: HostLimits::default(),
        },
        when: None,
        on_failure: None,
        guard: None,
        terms: JournalTerms::default(),
        enrich: Vec::new(),
    });
    Some(())
}
