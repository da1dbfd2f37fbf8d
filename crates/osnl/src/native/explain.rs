//! Explains a configuration in sentences, for `osnl check`.

use std::time::Duration;

use osnl_config::size;
use osnl_config::template::Expression;
use osnl_model::{Pattern, Predicate, TransportUrl};
use osnl_transport::{Declare, QueueArguments, QueueKind, QueueType};

use super::{ActionConf, JournalConf, ListenerConf, Native, RuleConf, deliveries, rabbit};
use crate::enrich::{EnrichConf, OnError};
use crate::journal::sqlite::JournalRate;
use crate::numbers::{counted, exact, grouped};
use crate::rule::{KeySource, Mode};

impl Native {
    #[must_use]
    pub fn explain(&self) -> String {
        let mut out = String::new();
        journal(&mut out, &self.journal);
        for cost in self.cost_of_a_dead_machine() {
            line(&mut out, 1, &format!("machine    {cost}"));
        }
        for conf in &self.listeners {
            let started = if self.rules_of(conf).is_empty() { " (not started: no enabled rule)" } else { "" };
            line(&mut out, 0, &format!("listener {}{started}", conf.name));
            listener(&mut out, conf);
        }
        for conf in &self.rules {
            let off = if conf.enabled { "" } else { " (not enabled)" };
            line(&mut out, 0, &format!("rule {}{off}", conf.rule.name));
            rule(&mut out, conf, &self.journal);
        }
        for conf in &self.actions {
            line(&mut out, 0, &format!("action {}", conf.name));
            action(&mut out, conf);
            let mut before: Vec<&EnrichConf> = Vec::new();
            for asked in self.asked_by(conf) {
                let which = match (&asked.id, before.iter().find(|by| by.brings(asked.kind))) {
                    (Some(id), _) => format!("id {}", id.shown()),
                    (None, Some(by)) => format!("that of {}, else the event's", by.name),
                    (None, None) => "the event's".to_owned(),
                };
                line(
                    &mut out,
                    1,
                    &format!("asks       [enrich:{}] for the {}: {which}", asked.name, asked.kind),
                );
                before.push(asked);
            }
        }
        for conf in &self.enrichments {
            line(&mut out, 0, &format!("enrich {}", conf.name));
            enrich(&mut out, conf);
        }
        out
    }
}

fn enrich(out: &mut String, conf: &EnrichConf) {
    let EnrichConf { name: _, kind, id, cloud, limits, default, on_error } = conf;
    let id = id.as_ref().map_or("that the event is about".to_owned(), |id| id.shown().into_owned());
    line(out, 1, &format!("asks       {} for the {kind} {id}", cloud.auth_url));
    line(out, 1, &format!("as         {}", cloud.shown()));
    let ttl = |ttl: Duration| match ttl {
        Duration::ZERO => "not at all".to_owned(),
        ttl => format!("for {}", exact(ttl)),
    };
    let (known, gone) = (ttl(limits.cache_ttl), ttl(limits.negative_ttl));
    let size = counted(limits.cache_size as u64, "answer", "answers");
    line(out, 1, &format!("cache      {size}, kept {known}; that an object does not exist, {gone}"));
    let rate = limits.rate.map_or_else(String::new, |rate| {
        format!(", at most {} in {}", grouped(rate.keys.into()), exact(rate.within))
    });
    line(out, 1, &format!("time       {}{rate}", exact(limits.timeout)));
    line(out, 1, &format!("missing    the event's value, else the last value seen, else {default}"));
    let error = match on_error {
        OnError::Retry => "the delivery waits, and no attempt is used up",
        OnError::Default => "as if the object did not exist",
    };
    line(out, 1, &format!("no answer  {error}"));
}

fn line(out: &mut String, depth: usize, text: &str) {
    out.push_str(&"  ".repeat(depth));
    // Configured values may have line ends, which would break the output's lines.
    out.push_str(&osnl_model::one_line(text));
    out.push('\n');
}

fn journal(out: &mut String, conf: &JournalConf) {
    let options = match conf {
        JournalConf::Sqlite(options) => options,
        JournalConf::Memory => {
            line(out, 0, "journal in memory");
            return line(
                out,
                1,
                "messages   acknowledged after their last outcome; until then the broker keeps them",
            );
        }
    };
    line(out, 0, &format!("journal {}", options.path.display()));
    line(out, 1, "messages   acknowledged when they are stored on disk");
    let days = options.bounds.retention.as_secs_f64() / 86_400.0;
    line(
        out,
        1,
        &format!(
            "history    ended deliveries are kept for {} days, or less if their space is needed",
            (days * 100.0).round() / 100.0
        ),
    );
    let size = match options.bounds.max_size {
        Some(bytes) => size::shown(bytes.0),
        None => "10 GiB (or half of the free disk space, if that is less)".to_owned(),
    };
    line(
        out,
        1,
        &format!(
            "limits     file size {size}, {} pending deliveries per action, {} dead letters",
            grouped(options.bounds.max_pending),
            grouped(options.bounds.max_dead)
        ),
    );
    if let Some(rate) = conf.rate() {
        line(out, 1, &format!("rate       {}", at_rate(rate, options.bounds.retention, options.max_size())));
    }
    if options.bounds.allow_volatile {
        line(out, 1, "place      may be lost with a restart of the machine");
    }
}

