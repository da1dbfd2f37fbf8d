//! The delivery options of rules and actions: key, mode, guard, age, hold, and overflow.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use osnl_brokers::Driver;
use osnl_config::sections::SectionReader;
use osnl_config::{OptionDef, OptionValue as _, Rate, ReadBySection, duration, options, words};
use osnl_transport::{QueueKind, QueueType};

use super::{ActionConf, JournalConf, ListenerConf, RuleConf};
use crate::action::driver::{NativeReader as _, Retries};
use crate::delivery::{
    BatchLimits, DeliveryLimits, DeliverySettings, HostLimits, OnDead, RetryPolicy, WhenExhausted,
};
use crate::journal::JournalTerms;
use crate::journal::memory::STAY;
use crate::numbers::{counted, exact};
use crate::rule::KeySource;

options! {
    pub(super) struct ActionOptions {
        driver: ReadBySection, written("name") => "Kind of the action. Must be set.";
        when: ReadBySection, written("expression") => "Expression that must be true, whichever rule calls the action; otherwise there is no delivery. In a bulk request it sees the one resource. If it uses a value of enrich, it is evaluated before the first attempt, and false means that no action is needed.";
        timeout: Duration = "30s", at_least("1ms") => "Longest time of one attempt.";
        max_attempts: NonZeroU32 = "6" => "Attempts that the target may refuse (400, 403 and the like) before the delivery is given up. Attempts without an answer, with a refused login, or at a target that is down don't count; see retry_max_age.";
        retry_interval: Duration = "60s" => "Longest pause between two attempts. The first pause is a second, and each is about twice the one before.";
        when_exhausted: WhenExhausted = "dead_letter" => "Effect of giving up: dead_letter keeps the delivery as a dead letter; return gives the message back to the broker.";
        concurrency: usize = "16", within("1", "1000") => "Most attempts at the same time, each for a different resource.";
        batch: usize = "1", within("1", "1000") => "Most events in one call. For a driver that sends events one by one it only changes the number of calls at a time.";
        rate: Option<Rate> => "Most calls within a time, such as 100 per 10m; further ones wait. Without it: no limit.";
        retry_max_age: Option<Duration> as max_age = "24h", written("duration") => "Time after the first attempt within which a delivery must succeed; then it becomes a dead letter. none: no limit. Time in which its target is down does not count, unless the event names the host.";
        hold_max: Option<Duration>, at_least("1s") => "Longest time for which a delivery waits for a target that is down; then it becomes a dead letter. Without it: no limit.";
        on_failure: ReadBySection, written("name of an action") => "Action that is called, once, for each delivery that this one gives up; the dead letter stays. That action may have an on_failure too.";
        on_dead: OnDead = "release_key" => "release_key: deliveries behind a dead letter of the same resource continue. hold_key: they wait until the dead letter is retried or discarded.";
        on_full: OverflowPolicy = "stop_intake" => "Effect of reaching max_pending: stop_intake stops the listeners concerned; dead_letter makes further deliveries dead letters.";
        max_dead_age: Option<Duration>, within("1m", "3650d") => "Time after which a dead letter is discarded, also one that holds its key. Without it: never.";
        guard: Option<Rate> => "Most different resources within a time, as for a rule, over all rules that call the action.";
        enrich: ReadBySection, written("list") => "Sections [enrich:NAME] to query before the first attempt, in this order. Templates and when have the results under the sections' names.";
    }
}

/// The returns after which a quorum queue without a limit of its own drops a message, since RabbitMQ 4.0.
const DEFAULT_RETURNS: u32 = 20;
/// The time that a full window of one action may take if other actions share it.
const FULL_WINDOW: Duration = Duration::from_secs(60);
const MOST_GATHERED: usize = 500;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The consequence when an action has `max_pending` deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OverflowPolicy {
    #[default]
    StopIntake,
    DeadLetter,
}

words!(OverflowPolicy: "stop_intake" => OverflowPolicy::StopIntake, "dead_letter" => OverflowPolicy::DeadLetter);

