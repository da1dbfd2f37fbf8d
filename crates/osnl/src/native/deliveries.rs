//! The delivery options of rules and actions: key, mode, guard, age, hold, and overflow.

use std::num::NonZeroU32;
use std::time::Duration;

use osnl_config::sections::SectionReader;
use osnl_config::{Kind, OptionDef, Rate, duration, shown};

use super::{ActionConf, JournalConf, RuleConf};
use crate::action::driver::{MOST_AT_ONCE, Retries, rate};
use crate::delivery::{
    BatchLimits, DeliveryLimits, DeliverySettings, HostLimits, OnDead, RetryPolicy, WhenExhausted,
};
use crate::rule::{KeySource, Mode};

#[rustfmt::skip]
pub(super) static ACTION_OPTIONS: &[OptionDef] = &[
    OptionDef::new("driver", "name", "Kind of the action. Must be set."),
    OptionDef::new("when", "expression", "Expression that must be true, whichever rule calls the action; otherwise there is no delivery. In a bulk request it sees the one resource. If it uses a value of enrich, it is evaluated before the first attempt, and false means that no action is needed."),
    OptionDef::new("timeout", "duration", "Longest time of one attempt.").or("30s"),
    OptionDef::typed("max_attempts", Kind::Integer, "Attempts that the target may refuse (400, 403 and the like) before the delivery is given up. Attempts without an answer don't count; see retry_max_age.").or("6"),
    OptionDef::new("retry_interval", "duration", "Longest pause between two attempts. The first pause is a second, and each is about twice the one before.").or("60s"),
    OptionDef::new("when_exhausted", "dead_letter or return", "Effect of giving up: dead_letter keeps the delivery as a dead letter; return gives the message back to the broker.").or("dead_letter"),
    OptionDef::typed("concurrency", Kind::Integer, "Most attempts at the same time, each for a different resource, 1 to 1000.").or("16"),
    OptionDef::typed("batch", Kind::Integer, "Most events in one call, 1 to 1000. For a driver that sends events one by one it only changes the number of calls at a time.").or("1"),
    OptionDef::new("rate", "number per duration", "Most calls within a time, such as 100 per 10m; further ones wait. Without it: no limit."),
    OptionDef::new("retry_max_age", "duration", "Time after the first attempt within which a delivery must succeed; then it becomes a dead letter. none: no limit. Time in which its target is held does not count.").or("24h"),
    OptionDef::new("hold_max", "duration", "Longest time for which a delivery waits for a held target; then it becomes a dead letter. Without it: no limit."),
    OptionDef::new("on_failure", "name of an action", "Action that is called, once, for each delivery that this one gives up; the dead letter stays. That action may have an on_failure too."),
    OptionDef::new("on_dead", "release_key or hold_key", "release_key: deliveries behind a dead letter of the same resource continue. hold_key: they wait until the dead letter is retried or discarded.").or("release_key"),
    OptionDef::new("on_full", "stop_intake or dead_letter", "Effect of reaching max_pending: stop_intake stops the listeners concerned; dead_letter makes further deliveries dead letters.").or("stop_intake"),
    OptionDef::new("guard", "number per duration", "Most different resources within a time, as for a rule, over all rules that call the action."),
    OptionDef::new("enrich", "list", "Sections [enrich:NAME] to query before the first attempt, in this order. Templates and when have the results under the sections' names."),
];

const MOST_GATHERED: usize = 500;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverflowPolicy {
    /// The listeners of this action stop reading.
    #[default]
    StopIntake,
    /// The deliveries are dead letters at once.
    DeadLetter,
}

pub(super) fn key(reader: &mut SectionReader<'_>) -> Option<KeySource> {
    let text = reader.text("key")?;
    match KeySource::parse(&text) {
        Some(key) => Some(key),
        None => {
            let problem = format!("{} names nothing to order by", shown(&text));
            let allowed =
                "allowed: resource, none, or a path such as payload.port.network_id or context.project_id";
            reader.refuse("key", &problem, allowed)
        }
    }
}

pub(super) fn mode(reader: &mut SectionReader<'_>) -> Option<Mode> {
    reader.word("mode", &[("live", Mode::Live), ("shadow", Mode::Shadow)])
}

const MOST_EXPECTED: u32 = 10_000;

pub(super) fn expect(reader: &mut SectionReader<'_>) -> Option<Option<Rate>> {
    match rate(reader, "expect", "messages")? {
        Some(expected) if expected.keys > MOST_EXPECTED => {
            reader.refuse("expect", "is too many messages to remember", "allowed: 1 to 10000 per 1s to 7d")
        }
        expected => Some(expected),
    }
}

pub(super) fn max_event_age(reader: &mut SectionReader<'_>) -> Option<Option<Duration>> {
    const OPTION: &str = "max_event_age";
    const YEARS: Duration = Duration::from_secs(3650 * 86_400);
    if !reader.is_set(OPTION) {
        return Some(None);
    }
    reader.duration_within(OPTION, Duration::from_secs(1), YEARS).map(Some)
}

pub(super) fn guard(reader: &mut SectionReader<'_>) -> Option<Option<Rate>> {
    rate(reader, "guard", "different resources")
}

