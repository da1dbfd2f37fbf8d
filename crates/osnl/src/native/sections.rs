//! The digests of a listener's rules, by which daemons on one queue are compared.
//!
//! A digest excludes secret options, and its 32 bits reveal nothing.

use std::collections::{BTreeMap, BTreeSet};

use osnl_config::sections::RawSection;
use osnl_model::BodyDigest;

use super::LoadedConf;
use super::kinds::RULE;

const DIGITS: usize = 8;

impl LoadedConf {
    pub(super) fn digest_rules(&mut self) {
        let rules = self.layers.sections.iter().filter(|section| section.def.kind == RULE);
        let digests: BTreeMap<String, String> =
            rules.map(|section| (section.heading(), self.digest(section))).collect();
        for listener in &mut self.conf.listeners {
            let rules = self.conf.rules.iter().filter(|rule| rule.listeners.contains(&listener.name));
            let text: String = rules
                .map(|conf| {
                    format!("{};", digests.get(&format!("{RULE}:{}", conf.rule.name)).map_or("", |one| one))
                })
                .collect();
            listener.rules_digest = digest(&text);
        }
    }

    fn digest(&self, section: &RawSection) -> String {
        let names: BTreeSet<&str> = section.option_names().collect();
        let mut text = String::new();
        for name in names {
            let Some(option) = section.option(name) else { continue };
            if option.row.secret || option.row.is_secret(name) {
                continue;
            }
            if let Ok(Some(value)) = self.layers.resolve(section, name) {
                text.push_str(&format!("{}:{name}={}:{value};", name.len(), value.len()));
            }
        }
        digest(&text)
    }
}

fn digest(text: &str) -> String {
    let mut digest = BodyDigest::new(text.as_bytes()).to_string();
    digest.truncate(DIGITS);
    digest
}

#[cfg(test)]
mod tests {
    use super::super::{Sources, load_texts};

    const CONF: &str = "[DEFAULT]\nstate_dir = /tmp/x\n[listener:l]\ntransport_url = rabbit://u:secret@h/\nexchange = x\n\
                        pool = osnl\n[rule:r]\nactions = a\nevent_type = ^one$\n\
                        [action:a]\ndriver = k2hr3\napi_url = https://k/v1/role\n";

    #[test]
    fn the_digest_of_a_listener_is_that_of_what_its_rules_mean() {
        let digest = |text: &str| {
            let loaded = load_texts(&[("f".to_owned(), text.to_owned())], &Sources::default());
            loaded.unwrap_or_else(|errors| panic!("{errors}")).conf.listeners[0].rules_digest.clone()
        };
        let check = |from: &str, to: &str, is_same: bool| {
            assert!(CONF.contains(from), "{from}");
            assert_eq!(digest(CONF) == digest(&CONF.replace(from, to)), is_same, "{to}");
        };
        check("state_dir = /tmp/x", "state_dir = /tmp/y", true);
        check("pool = osnl", "pool = other", true);
        check("event_type = ^one$", "event_type = ^one$\nmode = live\n# a comment", true);
        check("^one$", "^two$", false);
        check("[action:a]", "[rule:s]\nactions = a\nevent_type = ^one$\n[action:a]", false);
    }
}
