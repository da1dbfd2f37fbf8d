//! Verdicts, effects, and events as text for commands and pages, without passwords of URLs and terminal control
//! characters.

use std::time::SystemTime;

use jiff::Timestamp;
use osnl_model::{mask_secrets, mask_url_passwords, one_line, shortened};

use super::{Content, Effect, ExplainedEvent, RuleVerdict, Ruling, Trace};
use crate::enrich::{AnswerForecast, Ask};
use crate::native::Preview;
use crate::rule::{Condition, Mode, RuleMismatch};

#[must_use]
pub fn masked(text: &str) -> String {
    one_line(&mask_url_passwords(text)).into_owned()
}

#[must_use]
pub fn time(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(|_| "?".to_owned(), |at| format!("{at:.0}"))
}

#[must_use]
pub fn trace(trace: &Trace, show: impl Fn(&Effect) -> String) -> String {
    let mut text = about(&trace.event);
    for found in &trace.rules {
        text.push_str(&format!("\n  {}", verdict(found)));
        found.ruling.effects().iter().for_each(|effect| text.push_str(&format!("\n    {}", show(effect))));
    }
    text
}

#[must_use]
pub fn about(event: &ExplainedEvent) -> String {
    let name = &event.name;
    let mut head = match event.notification() {
        Some(n) => format!(
            "{name}: {} from {}, {}",
            shortened(n.event_type.as_deref().unwrap_or("no event type")),
            shortened(n.publisher_id.as_deref().unwrap_or("nobody")),
            n.priority.as_ref().map_or("no priority", |priority| priority.as_str())
        ),
        None => format!("{name}: cannot be read"),
    };
    if let Some(at) = event.received {
        head.push_str(&format!(", received {}", time(at)));
    }
    let mut place = Vec::new();
    for (word, text) in [
        ("message id", event.message_id()),
        ("listener", event.listener.as_deref()),
        ("exchange", event.exchange.as_deref().filter(|text| !text.is_empty())),
        ("routing key", event.routing_key.as_deref().filter(|text| !text.is_empty())),
    ] {
        place.extend(text.map(|text| format!("{word} {}", shortened(text))));
    }
    if matches!(event.content, Content::Head { .. }) {
        place.push("payload not stored".to_owned());
    }
    let mut text = masked(&head);
    if !place.is_empty() {
        text.push_str(&format!("\n  {}", masked(&place.join(", "))));
    }
    text
}

#[must_use]
pub fn verdict(verdict: &RuleVerdict) -> String {
    let text = match &verdict.ruling {
        Ruling::Fires(_) if !verdict.if_received_by.is_empty() => {
            let names = verdict.if_received_by.join(" or ");
            format!("would match if listener {names} received it; the event names no exchange")
        }
        Ruling::Fires(_) => "matches".to_owned(),
        Ruling::Disabled => "does not match: it is not enabled".to_owned(),
        Ruling::Undecided(why) => format!("does not match: {why}; each of its actions has a dead letter"),
        Ruling::NotHeard(_)
        | Ruling::Stopped(_)
        | Ruling::Fails { .. }
        | Ruling::Failed(_)
        | Ruling::Unreadable(_) => {
            format!("does not match: {}", reason(&verdict.ruling).unwrap_or_default())
        }
        Ruling::Unknown => {
            "is not decided by the head, and the rest was not kept; keep_unmatched_bodies = true keeps it"
                .to_owned()
        }
    };
    masked(&format!("rule {} {text}", verdict.rule))
}

#[must_use]
pub fn reason(ruling: &Ruling) -> Option<String> {
    match ruling {
        Ruling::Fails { condition, allows, observed } => Some(match condition {
            Condition::Filter(_) => format!("{condition} is {observed}, which does not match \"{allows}\""),
            Condition::Priority => format!("{condition} is {observed}, and the rule requires {allows}"),
            Condition::When | Condition::Stopped => format!("{condition} is false: {observed}"),
        }),
        Ruling::Failed(failed) => Some(format!("{} (at the time)", failed.reason)),
        Ruling::NotHeard(reasons) => {
            Some(reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        }
        Ruling::Stopped(by) => Some(RuleMismatch::Stopped { by: by.clone() }.to_string()),
        Ruling::Unreadable(why) | Ruling::Undecided(why) => Some(why.clone()),
        Ruling::Fires(_) | Ruling::Disabled | Ruling::Unknown => None,
    }
}

fn ask(Ask { name, kind, id, cloud, value }: &Ask) -> String {
    let what = match id {
        Ok(id) => format!("{kind} {id}"),
        Err(why) => format!("nothing: {why}"),
    };
    let outcome = match value {
        AnswerForecast::Unknown => format!(", at {cloud}"),
        AnswerForecast::Default(value) => format!("; it is {}", mask_secrets(value)),
        AnswerForecast::Kept(_) => ", kept with the delivery".to_owned(),
    };
    format!("asks [enrich:{name}] for {what}{outcome}")
}

#[must_use]
pub fn would(effect: &Effect) -> String {
    described(effect, "would be called")
}

#[must_use]
pub fn will(effect: &Effect) -> String {
    described(effect, "will be called")
}

fn described(effect: &Effect, called: &str) -> String {
    let key = effect.key.as_ref().map_or(String::new(), |key| format!(" for {key}"));
    let mut below = Vec::new();
    let does = match &effect.would {
        Preview::Request { method, url, headers, body } => {
            below.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
            match body {
                Some(body) if headers.is_empty() => format!("{method} {url} with {body}"),
                Some(body) => {
                    below.extend(body.lines().map(str::to_owned));
                    format!("{method} {url}")
                }
                None => format!("{method} {url}"),
            }
        }
        Preview::Line { to } => format!("write a line to {to}"),
        Preview::Effect { does, with } => {
            let with = with.iter().map(|(name, value)| format!(", {name} {value}"));
            format!("{does}{}", with.collect::<String>())
        }
        Preview::Nothing { why } => format!("nothing to do: {why}"),
        Preview::NotAsked { why } => format!("not asked: {why}"),
        Preview::Undecided { why } => format!("a dead letter: {why}"),
        Preview::Unusable { why } => format!("a dead letter: {why}"),
    };
    below.extend(effect.asks.iter().map(ask));
    below.extend(effect.provided.iter().map(|when| format!("done if what was asked makes it true: {when}")));
    let below: String = below.iter().map(|line| format!("\n      {}", masked(line))).collect();
    let shadow = match effect.mode {
        Mode::Live => "",
        Mode::Shadow => " (in shadow: recorded, and not done)",
    };
    let called = match effect.would {
        Preview::Request { .. } | Preview::Line { .. } | Preview::Effect { .. }
            if effect.mode == Mode::Live =>
        {
            format!(" {called}")
        }
        _ => String::new(),
    };
    let (too_old, called) = match &effect.too_old {
        Some(why) => (format!(" a dead letter, {why}; osnl deliveries retry would make it:"), String::new()),
        None => (String::new(), called),
    };
    masked(&format!("action {}{key}{called}:{too_old} {does}{shadow}", effect.action)) + &below
}