pub(super) fn key(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<KeySource> {
    reader.compiled(option.name, KeySource::parse).ok().map(Option::unwrap_or_default)
}

const MOST_EXPECTED: u32 = 10_000;

pub(super) fn expect(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<Rate>> {
    match <Option<Rate>>::read(reader, option)? {
        Some(expected) if expected.keys > MOST_EXPECTED => {
            let allowed = "allowed: 1 to 10000 per 1s to 7d";
            reader.refuse(option.name, "is too many messages to remember", allowed)
        }
        expected => Some(expected),
    }
}

impl ActionOptions {
    pub(super) fn terms(&self) -> JournalTerms {
        JournalTerms {
            overflows: self.on_full == OverflowPolicy::DeadLetter,
            max_dead_age: self.max_dead_age,
        }
    }

    /// Returns an action's settings; `gathers` and `hosts` are the driver's, and `sets_batch` is whether the
    /// section sets `batch`.
    pub(super) fn settings(
        &self,
        gathers: Option<Duration>,
        hosts: HostLimits,
        sets_batch: bool,
    ) -> DeliverySettings {
        let batch = match gathers {
            Some(wait) => {
                BatchLimits { most: if sets_batch { self.batch } else { MOST_GATHERED }, wait, whole: true }
            }
            None => BatchLimits { most: self.batch, ..BatchLimits::default() },
        };
        let max_attempts = self.max_attempts;
        DeliverySettings {
            concurrency: self.concurrency,
            timeout: self.timeout,
            policy: RetryPolicy { max_attempts, initial: FIRST_PAUSE, max: self.retry_interval, jitter: 0.2 },
            when_exhausted: self.when_exhausted,
            limits: DeliveryLimits {
                max_age: self.retry_max_age,
                hold_max: self.hold_max,
                on_dead: self.on_dead,
            },
            batch,
            rate: self.rate,
            hosts,
        }
    }
}

/// Reads the retry limit, by default a day, so that no delivery is retried for ever unasked.
fn max_age(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<Duration>> {
    if reader.text(option.name)?.trim() == "none" {
        return Some(None);
    }
    reader.duration(option.name, Duration::from_secs(1)).map(Some)
}

pub(super) fn explain_retries(conf: &ActionConf, say: &mut impl FnMut(&str, &str)) {
    let (driver, settings) = (conf.driver.conf(), &conf.delivery);
    if let Some(refuser) = driver.traits().refuser {
        let end = match settings.when_exhausted {
            WhenExhausted::DeadLetter => "then a dead letter",
            WhenExhausted::Return => "then back to the broker",
        };
        let most = counted(settings.policy.max_attempts.get().into(), "attempt", "attempts");
        let Retries { counted, uncounted, down } = driver.retries(refuser);
        let age = match settings.limits.max_age {
            Some(age) => format!(
                "retried for up to {} after the first attempt, then a dead letter",
                duration::shown(age)
            ),
            None => "retried without limit; retry_max_age sets one".to_owned(),
        };
        let held = match driver.traits().hosts {
            Some(_) => "the host is down; its deliveries wait and age",
            None => "the target is down; its deliveries wait and don't age",
        };
        say("down", &format!("{down}: {held}"));
        say("temporary", &format!("{uncounted}: {age}"));
        say("refusals", &format!("{counted}: at most {most}, {end}"));
        let RetryPolicy { initial, max, .. } = settings.policy;
        let mut pauses = exact(initial);
        if max > initial {
            pauses.push_str(&format!(" to {}", exact(max)));
        }
        let timeout = exact(settings.timeout);
        say("timeout", &format!("{timeout} per attempt; pauses between attempts {pauses}"));
    }
}

pub(super) fn explain(conf: &ActionConf, say: &mut impl FnMut(&str, &str)) {
    let settings = &conf.delivery;
    let DeliveryLimits { max_age: _, hold_max, on_dead } = settings.limits;
    let usual = conf.default_of("concurrency").and_then(|text| text.parse().ok());
    if usual != Some(settings.concurrency) {
        say("parallel", &format!("at most {} attempts", settings.concurrency));
    }
    let batch = settings.batch;
    if batch.most > 1 {
        let wait = match batch.wait {
            Duration::ZERO => String::new(),
            wait => format!("; the first waits {} for others", exact(wait)),
        };
        say("batch", &format!("up to {} in one call{wait}", counted(batch.most as u64, "event", "events")));
    }
    if let Some(rate) = settings.rate {
        say(
            "rate",
            &format!(
                "at most {} calls per {}",
                rate.keys,
                rate.to_string().split(" per ").nth(1).unwrap_or_default()
            ),
        );
    }
    if let Some(down) = hold_max {
        let most = duration::shown(down);
        say("waiting", &format!("at most {most} while the target is down, then dead letters"));
    }
    if on_dead == OnDead::HoldKey {
        say("dead", "the next deliveries of the resource wait");
    }
    if let Some(age) = conf.terms.max_dead_age {
        say("dead", &format!("discarded after {}", duration::shown(age)));
    }
}

/// Refuses a guard of a rule whose listeners have no queue for the deliveries that it holds.
pub(super) fn kept_rule(
    reader: &mut SectionReader<'_>,
    journal: &JournalConf,
    rule: &RuleConf,
    listeners: &[ListenerConf],
) {
    if rule.guard.is_some()
        && let Some(listener) = without_letters(journal, [rule], listeners)
    {
        refuse_without_letters(reader, "guard", "hold deliveries for an operator", &listener.name);
    }
}

/// Refuses options of an action that hold deliveries, if a listener of the action has no queue for waiting ones. Warns of
/// waits that are too long.
pub(super) fn kept_action(
    reader: &mut SectionReader<'_>,
    journal: &JournalConf,
    action: &ActionConf,
    rules: &[RuleConf],
    listeners: &[ListenerConf],
) {
    warn_of_absent_hosts(reader, journal, action);
    if *journal != JournalConf::Memory {
        return;
    }
    let calling = rules.iter().filter(|rule| rule.rule.takes_places_of().any(|name| *name == action.name));
    let without = without_letters(journal, calling, listeners);
    if let (true, Some(listener)) = (action.guard.is_some(), without) {
        refuse_without_letters(reader, "guard", "hold deliveries for an operator", &listener.name);
    }
    if let (OnDead::HoldKey, Some(listener)) = (action.delivery.limits.on_dead, without) {
        refuse_without_letters(reader, "on_dead", "keep a dead letter that holds its key", &listener.name);
    }
    let calling = rules.iter().filter(|rule| rule.rule.takes_places_of().any(|name| *name == action.name));
    refuse_lost_waits(reader, action, calling, listeners);
    warn_of_long_stays(reader, action, rules, listeners);
    for option in ["on_full", "max_dead_age"] {
        if reader.is_set(option) {
            let problem = "has no effect for memory://, where the broker keeps what waits";
            reader.warn(option, problem, "remove it, or set sqlite:// in [journal] connection");
        }
    }
}

/// Warns of waits for a host that an event names and that may never answer, unless `hold_max` ends them.
fn warn_of_absent_hosts(reader: &mut SectionReader<'_>, journal: &JournalConf, action: &ActionConf) {
    let DeliveryLimits { max_age, hold_max, on_dead: _ } = action.delivery.limits;
    if hold_max.is_some() || action.driver.conf().traits().hosts.is_none() {
        return;
    }
    let problem = match (max_age, *journal == JournalConf::Memory) {
        (None, _) => "deliveries to a host that never answers wait without an end",
        (Some(_), true) => {
            "messages to hosts that never answer fill the window (prefetch), and all others wait"
        }
        (Some(_), false) => return,
    };
    reader.warn("hold_max", problem, "set it to the longest time for which a host may be down, such as 10m");
}

/// Returns a listener of these rules without a queue for dead letters, if the journal is `memory://`.
fn without_letters<'l, 'r>(
    journal: &JournalConf,
    rules: impl IntoIterator<Item = &'r RuleConf>,
    listeners: &'l [ListenerConf],
) -> Option<&'l ListenerConf> {
    if *journal != JournalConf::Memory {
        return None;
    }
    let names: BTreeSet<&Arc<str>> = rules.into_iter().flat_map(|rule| &rule.listeners).collect();
    let mut used = listeners.iter().filter(|listener| names.contains(&listener.name));
    used.find(|listener| !listener.keeps_dead_letters)
}

/// Refuses waits during which the broker drops the message: it returns each 15 minutes, and each return counts against the
/// delivery limit of its queue. Warns of waits for a target that have no end before that unless an option sets one.
fn refuse_lost_waits<'r>(
    reader: &mut SectionReader<'_>,
    action: &ActionConf,
    rules: impl IntoIterator<Item = &'r RuleConf>,
    listeners: &[ListenerConf],
) {
    let names: BTreeSet<&Arc<str>> = rules.into_iter().flat_map(|rule| &rule.listeners).collect();
    let used = listeners.iter().filter(|listener| names.contains(&listener.name));
    let limited = used.filter_map(|listener| Some((listener, listener.queue.most_returns()?)));
    let Some((listener, limit)) = limited.min_by_key(|(_, limit)| *limit) else { return };
    let stay = STAY.saturating_mul(limit.saturating_add(1));
    let lost = format!(
        "memory:// returns a message each {}, and the queue of [listener:{}] drops it after {limit} (delivery_limit)",
        duration::shown(STAY),
        listener.name
    );
    let less = format!("less than {}", duration::shown(stay));
    let DeliverySettings { batch, limits, rate, hosts, .. } = action.delivery;
    let traits = action.driver.conf().traits();
    let own = [("digest", batch.wait)].into_iter().chain(traits.delays);
    let rates = [("rate", rate), ("host_rate", hosts.rate)].into_iter();
    let rates = rates.filter_map(|(option, rate)| Some((option, rate?.within)));
    let waits = own.chain(rates).chain(limits.hold_max.map(|wait| ("hold_max", wait)));
    for (option, _) in waits.filter(|(_, wait)| *wait >= stay) {
        let problem = format!("the wait may not end: {lost}");
        let allowed = format!("allowed: {less}, no delivery_limit, or sqlite:// in [journal] connection");
        reader.refuse::<()>(option, &problem, &allowed);
    }
    // Without a target there is nothing to wait for.
    if traits.refuser.is_none() {
        return;
    }
    let endless = [
        ("hold_max", limits.hold_max.is_none(), "a delivery may wait longer for a target that is down"),
        (
            "retry_max_age",
            limits.max_age.is_none_or(|age| age >= stay),
            "a delivery may be retried for longer than its message stays",
        ),
    ];
    for (option, _, wait) in endless.into_iter().filter(|(_, is_endless, _)| *is_endless) {
        let remedy = format!(
            "set {option} to {less}, remove delivery_limit, or set sqlite:// in [journal] connection"
        );
        reader.warn(option, &format!("{wait}: {lost}"), &remedy);
    }
}

/// Warns of waits within which a full window of messages returns to its queue again and again, and of a `rate` that keeps
/// the window of other actions full.
fn warn_of_long_stays(
    reader: &mut SectionReader<'_>,
    action: &ActionConf,
    rules: &[RuleConf],
    listeners: &[ListenerConf],
) {
    let calling = rules.iter().filter(|rule| rule.rule.takes_places_of().any(|name| *name == action.name));
    let names: BTreeSet<&Arc<str>> = calling.flat_map(|rule| &rule.listeners).collect();
    let used = listeners.iter().filter(|listener| names.contains(&listener.name));
    let used: Vec<&ListenerConf> = used.filter(|listener| listener.driver() == Driver::Rabbit).collect();
    let limit = used.iter().filter_map(|listener| listener.queue.most_returns()).min();
    let is_refused =
        |wait: Duration| limit.is_some_and(|limit| wait >= STAY.saturating_mul(limit.saturating_add(1)));
    let DeliverySettings { batch, rate, hosts, .. } = action.delivery;
    let stay = duration::shown(STAY);
    let lost = format!("memory:// returns a message to its queue each {stay}{}", drops(&used));
    let journal = "sqlite:// in [journal] connection";
    if batch.wait > STAY && !is_refused(batch.wait) {
        let problem = format!("a message waits longer than it may stay unacknowledged: {lost}");
        reader.warn("digest", &problem, &format!("set digest to at most {stay}, or {journal}"));
    }
    let window: u32 = used.iter().map(|listener| u32::from(listener.prefetch)).sum();
    let calls = window.div_ceil(u32::try_from(batch.most).unwrap_or(u32::MAX).max(1));
    for (option, rate) in [("rate", rate), ("host_rate", hosts.rate)] {
        let Some(rate) = rate.filter(|rate| !is_refused(rate.within)) else { continue };
        let takes = rate.within.saturating_mul(calls) / rate.keys.max(1);
        // Deliveries that wait for `host_rate` make way for those of other hosts.
        let other = if option == "rate" { sharing(action, rules, &names) } else { None };
        let most = if other.is_some() { FULL_WINDOW } else { STAY };
        if takes <= most {
            continue;
        }
        let whose = if option == "rate" { "" } else { " for one host" };
        let shown = duration::shown(Duration::from_secs(takes.as_secs().div_ceil(60) * 60));
        let is_lost = takes > STAY;
        let mut problem = format!("{window} messages{whose} (prefetch) take about {shown} at {rate}");
        if is_lost {
            problem.push_str(&format!(", but {lost}"));
        }
        if let Some((listener, other)) = other {
            let waits = format!(
                "; while they fill the window of [listener:{listener}], events of action {other} wait"
            );
            problem.push_str(&waits);
        }
        let fitting = STAY.as_millis() * u128::from(rate.keys) / rate.within.as_millis().max(1);
        let fitting = fitting * batch.most as u128;
        let instead = match other {
            None if fitting > 0 => format!(", prefetch to at most {fitting}"),
            Some(_) if !is_lost => ", a listener with another pool for its rules".to_owned(),
            None | Some(_) => String::new(),
        };
        let most = duration::shown(most);
        reader.warn(
            option,
            &problem,
            &format!("set {option} to at least {calls} per {most}{instead}, or {journal}"),
        );
    }
}

/// Returns a listener of these and another action that its rules call: the messages of both have one window.
fn sharing<'r>(
    action: &ActionConf,
    rules: &'r [RuleConf],
    names: &BTreeSet<&Arc<str>>,
) -> Option<(&'r Arc<str>, &'r Arc<str>)> {
    rules.iter().filter(|rule| rule.enabled).find_map(|conf| {
        let listener = conf.listeners.iter().find(|name| names.contains(*name))?;
        let is_other = |name: &&Arc<str>| **name != action.name && conf.rule.actions.contains(name);
        Some((listener, conf.rule.takes_places_of().find(is_other)?))
    })
}

