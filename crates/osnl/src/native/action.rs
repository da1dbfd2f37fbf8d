use std::sync::Arc;

use osnl_config::sections::SectionReader;
use osnl_config::template::Expression;
use osnl_config::{Options as _, nearest, typed};

use super::deliveries::ActionOptions;
use super::drivers::Drivers;
use super::kinds::{ACTION, ENRICH};
use super::schema::SECTIONS;
use super::{ActionConf, Native, RuleConf, fallback, when};
use crate::action::driver::{DriverEntry, NativeReader};
use crate::enrich::EnrichConf;

pub(super) fn action(
    reader: &mut SectionReader<'_>,
    drivers: Drivers,
    enrichments: &[&str],
    actions: &[&str],
) -> Option<ActionConf> {
    let known = which(reader, drivers)?;
    let foreign = refuse_foreign(reader, drivers, known.table.name);
    let conf = (known.read)(reader);
    if let Some(conf) = &conf {
        reader.warn_of_logins(&conf.conf().logins());
    }
    let traits = conf.as_ref().map(|conf| conf.conf().traits()).unwrap_or_default();
    let own = ActionOptions::read(reader);
    let delivery = own
        .as_ref()
        .map(|own| own.settings(traits.gathers, traits.hosts.unwrap_or_default(), reader.is_set("batch")));
    let enrich = match reader.is_set("enrich") {
        true => reader.references("enrich", ENRICH, enrichments),
        false => Some(Vec::new()),
    };
    let named = reader.enrichments();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let (when, on_failure) = (when::read(reader, &named), fallback::read(reader, actions));
    let own = own.filter(|_| !foreign)?;
    Some(ActionConf {
        name: reader.section.name.as_str().into(),
        driver: conf?,
        delivery: delivery?,
        when: when.ok()?,
        on_failure: on_failure?,
        guard: own.guard,
        terms: own.terms(),
        enrich: enrich?.iter().map(|name| Arc::from(name.as_str())).collect(),
    })
}

fn which(reader: &mut SectionReader<'_>, drivers: Drivers) -> Option<&'static DriverEntry> {
    let words: Vec<(&str, &str)> = drivers.names().into_iter().map(|name| (name, name)).collect();
    let name = match reader.is_set("driver") {
        true => reader.word("driver", words),
        false => reader.required("driver", &format!("allowed: {}", drivers.names().join(", "))).and(None),
    }?;
    if reader.section.driver() != Some(name) {
        // The driver selects defaults and secrets before values are replaced.
        return reader.refuse("driver", "cannot be the value of another option", "write the driver's name");
    }
    drivers.named(name)
}

fn refuse_foreign(reader: &mut SectionReader<'_>, drivers: Drivers, driver: &'static str) -> bool {
    let mut foreign = false;
    for option in reader.keys("") {
        let Some(def) = reader.section.option(&option) else { continue };
        if def.driver.is_none_or(|of| of == driver) {
            continue;
        }
        foreign = true;
        let section = reader.section.def;
        let own = section.all_options().filter(|o| o.driver == Some(driver)).map(|o| o.row.name);
        let suggestion = nearest(&option, own).map(str::to_owned);
        let have =
            drivers.entries().iter().filter(|entry| entry.table.options_named(&option).next().is_some());
        let have: Vec<&str> = have.map(|entry| entry.table.name).collect();
        let verb = if have.len() == 1 { "has" } else { "have" };
        let allowed = format!("{} {verb} it", have.join(", "));
        let refusal = typed::ValueRefusal::new(format!("is not an option of the driver {driver}"), allowed);
        reader.refused::<()>(&option, typed::ValueRefusal { suggestion, ..refusal });
    }
    foreign
}

pub(super) fn conditions(rules: &mut [RuleConf], actions: &mut [ActionConf]) {
    fallback::resolve(actions);
    let gathering = fallback::gathering(actions);
    for rule in rules.iter_mut().map(|conf| &mut conf.rule) {
        let fired = actions.iter().filter(|action| rule.actions.contains(&action.name));
        let own = fired.filter_map(|action| Some((action.name.clone(), action.decided_early()?.clone())));
        rule.conditions = own.collect();
        let behind = rule.actions.iter().flat_map(|name| fallback::chain(actions, name));
        rule.fallbacks = behind.cloned().collect();
        rule.unordered = gathering.iter().filter(|name| rule.actions.contains(name)).cloned().collect();
        let fired = actions.iter().filter(|action| rule.actions.contains(&action.name));
        rule.on_failure =
            fired.filter_map(|action| Some((action.name.clone(), action.on_failure.clone()?))).collect();
    }
}

impl Native {
    pub(crate) fn asked_by<'a>(&'a self, action: &'a ActionConf) -> impl Iterator<Item = &'a EnrichConf> {
        let named = |name: &'a Arc<str>| self.enrichments.iter().find(|conf| conf.name == *name);
        action.enrich.iter().filter_map(named)
    }
}

impl ActionConf {
    /// Returns a condition on the event alone, which is decided before anything is kept.
    pub(super) fn decided_early(&self) -> Option<&Expression> {
        self.when.as_ref().filter(|when| !self.looks_at_answers(when))
    }

    pub(crate) fn decided_late(&self) -> Option<&Expression> {
        self.when.as_ref().filter(|when| self.looks_at_answers(when))
    }

    fn looks_at_answers(&self, when: &Expression) -> bool {
        let first = |path: &str| path.split(['.', '[']).next().unwrap_or_default().to_owned();
        when.paths().any(|path| self.enrich.iter().any(|name| **name == *first(path)))
    }

    pub(super) fn default_of(&self, option: &str) -> Option<&'static str> {
        let def = SECTIONS.iter().find(|def| def.kind == ACTION)?.option(option)?;
        self.driver.table().default_of(option).or(def.row.default)
    }
}
