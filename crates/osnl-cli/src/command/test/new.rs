use std::collections::BTreeSet;

use osnl::explain::{ExplainedEvent, Explainer};
use osnl::native::Native;
use osnl::saved;
use osnl_config::{did_you_mean, nearest};
use osnl_model::Priority;
use osnl_model::catalogue::{self, CatalogueEvent};
use serde_json::json;

use super::{TestArgs, called};
use crate::command::check::meaning;
use crate::command::saved_events::{self, StandardOutput};
use crate::command::sources;
use crate::exit::Exit;

pub(super) fn print(args: &TestArgs, name: &str) -> Exit {
    let events = catalogue::find(name);
    if events.is_empty() {
        let hint = did_you_mean(nearest(name, catalogue::events().iter().map(|event| event.event_type)));
        let problem = format!("no service is known to send {name}; osnl events lists what is known{hint}");
        sources::complain(&problem);
        return Exit::Failed;
    }
    let conf = match sources::load(&args.of).and_then(meaning) {
        Ok((conf, _)) => Some(conf),
        Err(refused) => {
            saved_events::say(&format!(
                "the test expects no rule to match, since there is no configuration: {refused}"
            ));
            None
        }
    };
    let mut out = StandardOutput::plain();
    out.line(
        "# The rules do this now. Change it to what they should do; osnl test shows each difference.\n\
         # rules and actions are complete lists, or none.",
    );
    for event in events {
        out.line(&section(event, conf.as_ref()));
    }
    out.end(Exit::Done)
}

fn section(event: &CatalogueEvent, conf: Option<&Native>) -> String {
    let example = event.example();
    let topic = event.topics.first().copied().unwrap_or("notifications");
    let notification = json!({
        "event_type": example.event_type,
        "publisher_id": example.publisher_id,
        "priority": example.priority.as_ref().map(Priority::as_str).map(str::to_uppercase),
        "message_id": example.message_id,
        "timestamp": example.timestamp,
        "payload": example.payload,
    });
    let text = format!("{notification:#}");
    let routing_key = event.routing_key();
    let (rules, actions) = conf.map_or_else(Default::default, |conf| fired(conf, event, &routing_key, &text));
    let named = |names: Vec<String>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    // A line that begins with a blank belongs to the value above.
    let indented = text.replace('\n', "\n  ");
    format!(
        "\n[test:{} of {}, to topic {topic}]\nexchange = {}\nrouting_key = {routing_key}\nrules = {}\nactions = {}\nnotification = {indented}",
        event.event_type,
        event.service,
        event.exchange(),
        named(rules),
        named(actions),
    )
}

fn fired(conf: &Native, event: &CatalogueEvent, routing_key: &str, text: &str) -> (Vec<String>, Vec<String>) {
    let (mut rules, mut actions) = (Vec::new(), BTreeSet::new());
    for saved in saved::read(text).unwrap_or_default() {
        let trace = Explainer::new(conf).trace(ExplainedEvent {
            exchange: Some(event.exchange().to_owned()),
            routing_key: Some(routing_key.to_owned()),
            ..ExplainedEvent::from_saved("notification", &saved, &conf.budget())
        });
        let fired = trace.rules.iter().filter(|found| found.ruling.fires());
        rules.extend(fired.map(|found| found.rule.to_string()));
        actions.extend(called(&trace));
    }
    (rules, actions.into_iter().collect())
}