/// Describes the returns after which a queue drops a message, if one of these listeners has such a queue.
fn drops(used: &[&ListenerConf]) -> String {
    let limited = used.iter().filter_map(|listener| Some((listener, listener.queue.most_returns()?)));
    if let Some((listener, limit)) = limited.min_by_key(|(_, limit)| *limit) {
        return format!(
            ", and the queue of [listener:{}] drops it after {limit} (delivery_limit)",
            listener.name
        );
    }
    // osnl sets no limit for a queue of its own; the services' queues have the broker's.
    let of_broker = |queue: &QueueKind| queue.queue_type == QueueType::Quorum && queue.oslo_arguments;
    match used.iter().find(|listener| of_broker(&listener.queue)) {
        Some(listener) => format!(
            ", and RabbitMQ 4 drops it after {DEFAULT_RETURNS} by default (the quorum queue of [listener:{}])",
            listener.name
        ),
        None => String::new(),
    }
}

fn refuse_without_letters(reader: &mut SectionReader<'_>, option: &str, what: &str, listener: &str) {
    let problem = format!(
        "memory:// can't {what}: [listener:{listener}] has no queue of its own for waiting deliveries"
    );
    let allowed = "set pool and queue_type = quorum in the listener, remove the option, or set sqlite:// in [journal] connection";
    reader.refuse::<()>(option, &problem, allowed);
}
