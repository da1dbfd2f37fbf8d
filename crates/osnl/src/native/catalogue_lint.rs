//! Finds event types that no service of the catalogue sends, and fields that matched events lack.
//!
//! Other exchanges may carry anything, so only services of the catalogue are judged. Several share `openstack`; there a
//! pattern must begin like a known event.

mod bulk;
mod compared;
mod context;
mod fields;
mod forms;
mod hints;
mod impossible;
mod twice;
mod types;

use std::collections::HashMap;

use osnl_config::sections::{RawEntry, RawSection};
use osnl_config::template::Names;
use osnl_config::{Warning, nearest, shown};
use osnl_model::catalogue::{self, CatalogueEvent, LackingPath};
use osnl_model::{Pattern, Predicate, Priority, list_of};

use self::bulk::missed_bulk;
use self::fields::{EventFields, PathFields, ValueTypes};
use self::hints::{in_all_services, unanchored};
use self::impossible::{no_kind, no_publisher, no_publisher_in_when};
use self::types::{TEXT, is_text, other_type, project_of_request};
use super::canary;
use super::equalities;
use super::findings::finding_at;
use super::kinds::{ACTION, RULE};
use super::rule_events::RuleEvents;
use super::{ActionConf, ListenerConf, LoadedConf, Native, RuleConf};
use crate::rule::KeySource;

const SHARED: &str = "openstack";

#[derive(Default)]
struct LintCache<'a> {
    services: HashMap<Vec<&'a str>, (Vec<&'static CatalogueEvent>, bool)>,
    fields: EventFields,
}

struct Judge<'a> {
    conf: &'a Native,
    sections: HashMap<&'a str, &'a RawSection>,
}

const NAMED: usize = 8;

impl LoadedConf {
    /// Returns the parts of enabled rules that can never match by the [`catalogue`]: event types, payload keys, and
    /// names in `when`. Only commands that check a configuration use this.
    #[must_use]
    pub fn never_sent(&self) -> Vec<Warning> {
        let enabled = self.conf.rules.iter().filter(|rule| rule.enabled && *rule.rule.name != *canary::NAME);
        let sections = self.layers.sections.iter().filter(|section| section.def.kind == RULE);
        let sections = sections.map(|section| (section.name.as_str(), section)).collect();
        let judge = Judge { conf: &self.conf, sections };
        let mut asked = LintCache::default();
        let check = |rule| {
            let found = judge.check_rule(rule, &mut asked);
            let more = judge.no_context(rule).into_iter().chain(judge.no_bulk(rule));
            found.into_iter().chain(self.heard_twice(rule)).chain(more)
        };
        let mut found: Vec<Warning> = enabled.flat_map(check).collect();
        found.extend(self.conf.listeners.iter().filter_map(|listener| self.twice(listener)));
        found.extend(self.conf.actions.iter().flat_map(|action| self.no_field_in_action(action)));
        found
    }

    /// Warns of names in an action's `when` and templates that no event of any rule has which calls the action.
    fn no_field_in_action(&self, action: &ActionConf) -> Vec<Warning> {
        let conf = &self.conf;
        let calls =
            |rule: &&RuleConf| rule.enabled && rule.rule.takes_places_of().any(|name| *name == action.name);
        let is_open = |rule: &RuleConf| {
            let heard = conf.listeners.iter().filter(|listener| rule.listeners.contains(&listener.name));
            let shared = heard.flat_map(|listener| &listener.exchanges).any(|exchange| exchange == SHARED);
            shared && rule.rule.filter.event_type.is_none()
        };
        let mut events: Vec<&CatalogueEvent> = Vec::new();
        for rule in conf.rules.iter().filter(calls) {
            let RuleEvents { events: of_rule, is_certain } = conf.events_of(rule);
            if !is_certain || is_open(rule) {
                return Vec::new();
            }
            events.extend(of_rule);
        }
        let in_when = action.when.iter().flat_map(|when| when.paths());
        let in_when = in_when.map(|path| ("when".to_owned(), path.to_owned()));
        let found = in_when.chain(self.paths_in_templates(action, &events)).filter_map(|(option, path)| {
            let (problem, allowed, near) = match path.strip_prefix("payload.") {
                Some(inside) => {
                    let lacking = catalogue::lacking(&events, inside)?;
                    // A default may be for the events of other rules, whose payloads have nothing alike.
                    if option != "when" && lacking.inside.is_empty() && lacking.near.is_none() {
                        return None;
                    }
                    let problem = format!("no known event of the rules that call this action has {path}");
                    (problem, there(&lacking), lacking.near.map(|near| format!("payload.{near}")))
                }
                None => {
                    let (problem, near) = context::unknown_field(&path)?;
                    (problem, context::USUAL.to_owned(), near)
                }
            };
            let mut finding = self.finding(ACTION, &action.name, &option, &problem).allowed(allowed);
            finding.suggestion = near;
            Some(Warning(finding))
        });
        found.collect()
    }

