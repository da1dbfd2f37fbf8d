//! Events, rules and actions as JSON, and as text in the words of all pages. All output masks
//! secrets and control characters.

use jiff::Timestamp;
use osnl::enrich::{AnswerForecast, Ask};
use osnl::explain::words::reason;
pub(in crate::command) use osnl::explain::words::{about, masked, time, verdict, will, would};
use osnl::explain::{Content, Effect, ExplainedEvent, RuleVerdict, Ruling};
use osnl::native::Preview;
use osnl::rule::Mode;
use osnl_model::mask_secrets;
use serde_json::{Value, json};

use crate::clean;
use crate::exit::Exit;
use crate::output::{self, Put, Tint};
use crate::terminal::{self, Tone};

pub(in crate::command) struct StandardOutput {
    gone: bool,
    failed: bool,
    coloured: bool,
    tint: Tint,
}

impl StandardOutput {
    pub(in crate::command) fn tinted(tint: Tint) -> Self {
        Self { gone: false, failed: false, coloured: terminal::coloured(), tint }
    }

    pub(in crate::command) fn plain() -> Self {
        Self { gone: false, failed: false, coloured: false, tint: |_| None }
    }

    pub(in crate::command) fn line(&mut self, text: &str) {
        let text = output::for_locale(text);
        self.put(if self.coloured { output::tinted(&text, self.tint) } else { text.into_owned() });
    }

    fn put(&mut self, mut text: String) {
        if self.gone {
            return;
        }
        text.push('\n');
        match output::put(text.as_bytes()) {
            Put::Done => {}
            Put::Gone => self.gone = true,
            Put::Failed => (self.gone, self.failed) = (true, true),
        }
    }

    pub(in crate::command) fn json(&mut self, mut value: Value) {
        clean::mask_urls(&mut value);
        self.put(clean::json(value.to_string()));
    }

    pub(in crate::command) fn end(self, exit: Exit) -> Exit {
        if self.failed { Exit::Failed } else { exit }
    }
}

pub(in crate::command) fn about_json(name: &str, subject: &ExplainedEvent) -> Value {
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

pub(in crate::command) fn tint(line: &str) -> Option<(Tone, std::ops::Range<usize>)> {
    match line.strip_prefix("  rule ") {
        Some(rest) if rest.ends_with(" matches") => output::all(Tone::Good, line),
        Some(_) => None,
        None if line.starts_with(' ') => None,
        None => output::all(Tone::Strong, line),
    }
}

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
        Ruling::Fails { condition, allows, observed } => {
            object["condition"] = json!(condition.to_string());
            object["allows"] = json!(allows);
            object["saw"] = json!(observed);
        }
        Ruling::Failed(failed) => object["condition"] = json!(failed.condition),
        Ruling::Stopped(by) => object["stopped_by"] = json!(&**by),
        Ruling::Undecided(_) => object["condition"] = json!(osnl::rule::Condition::When.to_string()),
        _ => {}
    }
    object
}

fn ask_json(Ask { name, kind, id, cloud, value }: &Ask) -> Value {
    let mut object =
        json!({"enrichment": &**name, "kind": kind.name(), "id": id.as_ref().ok(), "cloud": cloud});
    if let Err(why) = id {
        object["why"] = json!(why);
    }
    match value {
        AnswerForecast::Unknown => {}
        AnswerForecast::Default(value) => object["default"] = mask_secrets(value),
        AnswerForecast::Kept(value) => object["kept"] = mask_secrets(value),
    }
    object
}

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
        Preview::Undecided { why } | Preview::Unusable { why } => json!({"dead_letter": why}),
    };
    let mode = match effect.mode {
        Mode::Live => "live",
        Mode::Shadow => "shadow",
    };
    let mut object = json!({"action": &*effect.action, "resource": effect.key, "mode": mode, "would": would});
    if !effect.asks.is_empty() {
        object["asks"] = effect.asks.iter().map(ask_json).collect();
    }
    if let Some(why) = &effect.too_old {
        object["too_old"] = json!(why);
    }
    if let Some(when) = &effect.provided {
        object["provided"] = json!(when);
    }
    object
}
