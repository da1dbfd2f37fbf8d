//! A trace as JSON, secrets masked; `docs/explain.md` describes the members.

use jiff::Timestamp;
use osnl_model::mask_secrets;
use serde_json::{Map, Value, json};

use super::words::reason;
use super::{Content, Effect, ExplainedEvent, RuleVerdict, Ruling, Trace};
use crate::enrich::{AnswerForecast, Ask};
use crate::native::Preview;
use crate::rule::{Condition, Mode};

#[must_use]
pub fn trace(trace: &Trace, show: impl Fn(&Effect) -> Value) -> Value {
    let rules = trace.rules.iter().map(|found| {
        let mut object = verdict(found);
        if let Ruling::Fires(effects) = &found.ruling {
            object["actions"] = effects.iter().map(&show).collect();
        }
        object
    });
    json!({"event": event(&trace.event), "rules": rules.collect::<Vec<_>>()})
}

fn event(event: &ExplainedEvent) -> Value {
    let n = event.notification();
    json!({
        "name": event.name,
        "received": event.received.and_then(|at| Timestamp::try_from(at).ok()).map(|at| format!("{at:.3}")),
        "listener": event.listener.as_deref(),
        "exchange": event.exchange,
        "routing_key": event.routing_key,
        "event_type": n.and_then(|n| n.event_type.as_deref()),
        "publisher_id": n.and_then(|n| n.publisher_id.as_deref()),
        "priority": n.and_then(|n| n.priority.as_ref()).map(|priority| priority.as_str()),
        "message_id": event.message_id(),
        "head_only": matches!(event.content, Content::Head { .. }),
    })
}

fn verdict(found: &RuleVerdict) -> Value {
    let mut object = json!({"rule": &*found.rule});
    object["verdict"] = json!(match &found.ruling {
        Ruling::Fires(_) => "fires",
        Ruling::NotHeard(_) => "not-heard",
        Ruling::Disabled => "disabled",
        Ruling::Stopped(by) => {
            object["stopped_by"] = json!(&**by);
            "stopped"
        }
        Ruling::Undecided(_) => {
            object["condition"] = json!(Condition::When.to_string());
            "undecided"
        }
        Ruling::Fails { condition, allows, observed } => {
            object["condition"] = json!(condition.to_string());
            object["allows"] = json!(allows);
            object["saw"] = json!(observed);
            "fails"
        }
        Ruling::Failed(failed) => {
            object["condition"] = json!(failed.condition);
            "fails"
        }
        Ruling::Unknown => "unknown",
        Ruling::Unreadable(_) => "unreadable",
    });
    if !found.if_received_by.is_empty() {
        object["if_received_by"] = found.if_received_by.iter().map(|name| json!(&**name)).collect();
    }
    if let Some(reason) = reason(&found.ruling) {
        object["reason"] = json!(reason);
    }
    object
}

#[must_use]
pub fn effect(effect: &Effect) -> Value {
    let would = match &effect.would {
        Preview::Request { method, url, headers, body } => {
            let mut request = json!({"method": method, "url": url, "body": body});
            if !headers.is_empty() {
                let headers = headers.iter().map(|(name, value)| (name.clone(), json!(value)));
                request["headers"] = headers.collect::<Map<_, _>>().into();
            }
            request
        }
        Preview::Line { to } => json!({"line_in": to}),
        Preview::Effect { does, with } => {
            let with = with.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
            json!({"does": does, "with": with.collect::<Map<_, _>>()})
        }
        Preview::Nothing { why } => json!({"nothing": why}),
        Preview::NotAsked { why } => json!({"not_asked": why}),
        Preview::Undecided { why } => json!({"dead_letter": why}),
        Preview::Unusable { why } => json!({"dead_letter": why.to_string()}),
    };
    let mode = match effect.mode {
        Mode::Live => "live",
        Mode::Shadow => "shadow",
    };
    let mut object = json!({"action": &*effect.action, "resource": effect.id, "mode": mode, "would": would});
    if !effect.asks.is_empty() {
        object["asks"] = effect.asks.iter().map(ask).collect();
    }
    if let Some(why) = &effect.too_old {
        object["too_old"] = json!(why);
    }
    if let Some(when) = &effect.provided {
        object["provided"] = json!(when);
    }
    object
}

fn ask(Ask { name, kind, id, cloud, value }: &Ask) -> Value {
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