/// Describes what the bounds of a journal mean at a rate.
fn at_rate(rate: JournalRate, retention: Duration, max_size: u64) -> String {
    let JournalRate { events, bytes } = rate;
    let days = retention.as_secs_f64() / 86_400.0;
    let kept = (events as f64 * days).round() as u64;
    let fit = max_size / bytes.max(1);
    format!(
        "{} a day, {} each: retention keeps {} in {}, and the file has room for {}, {:.1} days",
        counted(events, "event", "events"),
        about(bytes),
        counted(kept, "event", "events"),
        about(kept.saturating_mul(bytes)),
        grouped(fit),
        fit as f64 / events.max(1) as f64
    )
}

/// `4.3 KiB`, `26.1 GiB`.
fn about(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(unit, name)| format!("{:.1} {name}", bytes as f64 / unit as f64),
    )
}

fn listener(out: &mut String, conf: &ListenerConf) {
    line(out, 1, &format!("broker     {}", place(&conf.transport_url)));
    #[cfg(feature = "amqp1")]
    if conf.driver() == osnl_brokers::Driver::Amqp1 {
        super::amqp1::explain(conf).iter().for_each(|text| line(out, 1, text));
        return;
    }
    #[cfg(feature = "kafka")]
    if conf.driver() == osnl_brokers::Driver::Kafka {
        super::kafka::explain(conf).iter().for_each(|text| line(out, 1, text));
        return;
    }
    let exchange = match conf.declare {
        Declare::Passive => Some("awaited until its service creates it"),
        Declare::Create => Some("created if missing"),
        Declare::Nothing => None,
    };
    if let Some(exchange) = exchange {
        for name in &conf.exchanges {
            line(out, 1, &format!("exchange   {name}, {exchange}"));
        }
    }
    let priorities: Vec<&str> = conf.priorities.iter().map(|priority| priority.as_str()).collect();
    for topic in &conf.topics {
        line(out, 1, &format!("bindings   {topic}.{{{}}}", priorities.join(",")));
    }
    if conf.has_canary {
        let canary = "osnl_canary.info; osnl needs write permission on the first exchange, and readers bound with # \
                      receive it";
        line(out, 1, &format!("canary     {canary}"));
    }
    queues(out, conf);
    line(out, 1, &format!("prefetch   at most {} unacknowledged messages", conf.prefetch));
    for text in rabbit::explain(conf) {
        line(out, 1, &text);
    }
}

fn queues(out: &mut String, conf: &ListenerConf) {
    let kind = &conf.queue;
    match (conf.declare, &conf.pool) {
        (Declare::Nothing, pool) => {
            let pool = pool.as_deref().unwrap_or_default();
            line(
                out,
                1,
                &format!("queue      {pool}, awaited until it exists; nothing is declared or bound"),
            );
        }
        (Declare::Passive | Declare::Create, Some(pool)) => {
            line(out, 1, &format!("queue      {pool}, created if missing: {}", made(kind)));
        }
        (Declare::Passive | Declare::Create, None) => {
            let what = "the services' own, one for each binding; each message goes to one of its consumers";
            line(out, 1, &format!("queues     {what}"));
            line(out, 1, &format!("queues     created if missing: {}", made(kind)));
        }
    }
    let list = |arguments: &QueueArguments| {
        let list: Vec<String> = arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
        list.join(", ")
    };
    if !kind.arguments.is_empty() {
        line(out, 1, &format!("arguments  {}", list(&kind.arguments)));
    }
}

fn made(kind: &QueueKind) -> String {
    let mut words = match kind.queue_type {
        QueueType::Classic if kind.durable => "durable".to_owned(),
        QueueType::Classic => "transient: lost with its messages when the broker restarts".to_owned(),
        QueueType::Quorum => "quorum".to_owned(),
    };
    if kind.single_active_consumer {
        let between = if kind.durable { "," } else { ";" };
        words.push_str(&format!("{between} single active consumer"));
    }
    if let Some(limit) = kind.delivery_limit {
        words.push_str(&format!(", delivered at most {limit} times again"));
    }
    if kind.auto_delete {
        words.push_str(", deleted with its last consumer");
    }
    words
}

