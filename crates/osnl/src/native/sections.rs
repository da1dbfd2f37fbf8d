//! The digests of sections that daemons on a shared journal must have in common.
//!
//! A digest excludes secret options and files, and its 32 bits reveal nothing.

use std::collections::{BTreeMap, BTreeSet};

use osnl_config::sections::RawSection;
use osnl_model::BodyDigest;

use super::LoadedConf;
use super::kinds::{ACTION, ENRICH, JOURNAL, LISTENER, RULE};

/// The sections that decide which deliveries exist and how they are made.
const COMMON: [&str; 5] = [JOURNAL, LISTENER, RULE, ACTION, ENRICH];
const DIGITS: usize = 8;

impl LoadedConf {
    #[must_use]
    pub(crate) fn section_digests(&self) -> BTreeMap<String, String> {
        let common = self.layers.sections.iter().filter(|section| COMMON.contains(&section.def.kind));
        common.map(|section| (section.heading(), self.digest(section))).collect()
    }

    pub(super) fn digest_rules(&mut self) {
        let digests = self.section_digests();
        for listener in &mut self.conf.listeners {
            let rules = self.conf.rules.iter().filter(|rule| rule.listeners.contains(&listener.name));
            let text: String = rules
                .map(|conf| {
                    format!("{};", digests.get(&format!("{RULE}:{}", conf.rule.name)).map_or("", |one| one))
                })
                .collect();
            listener.rules_digest = BodyDigest::of(text.as_bytes()).to_string();
            listener.rules_digest.truncate(DIGITS);
        }
    }

    fn digest(&self, section: &RawSection) -> String {
        let names: BTreeSet<&str> = section.option_names().collect();
        let mut text = String::new();
        for name in names {
            let Some(option) = section.option(name) else { continue };
            let is_of_driver = option.driver.is_none_or(|driver| Some(driver) == section.driver());
            // The database is common, whichever of its hosts and users a daemon names.
            let is_place = section.def.kind == JOURNAL && name == "connection";
            if !is_of_driver || is_place || option.row.secret || option.row.is_secret(name) {
                continue;
            }
            if let Ok(Some(value)) = self.layers.resolve(section, name) {
                text.push_str(&format!("{}:{name}={}:{value};", name.len(), value.len()));
            }
        }
        let mut digest = BodyDigest::of(text.as_bytes()).to_string();
        digest.truncate(DIGITS);
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sources, load_texts};

    const CONF: &str = "[DEFAULT]\nstate_dir = /tmp/x\n[listener:l]\ntransport_url = rabbit://u:secret@h/\nexchange = x\n\
                        pool = osnl\n[rule:r]\nactions = a\nevent_type = ^one$\n\
                        [action:a]\ndriver = k2hr3\napi_url = https://k/v1/role\n";

    #[test]
    fn what_counts_for_all_daemons_has_a_digest_and_what_is_of_one_has_none() {
        let of = |text: &str| {
            let loaded = load_texts(&[("f".to_owned(), text.to_owned())], &Sources::default());
            loaded.unwrap_or_else(|errors| panic!("{errors}")).section_digests()
        };
        let before = of(CONF);
        let names: Vec<&str> = before.keys().map(String::as_str).collect();
        assert_eq!(names, ["action:a", "journal", "listener:l", "rule:r"]);
        let check = |from: &str, to: &str, expected: &[&str]| {
            assert!(CONF.contains(from), "{from}");
            let after = of(&CONF.replace(from, to));
            let different: Vec<&str> = after
                .iter()
                .filter(|(name, digest)| before.get(*name) != Some(*digest))
                .map(|(name, _)| name.as_str())
                .collect();
            assert_eq!(different, expected, "{to}");
        };
        check("state_dir = /tmp/x", "state_dir = /tmp/y", &[]);
        check("u:secret@h", "u:other@h", &[]);
        check("pool = osnl", "pool = osnl\n# a comment", &[]);
        check("^one$", "^two$", &["rule:r"]);
        check("pool = osnl", "pool = other", &["listener:l"]);
        check("api_url", "timeout = 3s\napi_url", &["action:a"]);
        check("event_type = ^one$", "event_type = ^one$\nmode = live", &[]);
    }
}
