//! Events, rules and actions as text and as JSON. No secret, nothing that acts on a terminal.

use std::time::SystemTime;

use jiff::Timestamp;
use osnl::enrich::{Ask, Foreseen};
use osnl::explain::{Content, Effect, RuleVerdict, Ruling, Subject};
use osnl::native::Preview;
use osnl::rule::Mode;
use osnl_model::mask_secrets;
use serde_json::{Value, json};

use crate::command::tap::clean;
use crate::exit::Exit;
use crate::output::{self, Put, Tint};
use crate::terminal::{self, Tone};

/// Standard output, until its reader has gone.
pub(in crate::command) struct Out {
    gone: bool,
    failed: bool,
    coloured: bool,
    tint: Tint,
}

impl Out {
    /// For people on a terminal with this in colour.
    pub(in crate::command) fn tinted(tint: Tint) -> Self {
        Self { gone: false, failed: false, coloured: terminal::coloured(), tint }
    }

    /// For scripts, and without colours.
    pub(in crate::command) fn plain() -> Self {
        Self { gone: false, failed: false, coloured: false, tint: |_| None }
    }

    /// A line, or several.
    pub(in crate::command) fn line(&mut self, text: &str) {
        if self.gone {
            return;
        }
        let mut text = if self.coloured { output::tinted(text, self.tint) } else { text.to_owned() };
        text.push('\n');
        match output::put(text.as_bytes()) {
            Put::Done => {}
            Put::Gone => self.gone = true,
            Put::Failed => (self.gone, self.failed) = (true, true),
        }
    }

    /// An object a line, masked.
    pub(in crate::command) fn json(&mut self, mut value: Value) {
        clean::mask_urls(&mut value);
        self.line(&clean::json(value.to_string()));
    }

    /// The status, unless what was to be said could not be.
    pub(in crate::command) fn end(self, exit: Exit) -> Exit {
        if self.failed { Exit::Failed } else { exit }
    }
}