    /// Returns the options of an action with the names in their templates. Those of the payload are from templates that an
    /// event can fill: the trial of an action reports the others.
    fn paths_in_templates(&self, action: &ActionConf, events: &[&CatalogueEvent]) -> Vec<(String, String)> {
        let sampled = events.iter().find(|event| event.sample().is_some());
        let names = sampled.map(|event| Names::from(event.example()));
        let sections = self.layers.sections.iter();
        let of_action = sections.filter(|section| section.def.kind == ACTION && section.name == *action.name);
        let entries = of_action.flat_map(|section| &section.entries);
        let paths = |entry: &RawEntry| {
            let Some(template) = self.template(entry) else { return Vec::new() };
            let is_filled = names.as_ref().is_some_and(|names| template.render(names).is_ok());
            let counts = |path: &&str| is_filled || path.starts_with("context.");
            template.paths().filter(counts).map(|path| (entry.option.clone(), path.to_owned())).collect()
        };
        entries.filter(|entry| entry.option != "when" && entry.text.contains('{')).flat_map(paths).collect()
    }
}

impl<'a> Judge<'a> {
    fn check_rule(&self, rule: &RuleConf, asked: &mut LintCache<'a>) -> Vec<Warning> {
        let heard = self.conf.listeners.iter().filter(|listener| rule.listeners.contains(&listener.name));
        let exchanges: Vec<&str> =
            heard.flat_map(|listener: &ListenerConf| listener.exchanges.iter().map(String::as_str)).collect();
        let LintCache { services, fields } = asked;
        let (known, all_known) = services.entry(exchanges.clone()).or_insert_with(|| {
            let known: Vec<&CatalogueEvent> =
                catalogue::events().iter().filter(|event| exchanges.contains(&event.exchange())).collect();
            let all_known = exchanges.iter().all(|name| known.iter().any(|event| event.exchange() == *name));
            (known, all_known)
        });
        let (known, all_known) = (&known[..], *all_known);
        let mut heard = self.conf.listeners.iter().filter(|listener| rule.listeners.contains(&listener.name));
        if !all_known || !heard.all(ListenerConf::names_services) {
            return self.no_resource(rule).into_iter().collect();
        }
        let pattern = rule.rule.filter.event_type.as_ref();
        let matched: Vec<&CatalogueEvent> = known
            .iter()
            .copied()
            .filter(|event| pattern.is_none_or(|pattern| pattern.is_match(event.event_type)))
            .collect();
        if let Some(warning) = self.no_event_in_when(rule, known, &exchanges) {
            return vec![warning];
        }
        match (pattern, matched.is_empty()) {
            (Some(pattern), true) => self
                .no_event(rule, pattern, known, &exchanges)
                .or_else(|| self.no_resource(rule))
                .into_iter()
                .collect(),

            // Other services of the exchange may have the field.
            (None, _) if exchanges.contains(&SHARED) => Vec::new(),
            (_, false) => {
                let mut found: Vec<Warning> =
                    pattern.and_then(|_| self.elsewhere(rule, &matched)).into_iter().collect();
                if found.is_empty() {
                    found.extend(self.in_part(rule, &matched));
                }
                let publisher = no_publisher(&rule.rule, &matched).map(|found| ("publisher_id", found));
                let in_when = no_publisher_in_when(&rule.rule, &matched).map(|found| ("when", found));
                let kind = no_kind(&rule.rule, &matched).map(|found| ("when", found));
                for (option, (problem, mend)) in publisher.into_iter().chain(in_when).chain(kind) {
                    found.push(self.warning(rule, option, &problem, &mend, None));
                }
                let mut fields = fields.for_events(&matched);
                for key in payload_keys(rule) {
                    found.extend(self.no_text(rule, key, fields.at(key)));
                }
                let when = rule.rule.when.iter().flat_map(|when| when.paths());
                for path in when.filter_map(|path| path.strip_prefix("payload.")) {
                    found.extend(self.no_field(rule, "when", path, fields.at(path)));
                }
                if let KeySource::Value(key) = &rule.rule.key
                    && let Some(path) = key.in_payload()
                {
                    found.extend(self.no_key(rule, path, fields.at(path), &matched));
                }
                found.extend(self.no_field_of_resource(rule, &matched));
                for compared in rule.rule.when.iter().flat_map(|when| compared::compared_names(when.source()))
                {
                    let values = match compared.name.strip_prefix("payload.") {
                        Some(path) => match fields.at(path) {
                            PathFields::Values(values) => Some(values),
                            PathFields::Nothing(_) => None,
                        },
                        None => is_text(&compared.name).then_some(&TEXT),
                    };
                    let never = values.and_then(|values| other_type(&compared, values));
                    found.extend(
                        never.map(|(problem, mend)| self.warning(rule, "when", &problem, &mend, None)),
                    );
                }
                let project = project_of_request(&rule.rule, &matched);
                found.extend(
                    project.map(|(option, problem, mend)| self.warning(rule, &option, &problem, mend, None)),
                );
                found
            }
            (None, true) => Vec::new(),
        }
    }

