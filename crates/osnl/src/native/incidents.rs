//! `[incidents]`: the actions that are called when an incident begins and ends.

use std::sync::Arc;
use std::time::Duration;

use osnl_config::sections::SectionReader;
use osnl_config::{Options as _, ReadBySection, options, shown, words};

use super::kinds::ACTION;
use crate::incident_kind::{IncidentKind, IncidentSeverity};

options! {
    pub(super) struct IncidentOptions {
        actions: ReadBySection, written("list") => "Actions that are called with osnl.incident.begin and osnl.incident.end; their templates read the incident as {{ incident.what }}, {{ incident.why }}, and {{ incident.to_do }}. An action is never called about itself or its on_failure, and about one incident at most once an hour. Without it, no action is called.";
        after: Duration = "2m" => "Time that an incident must last before the actions are called.";
        severity: IncidentSeverity = "critical" => "Lowest severity of the incidents: critical, or warning for all.";
        kinds: ReadBySection, written("list") => "Kinds of incidents, as osnl status --format json has them, such as target-down. Without it: all.";
    }
}

words!(IncidentSeverity: "warning" => IncidentSeverity::Warning, "critical" => IncidentSeverity::Critical);

/// The settings of `[incidents]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentsConf {
    /// Never empty.
    pub actions: Vec<Arc<str>>,
    pub after: Duration,
    pub severity: IncidentSeverity,
    /// Empty for all kinds.
    pub kinds: Vec<IncidentKind>,
}

pub(super) fn incidents(reader: &mut SectionReader<'_>, actions: &[&str]) -> Option<Option<IncidentsConf>> {
    let own = IncidentOptions::read(reader);
    let kinds = match reader.is_set("kinds") {
        true => kinds(reader),
        false => Some(Vec::new()),
    };
    if !reader.is_set("actions") {
        return Some(None);
    }
    let actions = reader.references("actions", ACTION, actions)?;
    let (IncidentOptions { after, severity, .. }, kinds) = (own?, kinds?);
    let actions = actions.into_iter().map(Into::into).collect();
    Some(Some(IncidentsConf { actions, after, severity, kinds }))
}

fn kinds(reader: &mut SectionReader<'_>) -> Option<Vec<IncidentKind>> {
    let mut found = Vec::new();
    for name in reader.list("kinds")? {
        let Ok(kind) = serde_json::from_value(name.as_str().into()) else {
            let problem = format!("there is no kind {}", shown(&name));
            return reader.refuse("kinds", &problem, "write kinds as osnl status --format json has them");
        };
        found.push(kind);
    }
    Some(found)
}
