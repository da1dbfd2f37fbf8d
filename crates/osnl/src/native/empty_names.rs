//! Finds fields of a resource that a template writes and that its events leave empty, so that a request has an empty
//! name, or that the events of a service without a catalogue may lack.
//!
//! The catalogue's samples show empty fields, but not that nova gives its ports no name.

use std::collections::HashMap;

use osnl_config::sections::{RawEntry, RawSection};
use osnl_config::template::{Expression, Names, Template};
use osnl_config::{Finding, Warning};
use osnl_model::Notification;
use osnl_model::catalogue::{self, CatalogueEvent};

use super::canary;
use super::catalogue_lint::{RESOURCE_OF_UNKNOWN, is_of_resource, unknown_resource};
use super::kinds::ACTION;
use super::{LoadedConf, RuleConf};
use crate::action::driver::TEMPLATE_NAMES;

impl LoadedConf {
    /// Warns of templates whose `resource.name`, `user`, `host`, or `state` is empty in every possible event, or in
    /// ports of instances.
    pub(super) fn empty_names(&self) -> Vec<Warning> {
        let mut rules: HashMap<&str, Vec<&RuleConf>> = HashMap::new();
        for rule in self.conf.rules.iter().filter(|rule| rule.enabled && *rule.rule.name != *canary::NAME) {
            rule.rule.actions.iter().for_each(|action| rules.entry(action).or_default().push(rule));
        }
        let sections = self.layers.sections.iter().filter(|section| section.def.kind == ACTION);
        let of_section = |section: &RawSection| {
            let named: Vec<&RawEntry> =
                section.entries.iter().filter(|entry| entry.text.contains("resource")).collect();
            let rules = rules.get(&*section.name).filter(|_| !named.is_empty());
            let events = rules.map(|rules| self.events_of(rules)).unwrap_or_default();
            let uncatalogued = rules.into_iter().flatten().find_map(|rule| self.conf.uncatalogued(rule));
            let warning = |entry: &RawEntry| match &uncatalogued {
                Some(place) => self.warn_of_unknown(section, entry, place),
                None => self.warn_of_entry(section, entry, &events),
            };
            named.into_iter().filter_map(warning).collect::<Vec<_>>()
        };
        sections.flat_map(of_section).collect()
    }

    fn events_of(&self, rules: &[&RuleConf]) -> Vec<&'static CatalogueEvent> {
        let hears = |rule: &RuleConf, event: &CatalogueEvent| {
            self.conf.listeners.iter().any(|listener| {
                rule.listeners.contains(&listener.name)
                    && listener.exchanges.iter().any(|exchange| exchange == event.exchange())
            })
        };
        let fires = |event: &&CatalogueEvent| {
            rules.iter().any(|rule| {
                let pattern = rule.rule.filter.event_type.as_ref();
                pattern.is_some_and(|pattern| pattern.is_match(event.event_type)) && hears(rule, event)
            })
        };
        catalogue::events().iter().filter(fires).collect()
    }

    fn more_names(&self) -> Vec<&str> {
        let enrichments = self.conf.enrichments.iter().map(|enrich| &*enrich.name);
        TEMPLATE_NAMES.into_iter().chain(enrichments).collect()
    }

    pub(super) fn template(&self, entry: &RawEntry) -> Option<Template> {
        Template::compile(&entry.text, &self.more_names()).ok()
    }

    /// Returns a field of the resource that an option reads.
    fn field_of_resource(&self, entry: &RawEntry) -> Option<String> {
        let first = |mut paths: Vec<&str>| {
            paths.retain(|path| is_of_resource(path));
            paths.first().map(|path| (*path).to_owned())
        };
        if entry.option == "when" {
            return first(Expression::compile(&entry.text, &self.more_names()).ok()?.paths().collect());
        }
        first(self.template(entry)?.paths().collect())
    }

    fn warn_of_unknown(&self, section: &RawSection, entry: &RawEntry, place: &str) -> Option<Warning> {
        let problem = unknown_resource(&self.field_of_resource(entry)?, place);
        let finding =
            Finding::new("configuration", &problem).allowed(RESOURCE_OF_UNKNOWN).option(&entry.option);
        Some(Warning(finding.group(&section.heading()).from_origin(&entry.origin)))
    }

    fn warn_of_entry(
        &self,
        section: &RawSection,
        entry: &RawEntry,
        events: &[&CatalogueEvent],
    ) -> Option<Warning> {
        if events.is_empty() {
            return None;
        }
        let template = self.template(entry)?;
        let blank = |event: &&CatalogueEvent| {
            let sample = event.sample()?;
            let event_type = Some(event.event_type.to_owned());
            let sample =
                Notification { event_type, payload: sample.payload.clone(), ..Notification::default() };
            template.blank(&Names::from(sample))
        };
        let always = events.iter().map(blank).collect::<Option<Vec<String>>>();
        let of_ports = events.iter().find(|event| event.event_type.starts_with("port.")).and_then(|event| {
            let payload = serde_json::json!({"port": {"id": "P", "device_id": "I", "name": ""}});
            let event_type = Some(event.event_type.to_owned());
            let port = Notification { event_type, payload, ..Notification::default() };
            template.blank(&Names::from(port)).filter(|name| name == "resource.name")
        });
        let (name, place) = match (always, of_ports) {
            (Some(names), _) => (names.into_iter().next()?, "in every event that its rules match"),
            (None, Some(name)) => (name, "in events about ports that nova makes"),
            (None, None) => return None,
        };
        let problem = format!("{name} is empty {place}, and is written as an empty string");
        let allowed = format!("{{{{ {name}|default(\"unknown\") }}}} writes another text");
        let finding = Finding::new("configuration", &problem).allowed(&allowed).option(&entry.option);
        Some(Warning(finding.group(&section.heading()).from_origin(&entry.origin)))
    }
}
