//! A reader of a service's exchange cannot tell an example from an event. A sample that looks like
//! a deletion therefore needs a confirmation at the terminal or `--yes`.

use anyhow::anyhow;
use osnl_model::catalogue::{self, CatalogueEvent};
use osnl_model::{Priority, Target, did_you_mean, nearest};
use serde_json::{Value, json};

use super::super::confirm::agreed_to;
use super::args::SendArgs;
use super::destination::SendRefusal;
use crate::exit::Exit;

const ENDS: [&str; 10] = [
    "delete",
    "deleted",
    "destroy",
    "destroyed",
    "remove",
    "removed",
    "purge",
    "terminate",
    "soft_delete",
    "disassociate",
];

pub(super) fn find(name: &str, topics: &[String]) -> anyhow::Result<&'static CatalogueEvent> {
    let found = catalogue::find(name);
    let known = found.iter().copied().filter(|event| event.sample().is_some());
    let on_topic =
        |event: &&CatalogueEvent| event.topics.iter().any(|topic| topics.iter().any(|own| own == topic));
    known.clone().find(on_topic).or_else(|| known.clone().next()).ok_or_else(|| match found.is_empty() {
        true => {
            let all = || catalogue::events().iter().map(|event| event.event_type);
            let near = nearest(name, all()).or_else(|| catalogue::alike(name, 1).first().copied());
            let near = did_you_mean(near);
            anyhow!("--sample: no service is known to send {name}; osnl events lists what is known{near}")
        }
        false => anyhow!(
            "--sample: nothing is known of the payload of {name}; send it with --event-type and --payload"
        ),
    })
}

pub(super) fn document(event: &CatalogueEvent) -> String {
    let example = event.example();
    let mut document = json!({
        "event_type": example.event_type,
        "publisher_id": example.publisher_id,
        "priority": example.priority.as_ref().map(Priority::as_str).map(str::to_uppercase),
        "payload": example.payload,
    });
    if let Value::Object(fields) = &mut document {
        let context = example.context.into_iter().map(|(key, value)| (format!("_context_{key}"), value));
        fields.extend(context);
    }
    document.to_string()
}

pub(super) fn confirm(
    args: &SendArgs,
    event_type: &str,
    targets: &[Target],
    broker: &str,
) -> Result<(), SendRefusal> {
    let ends = event_type.split('.').any(|word| ENDS.contains(&word));
    let service = targets.iter().filter_map(|target| target.exchange.as_deref()).find_map(service_of);
    let (true, Some((service, exchange)), false) = (ends, service, args.yes) else { return Ok(()) };
    let warning = format!(
        "{event_type} would go to the exchange {exchange} on {broker}, which {service} uses: what listens there takes \
         it for a real deletion, a running osnl, ceilometer and designate too"
    );
    let refusal = format!("{warning}; name another exchange with --exchange, or add --yes");
    match agreed_to(&format!("{warning}. Publish it?"), &refusal) {
        Ok(true) => Ok(()),
        Ok(false) => Err((Exit::Failed, anyhow!("nothing was published"))),
        Err((exit, why)) => Err((exit, anyhow!(why))),
    }
}

fn service_of(exchange: &str) -> Option<(&'static str, String)> {
    let event = catalogue::events().iter().find(|event| event.exchange() == exchange)?;
    let service =
        if exchange == "openstack" { "every service without an exchange of its own" } else { event.service };
    Some((service, exchange.to_owned()))
}
