use std::collections::BTreeMap;

use osnl_config::Warning;
use osnl_config::template::EvalError;
use osnl_core::misfit::{Misfit, MisfitCause};
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
    /// The message without its place in the text.
    problem: String,
}

struct DeathEvents {
    first: MisfitCause,
    types: Vec<&'static str>,
}

impl Deaths {
    pub(super) fn add(&mut self, event: &CatalogueEvent, why: Option<Misfit>, is_certain: bool) {
        self.tried += 1;
        self.any_is_certain |= is_certain;
        let Some(Misfit { option, cause: first }) = why else { return };
        self.dead += 1;
        let cause = DeathCause { option: option.unwrap_or_default(), problem: first.without_place() };
        let found = self.causes.entry(cause).or_insert_with(|| DeathEvents { first, types: Vec::new() });
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
            warnings.push(Warning(finding.allowed(remedy(&events.first, events.types[0]))));
        }
        is_hopeless
    }
}

fn named(types: &[&str]) -> String {
    let more = types.len().saturating_sub(NAMED);
    let first = types[..types.len().min(NAMED)].join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

fn remedy(cause: &MisfitCause, event: &str) -> String {
    match cause {
        MisfitCause::Eval(EvalError::Lacks { name }) if name.starts_with("resource") => {
            format!("osnl explain shows what such an event has; {{{{ {name} | default(\"\") }}}} accepts a missing value")
        }
        MisfitCause::Eval(EvalError::Lacks { name }) => {
            format!("osnl events {event} lists its fields; {{{{ {name} | default(\"\") }}}} accepts a missing value")
        }
        MisfitCause::NotJson { .. } => "in JSON, strings and names are in double quotes, and every { needs a }; {{ NAME | tojson }} writes a whole value, \
             without quotes around it"
            .to_owned(),
        MisfitCause::Eval(_) | MisfitCause::Other(_) => "osnl explain with such an event shows the effect".to_owned(),
    }
}
