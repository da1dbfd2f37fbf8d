//! A condition in the words of a rule: `event_type=^port\.`, `payload.port.name=^web-`,
//! `priorities=error, warn`, or the expression of a `when`.
//!
//! The meaning is that of a section `[rule:NAME]`, so that the operator can copy a condition there.

use osnl::rule::{KeySource, PathPattern};
use osnl_config::nearest;
use osnl_config::template::{EvalError, Expression, Names};
use osnl_model::{NotificationFilter, Pattern, Priority};

const PLACES: [&str; 6] =
    ["event_type", "publisher_id", "priorities", "context.KEY", "metadata.KEY", "payload.KEY"];

#[derive(Clone, Debug)]
pub(crate) enum TapCondition {
    Priorities(Vec<Priority>),
    Filter(Box<NotificationFilter>),
    Nested(Box<PathPattern>),
    When(Box<Expression>),
}

impl TapCondition {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let names = PLACES.join(", ");
        let (name, pattern) = text
            .split_once('=')
            .ok_or_else(|| format!("NAME=PATTERN, such as event_type=^port\\.; names: {names}"))?;
        let (name, pattern) = (name.trim(), pattern.trim());
        if name == "priorities" || name == "priority" {
            return priorities(pattern);
        }
        if let Some(dotted) = KeySource::parse(name).ok().filter(|_| name.contains('[')) {
            return Err(format!("{name}: brackets are not read here; write {dotted}"));
        }
        let pattern = || Pattern::new(pattern).map_err(|error| format!("{name}: {error}"));
        let mut filter = NotificationFilter::default();
        match name.split_once('.') {
            None if name == "event_type" => filter.event_type = Some(pattern()?),
            None if name == "publisher_id" => filter.publisher_id = Some(pattern()?),
            Some((place @ ("context" | "payload"), key)) if !key.is_empty() => {
                let keyed = if place == "context" { &mut filter.context } else { &mut filter.payload };
                keyed.insert(key.to_owned(), pattern()?);
                if let Some(nested) = PathPattern::from_filter(&mut filter).pop() {
                    return Ok(Self::Nested(Box::new(nested)));
                }
            }
            Some(("metadata", key)) if !key.is_empty() => {
                if !["message_id", "timestamp"].contains(&key) {
                    return Err(format!(
                        "{name}: no message has this key in its metadata; known: message_id, timestamp"
                    ));
                }
                filter.metadata.insert(key.to_owned(), pattern()?);
            }
            Some(_) | None => {
                let meant = nearest(name, PLACES).map(|name| format!(" (did you mean {name}?)"));
                let meant = meant.unwrap_or_default();
                return Err(format!(
                    "\"{name}\" is not a field that a rule can match{meant}; names: {names}"
                ));
            }
        }
        Ok(Self::Filter(Box::new(filter)))
    }

    pub(super) fn when(text: &str) -> Result<Self, String> {
        let when = Expression::new(text).map_err(|error| format!("column {}: {error}", error.column))?;
        Ok(Self::When(Box::new(when)))
    }

    /// Whether the condition holds. A field that the event lacks makes an expression false.
    pub(super) fn holds(&self, names: &Names) -> Result<bool, EvalError> {
        let n = names.notification();
        match self {
            Self::Priorities(wanted) => {
                Ok(n.priority.as_ref().is_some_and(|priority| wanted.contains(priority)))
            }
            Self::Filter(filter) => Ok(filter.matches(n).is_ok()),
            Self::Nested(nested) => Ok(nested.matches(n).is_ok()),
            Self::When(when) => match when.holds(names) {
                Err(EvalError::Lacks { .. }) => Ok(false),
                decided @ (Ok(_)
                | Err(
                    EvalError::Fuel | EvalError::Work | EvalError::TooLong | EvalError::Failed { .. },
                )) => decided,
            },
        }
    }
}

fn priorities(text: &str) -> Result<TapCondition, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let found: Vec<Priority> = names.map(priority).collect();
    if found.is_empty() {
        let known = Priority::ALL.map(|known| known.to_string()).join(", ");
        return Err(format!("priorities: a name, or several separated by commas: {known}"));
    }
    Ok(TapCondition::Priorities(found))
}

/// Parses a priority. Ironic's configuration has `warning`, but its messages have `warn`.
pub(super) fn priority(text: &str) -> Priority {
    if text.eq_ignore_ascii_case("warning") { Priority::Warn } else { Priority::parse(text) }
}

#[cfg(test)]
mod tests {
    use osnl_model::Notification;
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_mean_what_they_mean_in_a_rule() {
        let n = Notification {
            event_type: Some("port.delete.end".into()),
            publisher_id: Some("network.n1".into()),
            priority: Some(Priority::Info),
            message_id: Some("m-1".into()),
            context: json!({"project_id": "p"}).as_object().unwrap().clone(),
            payload: json!({"state": "ACTIVE", "nova_object.name": "InstancePayload", "port": {"id": "x"}, "n": 1}),
            ..Notification::default()
        };
        let names = Names::from(n);
        for (text, expected) in [
            (r"event_type=^port\.", true),
            ("event_type = delete", false),
            ("publisher_id=network", true),
            ("priorities=info, error", true),
            ("priority=ERROR", false),
            ("priority = warning,INFO", true),
            ("context.project_id=p$", true),
            ("context.user=p", false),
            ("metadata.message_id=m-", true),
            ("payload.state=(?i)active", true),
            ("payload.nova_object.name=Instance", true),
            ("payload.port=x", false),
            ("payload.port.id=^x$", true),
            ("payload.port.name=x", false),
            ("payload.n=1", false),
        ] {
            assert_eq!(TapCondition::parse(text).unwrap().holds(&names), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("payload.port.id == 'x' and event_type.startswith('port.')", true),
            ("payload.port.name == 'x'", false),
            ("resource.kind == 'instance'", true),
        ] {
            assert_eq!(TapCondition::when(text).unwrap().holds(&names), Ok(expected), "{text}");
        }
        assert!(TapCondition::when("payload.n + 'x' > 1").unwrap().holds(&names).is_err());
        let refused = TapCondition::parse("payload.ports[0]['id']=x").unwrap_err();
        assert!(refused.ends_with("brackets are not read here; write payload.ports.0.id"), "{refused}");
    }
}
