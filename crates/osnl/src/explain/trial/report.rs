use std::collections::BTreeMap;

use osnl_config::Warning;
use osnl_model::catalogue::CatalogueEvent;

use crate::native::{ActionConf, LoadedConf};

const NAMED: usize = 3;

#[derive(Default)]
pub(super) struct Deaths {
    tried: usize,
    dead: usize,
    any_is_certain: bool,
    causes: BTreeMap<DeathCause, DeathEvents>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct DeathCause {
    option: String,
    /// The message without its place in the text, which differs from event to event.
    problem: String,
}

struct DeathEvents {
    first: String,
    types: Vec<&'static str>,
}

impl Deaths {
    pub(super) fn add(&mut self, event: &CatalogueEvent, why: Option<String>, is_certain: bool) {
        self.tried += 1;
        self.any_is_certain |= is_certain;
        let Some(why) = why else { return };
        self.dead += 1;
        let (option, problem) = match why.split_once(": ") {
            Some((option, problem)) if is_option(option) => (option.to_owned(), problem.to_owned()),
            Some(_) | None => (String::new(), why),
        };
        let cause = DeathCause { option, problem: without_place(&problem) };
        let found =
            self.causes.entry(cause).or_insert_with(|| DeathEvents { first: problem, types: Vec::new() });
        if !found.types.contains(&event.event_type) {
            found.types.push(event.event_type);
        }
    }

    pub(super) fn report(
        self,
        loaded: &LoadedConf,
        action: &ActionConf,
        warnings: &mut Vec<Warning>,
    ) -> bool {
        let is_hopeless = self.dead > 0 && self.dead == self.tried;
        // An unsuitable event may never arrive.
        if !is_hopeless && !self.any_is_certain {
            return false;
        }
        for (cause, events) in self.causes {
            let types = named(&events.types);
            let problem = match is_hopeless {
                true => {
                    format!("every event would become a dead letter; tried with {types}: {}", events.first)
                }
                false => format!("makes a dead letter of {types}: {}", events.first),
            };
            let finding = loaded.finding("action", &action.name, &cause.option, &problem);
            warnings.push(Warning(finding.allowed(remedy(&cause.problem, events.types[0]))));
        }
        is_hopeless
    }
}

fn is_option(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    begins && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn without_place(problem: &str) -> String {
    problem.split(" at line ").next().unwrap_or(problem).to_owned()
}

fn named(types: &[&str]) -> String {
    let more = types.len().saturating_sub(NAMED);
    let first = types[..types.len().min(NAMED)].join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

fn remedy(problem: &str, event: &str) -> String {
    match problem.split_once("the event has no ") {
        Some((_, name)) if name.starts_with("resource") => {
            format!("osnl explain shows what such an event has; {{{{ {name} | default(\"\") }}}} accepts a missing value")
        }
        Some((_, name)) => {
            format!("osnl events {event} lists its fields; {{{{ {name} | default(\"\") }}}} accepts a missing value")
        }
        None if problem.contains("not JSON") => "in JSON, strings and names are in double quotes, and every { needs a }; {{ NAME | tojson }} writes a whole value, \
             without quotes around it"
            .to_owned(),
        None => "osnl explain with such an event shows the effect".to_owned(),
    }
}
