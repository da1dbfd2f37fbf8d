//! The differences between two configurations, section by section. Pure.
//!
//! Effective values are compared: secrets, certificates, and entries of `clouds.yaml` by content, plug-ins and programs
//! by modification time. A section with TLS and without a `ca_file` names the system's certificates, which are compared by
//! their files' states, as those of a folder are.
//! Reports name options, never values.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use osnl_config::sections::{Layers, RawSection};
use osnl_config::{ConfigError, Finding, ValueOrigin};

use super::kinds::{ACTION, ADMIN, CANARY, DEFAULT, ENRICH, JOURNAL};
use super::{LoadedConf, programs};
use crate::actions::cloud;
use crate::daemon::SectionChangeKind;

pub(crate) struct ConfigurationValues(Vec<(String, SectionValues)>);

struct SectionValues {
    values: BTreeMap<String, OptionValue>,
}

#[derive(Default)]
struct OptionValue {
    value: Option<String>,
    /// The content of a named file, or its modification time.
    file: Option<String>,
    origin: Option<ValueOrigin>,
}

/// The configuration in force, which a reload replaces; none before the daemon is built.
#[derive(Default)]
pub struct ConfInForce(Mutex<Option<Arc<LoadedConf>>>);

impl ConfInForce {
    #[must_use]
    pub fn get(&self) -> Option<Arc<LoadedConf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(&self, conf: Arc<LoadedConf>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(conf);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Different {
    pub(crate) heading: String,
    pub(crate) what: SectionChangeKind,
    pub(crate) options: Vec<String>,
    pub(crate) is_by_files: bool,
}

impl Different {
    pub(crate) fn kind(&self) -> &str {
        self.heading.split_once(':').map_or(&self.heading, |(kind, _)| kind)
    }

    pub(crate) fn name(&self) -> &str {
        self.heading.split_once(':').map_or("", |(_, name)| name)
    }
}

impl LoadedConf {
    pub(crate) fn values(&self) -> ConfigurationValues {
        ConfigurationValues::from_layers(&self.layers)
    }
}

impl ConfigurationValues {
    fn from_layers(layers: &Layers) -> Self {
        let system = SystemFiles::default();
        let section =
            |section: &RawSection| (section.heading(), SectionValues::new(layers, section, &system));
        Self(layers.sections.iter().map(section).collect())
    }

    fn section(&self, heading: &str) -> Option<&SectionValues> {
        self.0.iter().find(|(own, _)| own == heading).map(|(_, section)| section)
    }

    pub(crate) fn different(&self, new: &Self) -> Vec<Different> {
        let different = |(heading, section): &(String, SectionValues)| {
            let (what, options, is_by_files) = match self.section(heading) {
                None => (SectionChangeKind::Added, Vec::new(), false),
                Some(old) => {
                    let (options, is_by_files) = old.different(section);
                    (SectionChangeKind::Changed, options, is_by_files)
                }
            };
            let is_same = what == SectionChangeKind::Changed && options.is_empty();
            (!is_same).then(|| Different { heading: heading.clone(), what, options, is_by_files })
        };
        let gone = self.0.iter().filter(|(heading, _)| new.section(heading).is_none());
        let gone = gone.map(|(heading, _)| Different {
            heading: heading.clone(),
            what: SectionChangeKind::Removed,
            options: Vec::new(),
            is_by_files: false,
        });
        new.0.iter().filter_map(different).chain(gone).collect()
    }

    pub(crate) fn needing_a_restart(&self, different: &[Different]) -> Vec<ConfigError> {
        let fixed = |different: &Different, option: &str| match different.kind() {
            kind if needs_a_restart(kind) => true,
            DEFAULT => matches!(option, "state_dir" | "control_group"),
            _ => false,
        };
        let mut errors = Vec::new();
        for section in different {
            for option in section.options.iter().filter(|option| fixed(section, option)) {
                let origin = self.section(&section.heading).and_then(|own| own.values.get(option));
                let finding = Finding::new("the configuration", "has changed, which needs a restart")
                    .group(&section.heading)
                    .option(option)
                    .allowed("restart osnl, or set it back; nothing was changed");
                errors.push(ConfigError(match origin {
                    Some(OptionValue { origin: Some(origin), .. }) => finding.from_origin(origin),
                    Some(OptionValue { origin: None, .. }) | None => finding,
                }));
            }
        }
        errors
    }
}

impl SectionValues {
    fn new(layers: &Layers, section: &RawSection, system: &SystemFiles) -> Self {
        let value = |option: &str| {
            let origin = section.origin(option);
            let value = layers.resolve(section, option).ok().flatten();
            let named = named_file(layers, section, option, system).map(|named| named.digest);
            let program = value.as_ref().filter(|_| section.def.kind == ACTION);
            let file = named.or_else(|| program.and_then(|value| programs::files_of(option, value)));
            (option.to_owned(), OptionValue { value, file, origin: Some(origin) })
        };
        Self { values: section.option_names().map(value).collect() }
    }

    fn different(&self, new: &Self) -> (Vec<String>, bool) {
        let options: BTreeSet<&String> = self.values.keys().chain(new.values.keys()).collect();
        let nothing = OptionValue::default();
        let of = |section: &'_ Self, option: &str| -> (Option<String>, Option<String>) {
            let OptionValue { value, file, .. } = section.values.get(option).unwrap_or(&nothing);
            (value.clone(), file.clone())
        };
        let is_other = |option: &&String| match (of(self, option), of(new, option)) {
            // The system's certificates count from or until the change of another option.
            ((None, was), (None, is)) => was.zip(is).is_some_and(|(was, is)| was != is),
            (was, is) => was != is,
        };
        let other: Vec<String> = options.into_iter().filter(is_other).cloned().collect();
        let is_by_files = other.iter().all(|option| of(self, option).0 == of(new, option).0);
        (other, is_by_files)
    }
}

pub(super) fn needs_a_restart(kind: &str) -> bool {
    [JOURNAL, ADMIN, CANARY].contains(&kind)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedFile {
    pub(super) section: String,
    pub(super) option: String,
    pub(super) file: String,
    pub(super) digest: String,
}

impl NamedFile {
    pub(super) fn is_system(&self) -> bool {
        self.file == SystemFiles::NAME
    }
}

/// The option without which a section trusts the system's certificates.
const TRUST: &str = "ca_file";

/// The digest of [`osnl_net::tls::system_files`], made at most once for all sections.
#[derive(Default)]
struct SystemFiles(OnceCell<String>);

impl SystemFiles {
    const NAME: &str = "the system's CA certificates";

    fn digest(&self) -> String {
        let digest = || osnl_model::BodyDigest::new(osnl_net::tls::system_files().as_bytes()).to_string();
        self.0.get_or_init(digest).clone()
    }
}

pub(super) fn named_files(layers: &Layers) -> Vec<NamedFile> {
    let system = SystemFiles::default();
    let of_section = |section: &'_ RawSection| -> Vec<NamedFile> {
        let written = section.entries.iter().map(|entry| entry.option.as_str());
        let trust = section.option_names().filter(|option| *option == TRUST);
        let options: BTreeSet<&str> = written.chain(trust).collect();
        options.into_iter().filter_map(|option| named_file(layers, section, option, &system)).collect()
    };
    layers.sections.iter().flat_map(of_section).collect()
}

fn named_file(
    layers: &Layers,
    section: &RawSection,
    option: &str,
    system: &SystemFiles,
) -> Option<NamedFile> {
    if ![ACTION, ENRICH].contains(&section.def.kind) {
        return None;
    }
    let resolved = |option: &str| layers.resolve(section, option).ok().flatten();
    let named = |file: String, digest: String| {
        Some(NamedFile { section: section.heading(), option: option.to_owned(), file, digest })
    };
    let Some(value) = resolved(option) else {
        // What only other drivers have resolves to their defaults.
        let own = |option: &str| section.option_names().any(|own| own == option).then(|| resolved(option))?;
        let needs_system = option == TRUST && may_have_tls(own);
        return if needs_system { named(SystemFiles::NAME.to_owned(), system.digest()) } else { None };
    };
    let content = match option {
        "cloud" => {
            let clouds_file = resolved("clouds_file").filter(|file| !file.is_empty());
            cloud::content(&value, clouds_file.map(PathBuf::from))?
        }
        // The value of the cloud covers this file.
        "clouds_file" => return None,
        _ if names_a_file(option) => osnl_net::tls::content_or_state(Path::new(&value)),
        _ => return None,
    };
    named(value, osnl_model::BodyDigest::new(&content).to_string())
}

/// Whether a section may connect with TLS, as by a redirect, or to a service of a cloud that Keystone names.
fn may_have_tls(resolved: impl Fn(&str) -> Option<String>) -> bool {
    let is_plain = |address: String| {
        let address = address.to_ascii_lowercase();
        ["http://", "udp://", "tcp://", "/"].iter().any(|scheme| address.starts_with(scheme))
    };
    let is_plain = ["url", "api_url", "server"].iter().any(|option| resolved(option).is_some_and(is_plain))
        || resolved("tls").is_some_and(|tls| tls == "none");
    let goes_elsewhere = ["cloud", "auth_url"].iter().any(|option| resolved(option).is_some())
        || resolved("redirects").is_some_and(|most| most != "0");
    !is_plain || goes_elsewhere
}

/// Whether an option names a file read when the action is built. Listeners read theirs for each connection.
fn names_a_file(option: &str) -> bool {
    option.ends_with("_file") || option.starts_with("client_")
}

#[cfg(test)]
mod tests {
    use super::super::{Sources, load_texts};
    use super::*;

