//! `[action:NAME]`: which driver, its own options, and what every action has.

use std::sync::Arc;

use super::ActionConf;
use super::deliveries;
use super::driver::{DRIVERS, DriverEntry, driver, names};
use super::schema::{ACTION, ENRICH, SECTIONS};
use super::section::Reader;
use crate::config::{nearest, typed};
use crate::template::Expression;

/// What every action has is read here, whatever its driver: the pace and bounds of its deliveries, and its guard. Further
/// options of all actions (a condition of its own, another action for what is given up) have their place beside the guard.
pub(super) fn action(reader: &mut Reader<'_>, enrichments: &[&str]) -> Option<ActionConf> {
    let known = which(reader)?;
    let foreign = refuse_foreign(reader, known.table.name);
    let conf = (known.read)(reader);
    let delivery = deliveries::settings(reader);
    let enrich = match reader.is_set("enrich") {
        true => reader.references("enrich", ENRICH, enrichments),
        false => Some(Vec::new()),
    };
    let named = reader.enrichments();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let when = reader.compiled("when", |text| Expression::compile(text, &named));
    let (guard, on_full) = (deliveries::guard(reader), deliveries::on_full(reader));
    if foreign {
        return None;
    }
    Some(ActionConf {
        name: reader.section.name.as_str().into(),
        driver: conf?,
        delivery: delivery?,
        guard: guard?,
        on_full: on_full?,
        enrich: enrich?.iter().map(|name| Arc::from(name.as_str())).collect(),
        when: when.ok()?,
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

impl ActionConf {
    /// What an option of all actions is for this driver when nothing sets it.
    pub(super) fn default_of(&self, option: &str) -> Option<&'static str> {
        let def = SECTIONS.iter().find(|def| def.kind == ACTION)?.option(option)?;
        self.driver.table().default_of(option).or(def.default)
    }
}
