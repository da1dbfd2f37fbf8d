//! The questions that an action would ask about one event, with their ids: for `osnl explain`, which calls no API.
//! Pure.
//!
//! An id from another answer is shown as its path: `<server.flavor.id>`.

use std::sync::Arc;

use osnl_config::template::{EvalError, Names, placeholder};
use osnl_delivery::enrich::{AnswerForecast, Ask, EnrichedValues, Kind, brought_by, default_id};
use osnl_model::{Notification, is_secret_path};
use serde_json::Value;

use crate::EnrichConf;

/// Returns the questions of these enrichments about an event, in their order. The payload is narrowed to the one
/// resource; `kept` has the answers that the delivery has already.
pub fn foresee<'a>(
    confs: impl Iterator<Item = &'a EnrichConf>,
    notification: &Arc<Notification>,
    kept: Option<&EnrichedValues>,
) -> Vec<Ask> {
    let mut names = Names::new(notification.clone());
    let mut asks: Vec<Ask> = Vec::new();
    for conf in confs {
        let id = id_of(conf, &names, &asks, notification);
        let value = match (kept.and_then(|kept| kept.get(&*conf.name)), &id) {
            (Some(value), _) => AnswerForecast::Kept(value.clone()),
            (None, Ok(_)) => AnswerForecast::Unknown,
            (None, Err(_)) => AnswerForecast::Default(conf.default.clone()),
        };
        let cloud = conf.cloud.auth_url.to_string();
        let ask = Ask { name: conf.name.clone(), kind: conf.kind, id, cloud, value };
        names = ask.named(names, Value::clone);
        asks.push(ask);
    }
    asks
}

fn id_of(
    conf: &EnrichConf,
    names: &Names,
    before: &[Ask],
    notification: &Notification,
) -> Result<String, String> {
    let text = match &conf.id {
        Some(template) => match template.render(names) {
            Ok(_) if template.paths().any(is_secret_path) => "***".to_owned(),
            Ok(id) => id.trim().to_owned(),
            Err(EvalError::Lacks { name }) => return Err(format!("the event has no {name}")),
            Err(
                error @ (EvalError::Fuel | EvalError::Work | EvalError::TooLong | EvalError::Failed { .. }),
            ) => {
                return Err(format!("its id cannot be told yet: {error}"));
            }
        },
        None => {
            let brought = || before.iter().find_map(|ask| brought(conf.kind, ask));
            default_id(conf.kind, notification, brought).unwrap_or_default()
        }
    };
    match text.is_empty() {
        false => Ok(text),
        true if conf.id.is_some() => Err("its id is empty for this event".to_owned()),
        true => Err(format!("the event names no {}", conf.kind)),
    }
}

fn brought(kind: Kind, ask: &Ask) -> Option<String> {
    let (_, pointers) = brought_by(kind).iter().find(|(by, _)| *by == ask.kind)?;
    match &ask.value {
        AnswerForecast::Unknown => Some(placeholder(&format!("{}{}", ask.name, pointers.replace('/', ".")))),
        AnswerForecast::Default(value) | AnswerForecast::Kept(value) => {
            let id = value.pointer(pointers)?.as_str()?;
            Some(id).filter(|id| !id.is_empty()).map(str::to_owned)
        }
    }
}