    const BEFORE: &str = "[listener:l]\ntransport_url = rabbit://u:secret@h/\nexchange = x\n\
                          pool = osnl\n[rule:r]\nactions = a\nevent_type = ^one$\n\
                          [action:a]\ndriver = k2hr3\napi_url = https://k/v1/role\n";

    fn values(text: &str) -> ConfigurationValues {
        let loaded = load_texts(&[("f".to_owned(), text.to_owned())], &Sources::default());
        ConfigurationValues::from_layers(&loaded.unwrap_or_else(|errors| panic!("{errors}")).layers)
    }

    fn different(before: &str, after: &str) -> String {
        let (before, after) = (values(before), values(after));
        let different = before.different(&after);
        let mut lines: Vec<String> = different
            .iter()
            .map(|d| format!("{} {} {}", d.what.name(), d.heading, d.options.join(",")).trim_end().to_owned())
            .collect();
        lines.extend(after.needing_a_restart(&different).iter().map(ToString::to_string));
        lines.join("\n")
    }

    #[test]
    fn a_change_in_clouds_yaml_is_one_of_the_sections_that_name_the_cloud() {
        let folder = tempfile::tempdir().unwrap();
        let (clouds, ca) = (folder.path().join("clouds.yaml"), folder.path().join("ca.pem"));
        let write = |password: &str, of_other: &str| {
            let cloud = |name: &str, password: &str| {
                format!(
                    "  {name}:\n    auth: {{auth_url: http://127.0.0.1/v3, username: u, password: {password}, \
                     project_name: p}}\n    cacert: {}\n",
                    ca.display()
                )
            };
            let text = format!("clouds:\n{}{}", cloud("one", password), cloud("two", of_other));
            std::fs::write(&clouds, text).unwrap();
        };
        write("a", "a");
        std::fs::write(&ca, "first").unwrap();
        let section = format!("[enrich:e]\nkind = port\ncloud = one\nclouds_file = {}\n", clouds.display());
        let text = BEFORE.replace("[action:a]\n", "[action:a]\nenrich = e\n") + &section;
        let values = || values(&text);
        let before = values();
        write("a", "other");
        assert_eq!(before.different(&values()), []);
        let changed = Different {
            heading: "enrich:e".to_owned(),
            what: SectionChangeKind::Changed,
            options: vec!["cloud".to_owned()],
            is_by_files: true,
        };
        write("b", "a");
        assert_eq!(before.different(&values()), std::slice::from_ref(&changed));
        write("a", "a");
        std::fs::write(&ca, "second").unwrap();
        assert_eq!(before.different(&values()), [changed]);
    }