    /// Warns of fields of the request context in the conditions and the key of a rule.
    fn no_context(&self, rule: &RuleConf) -> Vec<Warning> {
        let in_when = rule.rule.when.iter().flat_map(|when| when.paths());
        let in_when = in_when.map(|path| ("when".to_owned(), path.to_owned()));
        let key = ("key".to_owned(), rule.rule.key.to_string());
        let section = self.sections.get(&*rule.rule.name).copied();
        let options = section.into_iter().flat_map(|section| &section.entries).map(|entry| &entry.option);
        let options = options.map(|option| (option.clone(), option.clone()));
        let unknown = |(option, path): (String, String)| {
            let (problem, near) = context::unknown_field(&path)?;
            Some(self.warning(rule, &option, &problem, context::USUAL, near.as_deref()))
        };
        let found: Vec<Warning> = in_when.chain([key]).chain(options).filter_map(unknown).collect();
        if found.is_empty() || self.conf.events_of(rule).is_certain { found } else { Vec::new() }
    }

    fn no_bulk(&self, rule: &RuleConf) -> Option<Warning> {
        let (option, problem, mend) = missed_bulk(self.conf, rule)?;
        Some(self.warning(rule, &option, &problem, &mend, None))
    }

    /// Warns of a resource in the conditions of a rule whose events the catalogue does not have.
    fn no_resource(&self, rule: &RuleConf) -> Option<Warning> {
        let place = self.conf.uncatalogued(rule)?;
        let in_when = rule.rule.when.iter().flat_map(|when| when.paths()).find(|path| is_of_resource(path));
        let (option, path) = match (in_when, &rule.rule.key) {
            (Some(path), _) => ("when", path.to_owned()),
            (None, key @ KeySource::Value(_)) => ("key", key.to_string()),
            (None, KeySource::Resource | KeySource::None) => return None,
        };
        let found = is_of_resource(&path).then(|| unknown_resource(&path, &place))?;
        Some(self.warning(rule, option, &found, RESOURCE_OF_UNKNOWN, None))
    }

