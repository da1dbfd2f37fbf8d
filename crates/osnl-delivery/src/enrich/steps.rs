//! The questions of one action about one event, and the value where no source has an answer.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use osnl_config::template::{EvalError, Names, Template};
use osnl_core::attempt::{ActionError, ErrorClass};
use osnl_core::event::{EnrichedValues, Event};
use osnl_core::misfit::Misfit;
use osnl_journal::{Journal, LearntFacts};
use osnl_model::{ForeignJson, bounded_id};
use osnl_net::http::Expiry;
use osnl_transport::BoxFuture;
use serde_json::Value;

use super::subject::{default_id, described};
use super::{Enricher, Kind, Lookup as _, LookupAnswer, dependency};
use crate::{Answers, Prepare};

/// The largest value that is kept with a delivery: no description of a server, port or image is that long.
const LARGEST: usize = 256 * 1024;

/// All questions of one action, asked in order before its attempts.
#[derive(Clone)]
pub struct Enrichments {
    steps: Vec<EnrichmentStep>,
    journal: Arc<dyn Journal>,
}

/// Decides about a delivery whose question fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    Retry,
    Default,
}

osnl_config::words!(OnError: "retry" => OnError::Retry, "default" => OnError::Default);

/// One question, whose answer later questions and the action's templates can use.
#[derive(Clone, Debug)]
pub struct EnrichmentStep {
    pub name: Arc<str>,
    pub kind: Kind,
    pub id: Option<Template>,
    pub enricher: Enricher,
    pub default: Value,
    pub on_error: OnError,
}

impl Enrichments {
    #[must_use]
    pub fn new(steps: Vec<EnrichmentStep>, journal: Arc<dyn Journal>) -> Self {
        Self { steps, journal }
    }

    async fn ask(
        &self,
        step: &EnrichmentStep,
        event: &Event,
        before: &EnrichedValues,
        learnt: &mut Vec<(String, String)>,
        answered: &mut Vec<Arc<str>>,
    ) -> Result<Value, ActionError> {
        let names = names(event, before);
        let notification = names.notification().clone();
        let id = match &step.id {
            None => default_id(step.kind, &notification, || id_from_answers(step.kind, before)),
            Some(template) => match template.render(&names) {
                Ok(id) => Some(id.trim().to_owned()),
                Err(error @ (EvalError::Fuel | EvalError::Work | EvalError::TooLong)) => {
                    let option = format!("[enrich:{}] id", step.name);
                    return Err(ActionError::template(Misfit::in_option(option, error)));
                }
                // The event has no such value, so the default stands.
                Err(_) => None,
            },
        };
        let Some(id) = id.filter(|id| !id.is_empty()) else { return Ok(step.default.clone()) };
        // The key includes the cloud, because two clouds may use the same id.
        let object = format!("{}:{} at {}", step.kind, bounded_id(&id), step.enricher.place());
        let own = described(step.kind, &id, &notification);
        // An event about its own object reports a change, so an earlier answer is out of date.
        let since = if own.is_some() { event.received.origin.received } else { SystemTime::UNIX_EPOCH };
        let answer = step.enricher.look_up(step.kind, &id, since).await;
        if let Ok((_, true)) = &answer {
            answered.push(dependency(&step.name, &step.enricher.target()));
        }
        let there = match answer {
            Ok((LookupAnswer::There(value), is_new)) => Some(((*value).clone(), is_new)),
            Ok((LookupAnswer::Gone, _)) => None,
            Err(error) => match step.on_error {
                OnError::Retry => return Err(error.to_action_error(&step.name, &step.enricher.target())),
                OnError::Default => {
                    tracing::warn!(
                        action.name = &*event.action,
                        enrich.name = &*step.name,
                        error = error.to_string(),
                        "an enrichment failed; the delivery goes on without it"
                    );
                    None
                }
            },
        };
        let (value, is_new) = match (there, own) {
            (Some(there), _) => there,
            (None, Some(own)) => (self.with_earlier(&object, own).await, true),
            (None, None) => (self.earlier(&object).await.unwrap_or_else(|| step.default.clone()), false),
        };
        let text = value.to_string();
        if text.len() > LARGEST {
            let (name, kind, bytes) = (&step.name, step.kind, text.len());
            let reason = format!("[enrich:{name}] {kind} {id} is described in {bytes} bytes");
            return Err(ActionError::new(ErrorClass::Content, reason));
        }
        if is_new {
            learnt.push((object, text));
        }
        Ok(value)
    }