/// Reads an action's settings; `gathers` and `hosts` are the driver's.
pub(super) fn settings(
    reader: &mut SectionReader<'_>,
    gathers: Option<Duration>,
    hosts: HostLimits,
) -> Option<DeliverySettings> {
    let timeout = reader.duration("timeout", Duration::from_millis(1));
    let max_attempts = reader.number("max_attempts", 1, u32::MAX);
    let max = reader.duration("retry_interval", Duration::ZERO);
    let exhausted = [("dead_letter", WhenExhausted::DeadLetter), ("return", WhenExhausted::Return)];
    let when_exhausted = reader.word("when_exhausted", &exhausted);
    let concurrency = reader.number("concurrency", 1, MOST_AT_ONCE);
    let (batch, rate) = (batch(reader, gathers), rate(reader, "rate", "calls"));
    let limits = limits(reader);
    let max_attempts = NonZeroU32::new(max_attempts?)?;
    Some(DeliverySettings {
        concurrency: usize::try_from(concurrency?).ok()?,
        timeout: timeout?,
        policy: RetryPolicy { max_attempts, initial: FIRST_PAUSE, max: max?, jitter: 0.2 },
        when_exhausted: when_exhausted?,
        limits: limits?,
        batch: batch?,
        rate: rate?,
        hosts,
    })
}

/// Reads the batch limits; `gathers` is the time for which the driver collects events.
fn batch(reader: &mut SectionReader<'_>, gathers: Option<Duration>) -> Option<BatchLimits> {
    let most = reader.number("batch", 1, MOST_AT_ONCE);
    let most = usize::try_from(most?).ok()?;
    if let Some(wait) = gathers {
        let most = if reader.is_set("batch") { most } else { MOST_GATHERED };
        return Some(BatchLimits { most, wait, whole: true });
    }
    Some(BatchLimits { most, ..BatchLimits::default() })
}

fn limits(reader: &mut SectionReader<'_>) -> Option<DeliveryLimits> {
    let max_age = max_age(reader);
    let hold_max = time(reader, "hold_max");
    let on_dead =
        reader.word("on_dead", &[("release_key", OnDead::ReleaseKey), ("hold_key", OnDead::HoldKey)]);
    Some(DeliveryLimits { max_age: max_age?, hold_max: hold_max?, on_dead: on_dead? })
}

/// Reads the retry limit, by default a day, so that no delivery is retried for ever unasked.
fn max_age(reader: &mut SectionReader<'_>) -> Option<Option<Duration>> {
    if reader.text("retry_max_age")?.trim() == "none" {
        return Some(None);
    }
    reader.duration("retry_max_age", Duration::from_secs(1)).map(Some)
}

fn time(reader: &mut SectionReader<'_>, option: &str) -> Option<Option<Duration>> {
    if !reader.is_set(option) {
        return Some(None);
    }
    reader.duration(option, Duration::from_secs(1)).map(Some)
}

pub(super) fn explain_retries(conf: &ActionConf, say: &mut impl FnMut(&str, &str)) {
    let (driver, settings) = (conf.driver.conf(), &conf.delivery);
    if let Some(refuser) = driver.traits().refuser {
        let end = match settings.when_exhausted {
            WhenExhausted::DeadLetter => "then a dead letter",
            WhenExhausted::Return => "then back to the broker",
        };
        let Retries { counted, uncounted, down } = driver.retries(refuser);
        let age = match settings.limits.max_age {
            Some(age) => format!(
                "retried for up to {} after the first attempt, then a dead letter",
                duration::shown(age)
            ),
            None => "retried without limit; retry_max_age sets one".to_owned(),
        };
        let held = match driver.traits().hosts {
            Some(_) => "the host is held; a failed connection counts as an attempt",
            None => "the target is held; its deliveries wait and don't age",
        };
        say("down", &format!("{down}: {held}"));
        say("temporary", &format!("{uncounted}: {age}"));
        let most = match settings.policy.max_attempts.get() {
            1 => "1 attempt".to_owned(),
            most => format!("{most} attempts"),
        };
        say("refusals", &format!("{counted}: at most {most}, {end}"));
        let (timeout, pause) = (settings.timeout.as_secs_f64(), settings.policy.max.as_secs_f64());
        say("timeout", &format!("{timeout} s per attempt; pauses between attempts 1 s to {pause} s"));
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
        let wait = match batch.wait.as_secs_f64() {
            0.0 => String::new(),
            wait => format!("; the first waits {wait} s for others"),
        };
        say("batch", &format!("up to {} events in one call{wait}", batch.most));
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
    if let Some(held) = hold_max {
        say("held", &format!("for at most {}, then dead letters", duration::shown(held)));
    }
    if on_dead == OnDead::HoldKey {
        say("dead", "the next deliveries of the resource wait");
    }
}

pub(super) fn on_full(reader: &mut SectionReader<'_>) -> Option<OverflowPolicy> {
    reader.word(
        "on_full",
        &[("stop_intake", OverflowPolicy::StopIntake), ("dead_letter", OverflowPolicy::DeadLetter)],
    )
}

/// Refuses options of a rule that only a persistent journal can serve.
pub(super) fn kept_rule(reader: &mut SectionReader<'_>, journal: &JournalConf, rule: &RuleConf) {
    if *journal == JournalConf::Memory && rule.guard.is_some() {
        refuse_guard(reader);
    }
}

pub(super) fn kept_action(reader: &mut SectionReader<'_>, journal: &JournalConf, action: &ActionConf) {
    if *journal != JournalConf::Memory {
        return;
    }
    if action.guard.is_some() {
        refuse_guard(reader);
    }
    if action.delivery.limits.on_dead == OnDead::HoldKey {
        let problem = "memory:// keeps no dead letter that could hold its key";
        reader.refuse::<()>("on_dead", problem, "remove it, or set sqlite:// in [journal] connection");
    }
    if reader.is_set("on_full") {
        let problem = "has no effect for memory://, where the broker keeps what waits";
        reader.warn("on_full", problem, "remove it, or set sqlite:// in [journal] connection");
    }
}

fn refuse_guard(reader: &mut SectionReader<'_>) {
    let problem = "memory:// can't hold deliveries for an operator";
    reader.refuse::<()>("guard", problem, "remove it, or set sqlite:// in [journal] connection");
}