    fn no_event_in_when(
        &self,
        rule: &RuleConf,
        known: &[&CatalogueEvent],
        exchanges: &[&str],
    ) -> Option<Warning> {
        let wanted = equalities::find(rule.rule.when.as_ref()?.source());
        let types = wanted.into_iter().find(|wanted| wanted.name == "event_type")?.texts;
        let names = || known.iter().map(|event| event.event_type);
        if exchanges.contains(&SHARED) || types.iter().any(|wanted| names().any(|name| name == wanted)) {
            return None;
        }
        let near = types.iter().find_map(|wanted| nearest(wanted, names()));
        let problem = format!("requires an event type that is not known from {}", exchanges.join(" and "));
        if types.iter().any(|wanted| wanted.contains(['*', '^', '$', '\\'])) {
            let mend =
                "== compares whole strings; write a pattern in the option event_type, or after is match";
            return Some(self.warning(rule, "when", &problem, mend, None));
        }
        Some(self.warning(rule, "when", &problem, "osnl events lists them", near))
    }

    fn elsewhere(&self, rule: &RuleConf, matched: &[&CatalogueEvent]) -> Option<Warning> {
        let heard = || self.conf.listeners.iter().filter(|listener| rule.listeners.contains(&listener.name));
        let usual = |topic: &str| catalogue::events().iter().any(|event| event.topics.contains(&topic));
        let mut all = heard().flat_map(|listener| &listener.topics);
        if !all.all(|topic| usual(topic)) || matched.iter().any(|event| event.topics.is_empty()) {
            return None;
        }
        let heard_of: Vec<&CatalogueEvent> =
            matched.iter().copied().filter(|event| heard().any(|listener| comes(event, listener))).collect();
        let listed = |mut names: Vec<&str>| {
            names.sort_unstable();
            names.dedup();
            names.join(", ")
        };
        if heard_of.is_empty() {
            let topics = listed(matched.iter().flat_map(|event| event.topics.iter().copied()).collect());
            let ours =
                listed(heard().flat_map(|listener| listener.topics.iter().map(String::as_str)).collect());
            let problem =
                format!("its events are published to topic {topics}, but its listeners read topic {ours}");
            let form = forms::notification_format(matched).map_or_else(String::new, |form| {
                format!("; nova publishes this form with notification_format = {form} or both")
            });
            let mend = format!("add the topic to a listener of the rule{form}");
            return Some(self.warning(rule, "event_type", &problem, &mend, None));
        }
        // An unrecorded event may have any priority.
        if heard_of.iter().any(|event| !event.recorded || event.priorities.is_empty()) {
            return None;
        }
        let wanted = |priority: &&str| {
            let priority = Priority::parse(priority);
            heard().any(|listener| listener.priorities.contains(&priority))
                && rule.rule.priorities.as_ref().is_none_or(|of_rule| of_rule.contains(&priority))
        };
        if heard_of.iter().any(|event| event.priorities.iter().any(wanted)) {
            return None;
        }
        let priorities = listed(heard_of.iter().flat_map(|event| event.priorities.iter().copied()).collect());
        let problem = format!("its events were only seen with priority {}", priorities.to_lowercase());
        let option = if rule.rule.priorities.is_some() { "priorities" } else { "event_type" };
        Some(self.warning(rule, option, &problem, "name it in priorities of rule and listener", None))
    }

    fn in_part(&self, rule: &RuleConf, matched: &[&CatalogueEvent]) -> Vec<Warning> {
        let listeners: Vec<&ListenerConf> =
            self.conf.listeners.iter().filter(|listener| rule.listeners.contains(&listener.name)).collect();
        let is_heard = |event: &&CatalogueEvent| listeners.iter().any(|listener| comes(event, listener));
        let heard: Vec<&CatalogueEvent> = matched.iter().copied().filter(is_heard).collect();
        let Some(pattern) = &rule.rule.filter.event_type else { return Vec::new() };
        let publisher = forms::missed_publisher(&rule.rule, &heard).map(|found| ("publisher_id", found));
        let twice = forms::both_forms(&rule.rule, pattern, &heard).map(|found| ("event_type", found));
        let errors = forms::unread_errors(&rule.rule, pattern, &heard, &listeners);
        let found = publisher.into_iter().chain(twice).chain(errors.map(|found| ("event_type", found)));
        found.map(|(option, (problem, mend))| self.warning(rule, option, &problem, &mend, None)).collect()
    }