    async fn with_earlier(&self, object: &str, own: Value) -> Value {
        match (self.earlier(object).await, own) {
            (Some(Value::Object(mut earlier)), Value::Object(own)) => {
                earlier.extend(own);
                Value::Object(earlier)
            }
            (_, own) => own,
        }
    }

    async fn earlier(&self, object: &str) -> Option<Value> {
        let text = self.journal.known(object).await?;
        serde_json::from_str(&text).ok().map(|ForeignJson(found)| found)
    }
}

fn names(event: &Event, found: &EnrichedValues) -> Names {
    let all = event.names();
    found.iter().fold(all, |names, (name, value)| names.with_found(name, value.clone()))
}

/// Returns the kinds whose objects name an object of this kind, each with the path of the id (a server has its flavor's
/// id).
pub fn brought_by(kind: Kind) -> &'static [(Kind, &'static str)] {
    match kind {
        Kind::Server => &[(Kind::Port, "/device_id"), (Kind::Node, "/instance_uuid")],
        Kind::Port => &[(Kind::FloatingIp, "/port_id")],
        Kind::Flavor => &[(Kind::Server, "/flavor/id")],
        Kind::Image => &[(Kind::Server, "/image/id")],
        Kind::Network => &[
            (Kind::Port, "/network_id"),
            (Kind::Subnet, "/network_id"),
            (Kind::FloatingIp, "/floating_network_id"),
            (Kind::Router, "/external_gateway_info/network_id"),
        ],
        Kind::Subnet => &[(Kind::Port, "/fixed_ips/0/subnet_id")],
        Kind::Router => &[(Kind::FloatingIp, "/router_id")],
        Kind::Volume => &[(Kind::Server, "/os-extended-volumes:volumes_attached/0/id")],
        Kind::Domain => &[(Kind::Project, "/domain_id"), (Kind::User, "/domain_id")],
        Kind::FloatingIp | Kind::Project | Kind::User | Kind::Node => &[],
    }
}

fn id_from_answers(kind: Kind, found: &EnrichedValues) -> Option<String> {
    let at = || brought_by(kind).iter().map(|(_, at)| at);
    let ids = found.values().flat_map(|value| at().filter_map(|at| value.pointer(at)?.as_str()));
    ids.map(str::to_owned).find(|id| !id.is_empty())
}

impl Prepare for Enrichments {
    fn prepare<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<Option<Answers>, ActionError>> {
        Box::pin(async move {
            let before = event.enriched.as_deref();
            let has = |step: &EnrichmentStep| before.is_some_and(|before| before.contains_key(&*step.name));
            if self.steps.iter().all(has) {
                return Ok(None);
            }
            let mut enriched = before.cloned().unwrap_or_default();
            let (mut objects, mut answered) = (Vec::new(), Vec::new());
            for step in &self.steps {
                if enriched.contains_key(&*step.name) {
                    continue;
                }
                let value = self.ask(step, event, &enriched, &mut objects, &mut answered).await?;
                enriched.insert(step.name.to_string(), value);
            }
            let learnt = LearntFacts { objects, ..LearntFacts::default() };
            Ok(Some(Answers { enriched: Arc::new(enriched), learnt, answered }))
        })
    }

    fn expiries(&self) -> Vec<Expiry> {
        self.steps.iter().flat_map(|step| step.enricher.expiries()).collect()
    }

    fn failed_at(&self) -> Option<SystemTime> {
        self.steps.iter().filter_map(|step| step.enricher.failed_at()).max()
    }
}

impl fmt::Debug for Enrichments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|step| &step.name)).finish()
    }
}