    #[test]
    fn a_change_in_a_folder_of_certificates_is_one_of_the_section_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let authority = |file: &str| {
            std::fs::copy(osnl_testkit::Authority::new().file(), folder.path().join(file)).unwrap();
        };
        authority("first.pem");
        let text = format!("{BEFORE}ca_file = {}\n", folder.path().display());
        let before = values(&text);
        assert_eq!(before.different(&values(&text)), []);
        authority("second.pem");
        let changed = before.different(&values(&text));
        assert!(
            matches!(&changed[..], [one] if one.options == ["ca_file"] && one.is_by_files),
            "{changed:?}"
        );
    }

    #[test]
    fn only_sections_that_may_have_tls_name_the_system_s_certificates() {
        let mail = "driver = mail\nserver = h\nfrom = a@b\nto = a@b\n";
        for (lines, expected) in [
            ("driver = k2hr3\napi_url = https://k/v1/role\n".to_owned(), true),
            ("driver = k2hr3\napi_url = http://k/v1/role\n".to_owned(), false),
            ("driver = http\nurl = http://h/\n".to_owned(), false),
            ("driver = http\nurl = http://h/\nredirects = 1\n".to_owned(), true),
            (mail.to_owned(), true),
            (format!("{mail}tls = none\n"), false),
            ("driver = syslog\n".to_owned(), false),
        ] {
            let text = BEFORE.replace("driver = k2hr3\napi_url = https://k/v1/role\n", &lines);
            let loaded = load_texts(&[("f".to_owned(), text)], &Sources::default());
            let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}"));
            assert_eq!(named_files(&loaded.layers).iter().any(NamedFile::is_system), expected, "{lines}");
        }
    }

    #[test]
    fn sections_and_options_that_mean_something_else_are_named_without_values() {
        for (from, to, expected) in [
            ("", "", ""),
            ("exchange = x", "exchange: x", ""),
            // A written default equals the omitted option.
            ("exchange = x", "exchange = x\nprefetch = 200", ""),
            ("exchange = x", "exchange = x\nprefetch = 100", "changed listener:l prefetch"),
            ("u:secret", "u:other", "changed listener:l transport_url"),
            ("^one$", "^two$", "changed rule:r event_type"),
            ("^one$", "^one$\npayload.a = b", "changed rule:r payload.a"),
            ("https://k/", "https://other/", "changed action:a api_url"),
            ("https://k/", "http://k/", "changed action:a api_url"),
            ("[action:a]", "[action:b]\ndriver = dump\n[action:a]", "added action:b"),
            ("[rule:r]", "[rule:s]", "added rule:s\nremoved rule:r"),
            ("[listener:l]", "[DEFAULT]\ndebug = true\n[listener:l]", "changed DEFAULT debug"),
            (
                "[listener:l]",
                "[journal]\nmax_dead = 5\nconnection = memory://\n[listener:l]",
                "changed journal connection,max_dead\n\
                 f:3: [journal] connection: has changed, which needs a restart; restart osnl, or set it back; nothing was \
                 changed\n\
                 f:2: [journal] max_dead: has changed, which needs a restart; restart osnl, or set it back; nothing was \
                 changed",
            ),
        ] {
            assert_eq!(different(BEFORE, &BEFORE.replace(from, to)), expected, "{from} -> {to}");
        }
    }
}