    fn no_event(
        &self,
        rule: &RuleConf,
        pattern: &Pattern,
        known: &[&CatalogueEvent],
        exchanges: &[&str],
    ) -> Option<Warning> {
        let written = literal(pattern.as_str());
        let first = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let begins = known.iter().any(|event| first(event.event_type) == first(&written));
        if exchanges.contains(&SHARED) && !begins {
            return None;
        }
        let names = known.iter().map(|event| event.event_type);
        let near = nearest(&written, names.clone()).or_else(|| {
            catalogue::alike(&written, usize::MAX)
                .into_iter()
                .find(|near| names.clone().any(|name| name == *near))
        });
        let problem = format!("matches no known event of {}", exchanges.join(" and "));
        if let Some(event) = catalogue::events().iter().find(|event| pattern.is_match(event.event_type)) {
            let elsewhere =
                format!("{} sends such events, to the exchange {}", event.service, event.exchange());
            return Some(self.warning(rule, "event_type", &problem, &elsewhere, None));
        }
        if let Some(mend) = unanchored(pattern, known) {
            return Some(self.warning(rule, "event_type", &problem, &mend, None));
        }
        Some(self.warning(rule, "event_type", &problem, "osnl events lists them", near))
    }

    fn no_field(&self, rule: &RuleConf, option: &str, path: &str, found: &PathFields) -> Option<Warning> {
        let PathFields::Nothing(lacking) = found else { return None };
        let problem = format!("none of the known events of this rule has payload.{path}");
        let near = lacking.near.as_ref().map(|near| format!("payload.{near}"));
        let last = |path: &str| path.rsplit('.').next().map(str::to_owned);
        let is_same_key = lacking.near.as_ref().is_some_and(|near| last(near) == last(path));
        let in_all = in_all_services(path).filter(|_| !is_same_key).map(|field| format!("resource.{field}"));
        let near: Vec<String> = near.into_iter().chain(in_all).collect();
        let near = Some(near.join(" or ")).filter(|near| !near.is_empty());
        Some(self.warning(rule, option, &problem, &there(lacking), near.as_deref()))
    }

    /// Warns of a key that orders nothing: no event has it, its value is a list or an object, or it leads through the list
    /// of a bulk request, whose resources are ordered one by one.
    fn no_key(
        &self,
        rule: &RuleConf,
        path: &str,
        found: &PathFields,
        matched: &[&CatalogueEvent],
    ) -> Option<Warning> {
        let (problem, mend) = match (found, path_in_single_resource(path, matched)) {
            (PathFields::Nothing(_), _) => return self.no_field(rule, "key", path, found),
            (_, Some(of_one)) => (
                format!(
                    "payload.{path} orders nothing: each resource of a bulk request has a payload of its own"
                ),
                format!("write {of_one}"),
            ),
            (PathFields::Values(ValueTypes { event, text: false, number: false, boolean: false }), None) => (
                format!(
                    "payload.{path} is never a string, number, or boolean in the events of this rule, and orders nothing"
                ),
                format!("see osnl events {event}"),
            ),
            (PathFields::Values(_), None) => return None,
        };
        Some(self.warning(rule, "key", &problem, &mend, None))
    }

    fn no_field_of_resource(&self, rule: &RuleConf, matched: &[&CatalogueEvent]) -> Option<Warning> {
        let key = rule.rule.key.to_string();
        let field = key.strip_prefix("resource.")?.split('.').next()?;
        let name = format!("resource.{field}");
        let may_have = |event: &&CatalogueEvent| {
            event.sample().is_none() || Names::from(event.example()).json(&name).is_some()
        };
        if matched.iter().any(may_have) {
            return None;
        }
        let problem = format!("none of the known events of this rule has {name}");
        Some(self.warning(rule, "key", &problem, "osnl explain with an event shows its resource", None))
    }