/// A text without passwords of URLs, on one line.
pub(in crate::command) fn masked(text: &str) -> String {
    let mut value = Value::String(text.to_owned());
    clean::mask_urls(&mut value);
    match value {
        Value::String(text) => clean::text(&text).into_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// UTC, to the second.
pub(in crate::command) fn time(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(|_| "?".to_owned(), |at| format!("{at:.0}"))
}

/// Describes an event: a line, and one of its origin.
pub(in crate::command) fn about(name: &str, subject: &Subject) -> String {
    let mut head = match subject.notification() {
        Some(n) => format!(
            "{name}: {} from {}, {}",
            n.event_type.as_deref().unwrap_or("no event type"),
            n.publisher_id.as_deref().unwrap_or("nobody"),
            n.priority.as_ref().map_or("no priority", |priority| priority.as_str())
        ),
        None => format!("{name}: cannot be read"),
    };
    if let Some(at) = subject.received {
        head.push_str(&format!(", received {}", time(at)));
    }
    let mut place = Vec::new();
    for (word, text) in [
        ("message id", subject.notification().and_then(|n| n.message_id.as_deref())),
        ("listener", subject.listener.as_deref()),
        ("exchange", subject.exchange.as_deref().filter(|text| !text.is_empty())),
        ("routing key", subject.routing_key.as_deref().filter(|text| !text.is_empty())),
    ] {
        place.extend(text.map(|text| format!("{word} {text}")));
    }
    if matches!(subject.content, Content::Head { .. }) {
        place.push("payload not kept".to_owned());
    }
    let mut text = masked(&head);
    if !place.is_empty() {
        text.push_str(&format!("\n  {}", masked(&place.join(", "))));
    }
    text
}

/// The same for scripts.
pub(in crate::command) fn about_json(name: &str, subject: &Subject) -> Value {
    let n = subject.notification();
    json!({
        "name": name,
        "received": subject.received.and_then(|at| Timestamp::try_from(at).ok()).map(|at| format!("{at:.3}")),
        "listener": subject.listener.as_deref(),
        "exchange": subject.exchange,
        "routing_key": subject.routing_key,
        "event_type": n.and_then(|n| n.event_type.as_deref()),
        "publisher_id": n.and_then(|n| n.publisher_id.as_deref()),
        "priority": n.and_then(|n| n.priority.as_ref()).map(|priority| priority.as_str()),
        "message_id": n.and_then(|n| n.message_id.as_deref()),
        "head_only": matches!(subject.content, Content::Head { .. }),
    })
}

/// Colours the output of `explain` and `replay`: the line of an event, and the rules that fire.
pub(in crate::command) fn tint(line: &str) -> Option<(Tone, std::ops::Range<usize>)> {
    match line.strip_prefix("  rule ") {
        Some(rest) if rest.ends_with(" fires") => output::all(Tone::Good, line),
        Some(_) => None,
        None if line.starts_with(' ') => None,
        None => output::all(Tone::Strong, line),
    }
}

/// Renders the verdict of a rule, without the effects of its actions.
pub(in crate::command) fn verdict(verdict: &RuleVerdict) -> String {
    let text = match &verdict.ruling {
        Ruling::Fires(_) if !verdict.if_received_by.is_empty() => {
            let names = verdict.if_received_by.join(" or ");
            format!("would fire if listener {names} received it; the event names no exchange")
        }
        Ruling::Fires(_) => "fires".to_owned(),
        Ruling::NotHeard(reasons) => {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            format!("does not fire: {}", reasons.join("; "))
        }
        Ruling::Disabled => "does not fire: it is not enabled".to_owned(),
        Ruling::Undecided(why) => format!("does not fire: {why}; each of its actions has a dead letter"),
        Ruling::Stopped(_) | Ruling::Fails { .. } | Ruling::Failed(_) => {
            format!("does not fire: {}", reason(&verdict.ruling).unwrap_or_default())
        }
        Ruling::Unknown => {
            "is not decided by the head, and the rest was not kept; keep_unmatched_bodies = true keeps it"
                .to_owned()
        }
        Ruling::Unreadable(why) => format!("does not fire: {why}"),
    };
    masked(&format!("rule {} {text}", verdict.rule))
}

fn reason(ruling: &Ruling) -> Option<String> {
    match ruling {
        Ruling::Fails { condition, allows, saw } => {
            use osnl::rule::Condition;
            Some(match condition {
                Condition::Filter(_) => format!("{condition} is {saw}, which does not match \"{allows}\""),
                Condition::Priority => format!("{condition} is {saw}, and the rule requires {allows}"),
                Condition::When | Condition::Stopped => format!("{condition} is false: {saw}"),
            })
        }
        Ruling::Failed(failed) => Some(format!("{} (at the time)", failed.reason)),
        Ruling::NotHeard(reasons) => {
            Some(reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        }
        Ruling::Stopped(by) => Some(format!("rule {by} fires before it, with stop = true")),
        Ruling::Unreadable(why) | Ruling::Undecided(why) => Some(why.clone()),
        Ruling::Fires(_) | Ruling::Disabled | Ruling::Unknown => None,
    }
}

/// Renders the verdict of a rule as JSON, without the effects of its actions.
pub(in crate::command) fn verdict_json(verdict: &RuleVerdict) -> Value {
    let word = match &verdict.ruling {
        Ruling::Fires(_) => "fires",
        Ruling::NotHeard(_) => "not-heard",
        Ruling::Disabled => "disabled",
        Ruling::Stopped(_) => "stopped",
        Ruling::Undecided(_) => "undecided",
        Ruling::Fails { .. } | Ruling::Failed(_) => "fails",
        Ruling::Unknown => "unknown",
        Ruling::Unreadable(_) => "unreadable",
    };
    let mut object = json!({"rule": &*verdict.rule, "verdict": word});
    if !verdict.if_received_by.is_empty() {
        object["if_received_by"] =
            json!(verdict.if_received_by.iter().map(|name| &**name).collect::<Vec<_>>());
    }
    if let Some(reason) = reason(&verdict.ruling) {
        object["reason"] = json!(reason);
    }
    match &verdict.ruling {
        Ruling::Fails { condition, allows, saw } => {
            object["condition"] = json!(condition.to_string());
            object["allows"] = json!(allows);
            object["saw"] = json!(saw);
        }
        Ruling::Failed(failed) => object["condition"] = json!(failed.condition),
        Ruling::Stopped(by) => object["stopped_by"] = json!(&**by),
        Ruling::Undecided(_) => object["condition"] = json!(osnl::rule::Condition::When.to_string()),
        Ruling::Fires(_)
        | Ruling::NotHeard(_)
        | Ruling::Disabled
        | Ruling::Unknown
        | Ruling::Unreadable(_) => {}
    }
    object
}

/// Whom an action asks for what before it does something.
fn ask(Ask { name, kind, id, cloud, value }: &Ask) -> String {
    let what = match id {
        Ok(id) => format!("{kind} {id}"),
        Err(why) => format!("nobody: {why}"),
    };
    let outcome = match value {
        Foreseen::Unknown => format!(", at {cloud}"),
        Foreseen::Default(value) => format!("; it is {}", mask_secrets(value)),
        Foreseen::Kept(_) => ", kept with the delivery".to_owned(),
    };
    format!("asks [enrich:{name}] for {what}{outcome}")
}

fn ask_json(Ask { name, kind, id, cloud, value }: &Ask) -> Value {
    let mut object =
        json!({"enrichment": &**name, "kind": kind.name(), "id": id.as_ref().ok(), "cloud": cloud});
    if let Err(why) = id {
        object["why"] = json!(why);
    }
    match value {
        Foreseen::Unknown => {}
        Foreseen::Default(value) => object["default"] = mask_secrets(value),
        Foreseen::Kept(value) => object["kept"] = mask_secrets(value),
    }
    object
}

/// Renders the effect of an action; a request with headers has each and the body on lines below.
pub(in crate::command) fn would(effect: &Effect) -> String {
    let key = effect.key.as_ref().map_or(String::new(), |key| format!(" for {key}"));
    // Lines of their own: the rest stands on the first.
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
        Preview::Line { to } => format!("a line in {to}"),
        Preview::Effect { does, with } => {
            let with = with.iter().map(|(name, value)| format!(", {name} {value}"));
            format!("{does}{}", with.collect::<String>())
        }
        Preview::Nothing { why } => format!("nothing to do: {why}"),
        Preview::NotAsked { why } => format!("not asked: {why}"),
        Preview::Unusable { why } => format!("a dead letter: {why}"),
    };
    below.extend(effect.asks.iter().map(ask));
    below.extend(effect.provided.iter().map(|when| format!("done if what was asked makes it true: {when}")));
    let below: String = below.iter().map(|line| format!("\n      {}", masked(line))).collect();
    let shadow = match effect.mode {
        Mode::Live => "",
        Mode::Shadow => " (in shadow: recorded, and not done)",
    };
    masked(&format!("{}{key}: {does}{shadow}", effect.action)) + &below
}

/// The same for scripts.
pub(in crate::command) fn would_json(effect: &Effect) -> Value {
    let would = match &effect.would {
        Preview::Request { method, url, headers, body } => {
            let mut request = json!({"method": method, "url": url, "body": body});
            if !headers.is_empty() {
                let header = |(name, value): &(String, String)| (name.clone(), json!(value));
                request["headers"] = headers.iter().map(header).collect::<serde_json::Map<_, _>>().into();
            }
            request
        }
        Preview::Line { to } => json!({"line_in": to}),
        Preview::Effect { does, with } => {
            let with = with.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
            json!({"does": does, "with": with.collect::<serde_json::Map<_, _>>()})
        }
        Preview::Nothing { why } => json!({"nothing": why}),
        Preview::NotAsked { why } => json!({"not_asked": why}),
        Preview::Unusable { why } => json!({"dead_letter": why}),
    };
    let mode = match effect.mode {
        Mode::Live => "live",
        Mode::Shadow => "shadow",
    };
    let mut object = json!({"action": &*effect.action, "resource": effect.key, "mode": mode, "would": would});
    if !effect.asks.is_empty() {
        object["asks"] = effect.asks.iter().map(ask_json).collect();
    }
    if let Some(when) = &effect.provided {
        object["provided"] = json!(when);
    }
    object
}