fn place(url: &TransportUrl) -> String {
    let hosts: Vec<String> = osnl_brokers::addresses(url).collect();
    format!("{}, virtual host {}", hosts.join(", "), url.virtual_host())
}

fn rule(out: &mut String, conf: &RuleConf, journal: &JournalConf) {
    let (rule, filter) = (&conf.rule, &conf.rule.filter);
    line(out, 1, &format!("listeners  {}", conf.listeners.join(", ")));
    let single = [(Predicate::EventType, &filter.event_type), (Predicate::PublisherId, &filter.publisher_id)];
    let mut conditions: Vec<String> = Vec::new();
    if let Some(priorities) = &rule.priorities {
        let priorities: Vec<&str> = priorities.iter().map(|priority| priority.as_str()).collect();
        conditions.push(format!("priority is {}", priorities.join(" or ")));
    }
    let matches = |predicate: &Predicate, pattern: &Pattern| {
        format!("{predicate} matches {}", predicate.shown(pattern.as_str()))
    };
    for (predicate, pattern) in &single {
        conditions.extend(pattern.iter().map(|pattern| matches(predicate, pattern)));
    }
    for (key, pattern) in &filter.context {
        conditions.push(matches(&Predicate::Context(key.clone()), pattern));
    }
    for (key, pattern) in &filter.metadata {
        conditions.push(matches(&Predicate::Metadata(key.clone()), pattern));
    }
    for (key, pattern) in &filter.payload {
        conditions.push(matches(&Predicate::Payload(key.clone()), pattern));
    }
    conditions.extend(rule.nested.iter().map(|nested| matches(&nested.predicate, &nested.pattern)));
    conditions.extend(rule.when.iter().map(Expression::shown));
    if conditions.is_empty() {
        conditions.push("any message".to_owned());
    }
    for (n, condition) in conditions.iter().enumerate() {
        line(out, 1, &format!("{:<10} {condition}", if n == 0 { "if" } else { "and" }));
    }
    let stop = if rule.stop { "; later rules are skipped" } else { "" };
    line(out, 1, &format!("actions    {}{stop}", rule.actions.join(", ")));
    match rule.mode {
        Mode::Live => {}
        Mode::Shadow => line(out, 1, "shadow     deliveries are only recorded, nothing is called"),
    }
    if rule.key != KeySource::Resource {
        line(out, 1, &format!("order      by {}", rule.key));
    }
    if rule.order_by_event_time {
        let forgets = match journal {
            JournalConf::Sqlite(_) => "",
            JournalConf::Memory => "; with memory://, a restart forgets the times of those before it",
        };
        line(
            out,
            1,
            &format!("overtaken  an event that is older than one before it becomes a dead letter{forgets}"),
        );
    }
    if let Some(rate) = conf.guard {
        line(out, 1, &format!("guard      {rate}; more waits for release"));
    }
}

fn action(out: &mut String, conf: &ActionConf) {
    let driver = conf.driver.conf();
    let mut say = |word: &str, text: &str| line(out, 1, &format!("{word:<10} {text}"));
    say("effect", &driver.does());
    if let Some(when) = &conf.when {
        say("if", &when.shown());
    }
    deliveries::explain_retries(conf, &mut say);
    for (word, text) in driver.explain() {
        say(word, &text);
    }
    deliveries::explain(conf, &mut say);
    if let Some(fallback) = &conf.on_failure {
        say("on failure", &format!("each dead letter is also handed to {}", fallback.action));
    }
    if conf.terms.overflows {
        say("full", "deliveries beyond max_pending become dead letters");
    }
    match conf.guard {
        Some(rate) => {
            say("guard", &format!("{rate}; more waits for release"));
        }
        None if driver.traits().destroys => {
            say("guard", "none; recommended for an action that deletes: guard = 100 per 10m");
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_events_and_days_at_a_rate() {
        let rate = JournalRate { events: 8_640_000, bytes: 4400 };
        assert_eq!(
            at_rate(rate, Duration::from_secs(7 * 86_400), 10 << 30),
            "8,640,000 events a day, 4.3 KiB each: retention keeps 60,480,000 events in 247.8 GiB, and the file has room \
             for 2,440,322, 0.3 days"
        );
        let rate = JournalRate { events: 1, bytes: 900 };
        assert_eq!(
            at_rate(rate, Duration::from_secs(43_200), 1 << 20),
            "1 event a day, 900 B each: retention keeps 1 event in 900 B, and the file has room for 1,165, 1165.0 days"
        );
    }
}