    fn no_text(&self, rule: &RuleConf, path: &str, found: &PathFields) -> Option<Warning> {
        let option = format!("payload.{path}");
        match found {
            PathFields::Nothing(lacking) => {
                let problem = "none of the known events of this rule has this key";
                Some(self.warning(rule, &option, problem, &there(lacking), lacking.near.as_deref()))
            }
            PathFields::Values(values) if !values.text => {
                let problem = "is never a string in the events of this rule, and only strings are compared";
                Some(self.warning(rule, &option, problem, &format!("see osnl events {}", values.event), None))
            }
            PathFields::Values(_) => None,
        }
    }

    fn warning(
        &self,
        rule: &RuleConf,
        option: &str,
        problem: &str,
        allowed: &str,
        near: Option<&str>,
    ) -> Warning {
        let section = self.sections.get(&*rule.rule.name).copied();
        let mut finding = finding_at(section, option, problem).allowed(allowed);
        finding.suggestion = near.map(|name| shown(name).trim_matches('"').to_owned());
        Warning(finding)
    }
}

fn comes(event: &CatalogueEvent, listener: &ListenerConf) -> bool {
    let exchange = listener.exchanges.iter().any(|name| name == event.exchange());
    exchange && listener.topics.iter().any(|topic| event.topics.contains(&topic.as_str()))
}

pub(super) const RESOURCE_OF_UNKNOWN: &str =
    "name the field of the payload, such as payload.id; osnl explain with an event shows its resource";

pub(super) fn is_of_resource(path: &str) -> bool {
    path.starts_with("resource.")
}

pub(super) fn unknown_resource(path: &str, place: &str) -> String {
    format!("no event of the catalogue can come from {place} here, and {path} may be missing in others")
}

fn payload_keys(rule: &RuleConf) -> impl Iterator<Item = &str> {
    let inside = rule.rule.nested.iter().filter_map(|nested| match &nested.predicate {
        Predicate::Payload(path) => Some(path.as_str()),
        Predicate::PublisherId | Predicate::EventType | Predicate::Context(_) | Predicate::Metadata(_) => {
            None
        }
    });
    rule.rule.filter.payload.keys().map(String::as_str).chain(inside)
}

/// Returns the path in the payload of one resource to what a path names in the list of a bulk request.
fn path_in_single_resource(path: &str, matched: &[&CatalogueEvent]) -> Option<String> {
    matched.iter().find_map(|event| {
        let in_list = path.strip_prefix(&*list_of(event.event_type))?.strip_prefix('.')?;
        let (item, field) = in_list.split_once('.')?;
        let kind = event.event_type.split('.').next()?;
        item.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("payload.{kind}.{field}"))
    })
}

fn there(lacking: &LackingPath) -> String {
    let place = match lacking.inside.as_str() {
        "" => "their payloads have".to_owned(),
        inside => format!("{inside} has"),
    };
    let (named, more) = match lacking.keys.get(..NAMED) {
        Some(first) if lacking.keys.len() > NAMED => (first, ", …"),
        Some(_) | None => (&lacking.keys[..], ""),
    };
    match named {
        [] => format!("{place} no key"),
        ["*"] => format!("{place} a list, with the items 0, 1, …"),
        named => format!("{place} {}{more}", named.join(", ")),
    }
}

fn literal(pattern: &str) -> String {
    let mut out = String::new();
    let mut escaped = false;
    for c in pattern.trim_start_matches("(?i)").trim_start_matches('^').chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '[' | '(' | '|' | '{' if !escaped => break,
            '*' | '+' | '?' | '$' if !escaped => {}
            c => {
                out.push(c);
                escaped = false;
            }
        }
    }
    out.trim_end_matches('.').to_owned()
}
