//! `[action:NAME]`: which driver, its own options, and what every action has.

use super::driver::{DRIVERS, DriverEntry, driver, names};
use super::schema::{ACTION, SECTIONS};
use super::section::Reader;
use super::{ActionConf, RuleConf, deliveries, fallback, when};
use crate::config::{nearest, typed};

/// What every action has is read here, whatever its driver: the pace and bounds of its deliveries, its guard, its condition,
/// and the action that does instead what it gives up, one of `actions`.
pub(super) fn action(reader: &mut Reader<'_>, actions: &[&str]) -> Option<ActionConf> {
    let known = which(reader)?;
    let foreign = refuse_foreign(reader, known.table.name);
    let conf = (known.read)(reader);
    let gathers = conf.as_ref().and_then(|conf| conf.conf().gathers());
    let delivery = deliveries::settings(reader, gathers);
    let (guard, on_full) = (deliveries::guard(reader), deliveries::on_full(reader));
    let (when, on_failure) = (when::read(reader), fallback::read(reader, actions));
    if foreign {
        return None;
    }
    Some(ActionConf {
        name: reader.section.name.as_str().into(),
        driver: conf?,
        delivery: delivery?,
        when: when.ok()?,
        on_failure: on_failure?,
        guard: guard?,
        on_full: on_full?,
    })
}

fn which(reader: &mut Reader<'_>) -> Option<&'static DriverEntry> {
    let words: Vec<(&str, &str)> = names().into_iter().map(|name| (name, name)).collect();
    let name = match reader.is_set("driver") {
        true => reader.word("driver", &words),
        false => reader.required("driver", &format!("allowed: {}", names().join(", "))).and(None),
    }?;
    if reader.section.driver() != Some(name) {
        // Defaults and secrets are looked up by the driver, before anything is replaced.
        return reader.refuse("driver", "cannot be the value of another option", "write the driver's name");
    }
    driver(name)
}

/// Options that only other drivers have; whether there is one.
fn refuse_foreign(reader: &mut Reader<'_>, driver: &'static str) -> bool {
    let mut foreign = false;
    for option in reader.keys("") {
        let Some(def) = reader.section.option(&option) else { continue };
        if def.driver.is_none_or(|of| of == driver) {
            continue;
        }
        foreign = true;
        let section = reader.section.def;
        let own = section.all_options().filter(|o| o.driver == Some(driver)).map(|o| o.name);
        let suggestion = nearest(&option, own).map(str::to_owned);
        let have = DRIVERS.iter().filter(|entry| entry.table.options_named(&option).next().is_some());
        let have: Vec<&str> = have.map(|entry| entry.table.name).collect();
        let verb = if have.len() == 1 { "has" } else { "have" };
        let allowed = format!("{} {verb} it", have.join(", "));
        let refusal = typed::Refusal::new(format!("is no option of the driver {driver}"), allowed);
        reader.refused::<()>(&option, typed::Refusal { suggestion, ..refusal });
    }
    foreign
}

/// Gives rules the conditions of the actions they fire, and the names of those behind them.
pub(super) fn conditions(rules: &mut [RuleConf], actions: &mut [ActionConf]) {
    fallback::resolve(actions);
    for rule in rules.iter_mut().map(|conf| &mut conf.rule) {
        let fired = actions.iter().filter(|action| rule.actions.contains(&action.name));
        let own = fired.filter_map(|action| Some((action.name.clone(), action.when.clone()?)));
        rule.conditions = own.collect();
        let behind = rule.actions.iter().flat_map(|name| fallback::chain(actions, name));
        rule.fallbacks = behind.cloned().collect();
    }
}

impl ActionConf {
    /// What an option of all actions is for this driver when nothing sets it.
    pub(super) fn default_of(&self, option: &str) -> Option<&'static str> {
        let def = SECTIONS.iter().find(|def| def.kind == ACTION)?.option(option)?;
        self.driver.table().default_of(option).or(def.default)
    }
}
