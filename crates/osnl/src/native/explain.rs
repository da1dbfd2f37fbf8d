//! What a configuration would do, in sentences: the output of `osnl check`.

use osnl_model::TransportUrl;
use osnl_transport::Declare;

use super::rabbit;
use super::{ActionConf, Driver, ListenerConf, Native, RuleConf};
use crate::action::k2hr3::NoAddresses;
use crate::delivery::WhenExhausted;

impl Native {
    /// One block for each listener, rule and action. No secret.
    #[must_use]
    pub fn explain(&self) -> String {
        let mut out = String::new();
        for conf in &self.listeners {
            let started = if self.rules_of(conf).is_empty() { " (not started: no enabled rule)" } else { "" };
            line(&mut out, 0, &format!("listener {}{started}", conf.name));
            listener(&mut out, conf);
        }
        for conf in &self.rules {
            let off = if conf.enabled { "" } else { " (not enabled)" };
            line(&mut out, 0, &format!("rule {}{off}", conf.rule.name));
            rule(&mut out, conf);
        }
        for conf in &self.actions {
            line(&mut out, 0, &format!("action {}", conf.name));
            action(&mut out, conf);
        }
        out
    }
}

fn line(out: &mut String, depth: usize, text: &str) {
    out.push_str(&"  ".repeat(depth));
    // What is configured may hold line ends; the explanation is lines.
    out.extend(text.chars().flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] }));
    out.push('\n');
}

fn listener(out: &mut String, conf: &ListenerConf) {
    line(out, 1, &format!("broker     {}", place(&conf.transport_url)));
    let exchange = match conf.declare {
        Declare::Passive => "looked for about once a second until its service has made it",
        Declare::Create => "made if it is not there",
    };
    line(out, 1, &format!("exchange   {}, {exchange}", conf.exchange));
    let priorities: Vec<&str> = conf.priorities.iter().map(|priority| priority.as_str()).collect();
    for topic in &conf.topics {
        line(out, 1, &format!("keys       {topic}.{{{}}}", priorities.join(",")));
    }
    let kind = match (conf.queue.durable, conf.queue.single_active_consumer) {
        (true, true) => "durable, one active consumer",
        (true, false) => "durable",
        (false, true) => "transient: a restart of the broker loses what waits in it; one active consumer",
        (false, false) => "transient: a restart of the broker loses what waits in it",
    };
    line(out, 1, &format!("queue      {}, if it has to be made: {kind}", conf.pool));
    line(out, 1, &format!("unsettled  at most {} messages", conf.prefetch));
    for text in rabbit::explain(conf) {
        line(out, 1, &text);
    }
}

fn place(url: &TransportUrl) -> String {
    let host = |h: &osnl_model::TransportHost| match h.hostname.contains(':') {
        true => format!("[{}]:{}", h.hostname, h.port_or(5672)),
        false => format!("{}:{}", h.hostname, h.port_or(5672)),
    };
    let hosts: Vec<String> = url.hosts().iter().map(host).collect();
    format!("{}, virtual host {}", hosts.join(", "), url.virtual_host())
}

fn rule(out: &mut String, conf: &RuleConf) {
    let (rule, filter) = (&conf.rule, &conf.rule.filter);
    line(out, 1, &format!("listeners  {}", conf.listeners.join(", ")));
    if let Some(priorities) = &rule.priorities {
        let priorities: Vec<&str> = priorities.iter().map(|priority| priority.as_str()).collect();
        line(out, 1, &format!("if         priority is {}", priorities.join(" or ")));
    }
    let single = [("event_type", &filter.event_type), ("publisher_id", &filter.publisher_id)];
    let mut conditions: Vec<String> = Vec::new();
    for (name, pattern) in single {
        conditions.extend(pattern.iter().map(|pattern| format!("{name} matches {}", pattern.as_str())));
    }
    for (group, patterns) in
        [("context", &filter.context), ("metadata", &filter.metadata), ("payload", &filter.payload)]
    {
        conditions.extend(patterns.iter().map(|(key, p)| format!("{group}.{key} matches {}", p.as_str())));
    }
    for condition in &conditions {
        line(out, 1, &format!("if         {condition}"));
    }
    if conditions.is_empty() && rule.priorities.is_none() {
        line(out, 1, "if         anything comes");
    }
    line(out, 1, &format!("then       {}", rule.actions.join(", ")));
}

fn action(out: &mut String, conf: &ActionConf) {
    match &conf.driver {
        Driver::K2hr3(k) => {
            line(
                out,
                1,
                &format!("does       DELETE {}, on the deletion of a port or an instance", k.api_url),
            );
            let end = match k.when_exhausted {
                WhenExhausted::DeadLetter => "then a dead letter",
                WhenExhausted::Return => "then back to the broker",
            };
            line(
                out,
                1,
                &format!(
                    "attempts   at most {} if K2HR3 refuses, {end}; without end if it does not answer",
                    k.max_attempts
                ),
            );
            let pause = k.retry_interval.as_secs_f64();
            let timeout = k.timeout.as_secs_f64();
            line(out, 1, &format!("time       {timeout} s for each, pauses from 1 s up to {pause} s"));
            let what = match k.no_addresses {
                NoAddresses::Skip => "nothing is done",
                NoAddresses::All => "every address of the instance is deleted",
            };
            line(out, 1, &format!("no address {what}, if a deleted port has none"));
        }
        Driver::Dump(dump) => {
            let to = dump.path.as_ref().map_or("stdout".to_owned(), |path| path.display().to_string());
            line(out, 1, &format!("does       writes each event to {to}, a JSON line each"));
        }
    }
}
