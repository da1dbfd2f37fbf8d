//! The meaning of an option is from the table that also parses the option, so a sample always fits
//! the program. [`PLACEHOLDER`] stands for values that only the operator knows.

use std::fmt::Write as _;
use std::num::NonZeroU32;

use osnl::native::{self, PLACEHOLDER, Reference};
use osnl_model::catalogue::{self, CatalogueEvent};
use osnl_model::nova;
use osnl_transport::Shards;

const WIDTH: usize = 100;
const REPLICATED: [(&str, &str); 2] = [("rabbit_quorum_queue", "true"), ("single_active_consumer", "true")];

pub(super) struct SampleTarget {
    pub(super) driver: &'static str,
    values: &'static [(&'static str, &'static str)],
    acts_on: &'static [(&'static str, &'static str)],
}

const fn target(driver: &'static str, values: &'static [(&'static str, &'static str)]) -> SampleTarget {
    SampleTarget { driver, values, acts_on: &[] }
}

pub(super) const TARGETS: [SampleTarget; 9] = [
    target("dump", &[]),
    target("exec", &[("command", "/usr/bin/logger, -t, osnl"), ("mode", "once")]),
    target("file", &[("path", "/var/log/osnl/events.jsonl")]),
    target("http", &[("url", "https://CHANGE-ME.example.com/events"), ("method", "POST")]),
    SampleTarget {
        driver: "k2hr3",
        values: &[("api_url", "https://CHANGE-ME.example.com/v1/role")],
        acts_on: &[("neutron", "port.delete.end"), ("nova", "compute.instance.delete.end")],
    },
    SampleTarget {
        driver: "k2hr3_register",
        values: &[
            ("api_url", "https://CHANGE-ME.example.com/v1/role"),
            ("role", "CHANGE-ME"),
            ("token_file", "/run/osnl/k2hr3-token"),
        ],
        acts_on: &[("neutron", "port.create.end"), ("nova", "compute.instance.create.end")],
    },
    target(
        "mail",
        &[
            ("server", "CHANGE-ME.example.com"),
            ("from", "CHANGE-ME@example.com"),
            ("to", "CHANGE-ME@example.com"),
        ],
    ),
    target("publish", &[("exchange", "osnl-events"), ("declare", "create")]),
    target("syslog", &[]),
];

impl SampleTarget {
    pub(super) fn for_driver(driver: &str) -> Option<&'static Self> {
        const TARGETS: &[SampleTarget] = &self::TARGETS;
        TARGETS.iter().find(|target| target.driver == driver)
    }

    pub(super) fn suits(&self, services: &[&str]) -> Result<(), String> {
        let acts_on = |service: &str| self.acts_on.iter().any(|(name, _)| *name == service);
        match services.iter().find(|service| !self.acts_on.is_empty() && !acts_on(service)) {
            Some(service) => {
                let known: Vec<&str> = self.acts_on.iter().map(|(name, _)| *name).collect();
                let (driver, known) = (self.driver, known.join(", "));
                Err(format!("{driver} does not act on events of {service}; allowed: {known}"))
            }
            None => Ok(()),
        }
    }
}

const USUAL: [(&str, &str); 8] = [
    ("cinder", "volume.delete.end"),
    ("glance", "image.delete"),
    ("heat", "orchestration.stack.delete.end"),
    ("ironic", "baremetal.node.power_set.end"),
    ("keystone", "identity.project.deleted"),
    ("manila", "share.delete.end"),
    ("neutron", "port.delete.end"),
    ("nova", "compute.instance.delete.end"),
];

const SERVICES_SEND: &str = "Services send nothing until driver = messagingv2 is in [oslo_messaging_notifications] of their \
    files: see the page \"Turning notifications on\" of the book.";

const IRONIC: &str = "ironic also needs notification_level = info in [DEFAULT] of ironic.conf.";
const UNVERSIONED: &str = "nova sends this form by default. With notification_format = versioned in [notifications] of nova.conf it \
    does not: osnl init --versioned writes the section for that.";
const VERSIONED: &str = "nova sends this form only with notification_format = versioned, or both, in [notifications] of nova.conf.";

const STANDBY: &str = "Two or three controllers run osnl with this same file, and RabbitMQ is their journal: one daemon has the \
    queue, the others stand by. When a machine dies, the next daemon goes on; attempts under way are repeated. All of them need \
    the same prefetch.";

const SPLITTER: &str = "The splitter: it passes each event on to one of the shards, by the resource, and RabbitMQ is its journal.";
const SHARD: &str = "The daemon of one shard: it delivers the events that the splitter passes on to its queue, and RabbitMQ is its \
    journal. The rules of all shards are the same.";
const WITH_STANDBY: &str = "Two or three machines run osnl with this same file: one daemon has the queue, the others stand by. When a \
    machine dies, the next daemon goes on; attempts under way are repeated. All of them need the same prefetch.";

#[derive(Clone, Copy)]
pub(super) struct SampleForm<'a> {
    pub(super) transport_url: &'a str,
    pub(super) standby: bool,
    pub(super) versioned: bool,
    pub(super) part: SamplePart,
}

/// The daemon that a sample is for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum SamplePart {
    Whole,
    Splitter { shards: NonZeroU32 },
    Shard(u32),
}

impl SamplePart {
    /// Returns the name of its file, its unit, and its folder, if there are several daemons.
    pub(super) fn name(self) -> Option<String> {
        match self {
            Self::Whole => None,
            Self::Splitter { .. } => Some("splitter".to_owned()),
            Self::Shard(shard) => Some(format!("shard-{shard}")),
        }
    }
}

pub(super) fn sample(services: &[&str], target: &SampleTarget, form: SampleForm<'_>) -> String {
    let reference = native::reference(osnl_legacy::oss::drivers());
    let mut sample = SampleText { out: String::new(), reference, form };
    let services_named = services.join(", ");
    sample.comment(&format!("A sample by osnl init for {services_named}. Replace each {PLACEHOLDER}."));
    sample.comment(
        "A line that begins with # has no effect. man osnl.conf describes every option, osnl events every event, \
         and osnl check --connect tries brokers and targets.",
    );
    sample.comment(SERVICES_SEND);
    sample.places();
    sample.journal();
    // `$$` keeps a `$` of the URL from being substituted.
    let url = form.transport_url.replace('$', "$$");
    if let SamplePart::Shard(shard) = form.part {
        sample.shard(shard, &url);
    }
    for service in services {
        let Some(event) = usual(service, target, form.versioned) else { continue };
        match form.part {
            SamplePart::Whole => {
                sample.listener(event, &url, &format!("osnl-{service}"));
                sample.rule(event, service, target.driver);
            }
            SamplePart::Splitter { .. } => {
                let several = if services.len() > 1 { format!("-{service}") } else { String::new() };
                sample.listener(event, &url, &format!("osnl-split{several}"));
                sample.rule(event, service, "shards");
            }
            SamplePart::Shard(_) => sample.rule(event, "shard", target.driver),
        }
    }
    if let SamplePart::Splitter { shards } = form.part {
        sample.shards(shards, &url);
        return sample.out;
    }
    let mut set = vec![("driver", target.driver)];
    set.extend(target.values);
    if target.driver == "publish" {
        set.push(("transport_url", &url));
    }
    sample.section(
        "action:NAME",
        &format!("action:{}", target.driver),
        &set,
        &[("retry_max_age", "24h"), ("guard", "100 per 10m")],
    );
    sample.out
}

struct SampleText<'a> {
    out: String,
    reference: Reference,
    form: SampleForm<'a>,
}

impl SampleText<'_> {
    fn places(&mut self) {
        let name = self.form.part.name();
        let log = format!("/var/log/osnl/{}.log", name.as_deref().unwrap_or("osnl"));
        match name.map(|name| format!("/var/lib/osnl/{name}")) {
            Some(folder) => {
                self.section("DEFAULT", "DEFAULT", &[("state_dir", &folder)], &[("log_file", &log)]);
            }
            None => {
                let unset = [("log_file", &*log), ("state_dir", "/var/lib/osnl")];
                self.section("DEFAULT", "DEFAULT", &[], &unset);
            }
        }
    }

    fn journal(&mut self) {
        let about = match self.form.part {
            SamplePart::Whole if !self.form.standby => {
                return self.section(
                    "journal",
                    "journal",
                    &[],
                    &[("retention", "7d"), ("max_size", "10GiB")],
                );
            }
            SamplePart::Whole => STANDBY,
            SamplePart::Splitter { .. } => SPLITTER,
            SamplePart::Shard(_) => SHARD,
        };
        self.out.push('\n');
        self.comment(about);
        if self.form.standby && self.form.part != SamplePart::Whole {
            self.comment(WITH_STANDBY);
        }
        self.body("journal", "journal", &[("connection", "memory://")], &[]);
    }

    fn listener(&mut self, event: &CatalogueEvent, transport_url: &str, pool: &str) {
        let service = event.service;
        let topics = event.topics.first().copied().unwrap_or("notifications");
        self.out.push('\n');
        match service {
            "ironic" => self.comment(IRONIC),
            "nova" => self.comment(if self.form.versioned { VERSIONED } else { UNVERSIONED }),
            _ => {}
        }
        let mut set = vec![
            ("transport_url", transport_url),
            ("exchange", event.exchange()),
            ("topics", topics),
            ("pool", pool),
        ];
        if self.form.standby || self.form.part != SamplePart::Whole {
            set.extend(REPLICATED);
        }
        self.body(
            "listener:NAME",
            &format!("listener:{service}"),
            &set,
            &[("priorities", "info, error"), ("prefetch", "200")],
        );
    }

    fn shard(&mut self, shard: u32, transport_url: &str) {
        let (key, all) = (Shards::key(shard), Shards::new(Shards::EXCHANGE, NonZeroU32::MIN));
        let pool = all.queue(shard);
        let mut set = vec![
            ("transport_url", transport_url),
            ("exchange", &*all.exchange),
            ("routing_key", &key),
            ("declare", "create"),
            ("pool", &pool),
        ];
        set.extend(REPLICATED);
        self.section("listener:NAME", "listener:shard", &set, &[("prefetch", "200")]);
    }

    fn rule(&mut self, event: &CatalogueEvent, listener: &str, action: &str) {
        let service = event.service;
        let events = catalogue::events().iter().filter(|event| event.service == service).count();
        let about = format!("osnl events {service} lists {events} events.");
        let pattern = format!("^{}$", event.event_type.replace('.', r"\."));
        self.out.push('\n');
        self.comment(&about);
        self.body(
            "rule:NAME",
            &format!("rule:{service}"),
            &[("listeners", listener), ("event_type", &pattern), ("actions", action)],
            &[("when", "payload is defined"), ("mode", "shadow")],
        );
    }

    fn shards(&mut self, shards: NonZeroU32, transport_url: &str) {
        let shards = shards.to_string();
        let set = [
            ("driver", "publish"),
            ("transport_url", transport_url),
            ("shards", &*shards),
            ("format", "raw"),
            ("retry_max_age", "none"),
        ];
        self.section("action:NAME", "action:shards", &set, &[]);
    }

    fn section(&mut self, form: &str, name: &str, set: &[(&str, &str)], unset: &[(&str, &str)]) {
        self.out.push('\n');
        self.body(form, name, set, unset);
    }

    fn body(&mut self, form: &str, name: &str, set: &[(&str, &str)], unset: &[(&str, &str)]) {
        let driver = set.iter().find(|(option, _)| *option == "driver").map(|(_, driver)| *driver);
        let form = format!("[{form}]");
        let meaning = |reference: &Reference, name: &str| {
            // A listener accepts the options of the broker's driver too.
            let of = |form: &str| reference.sections.iter().find(|section| section.form == form);
            let sections = [of(&form), of("[oslo_messaging_rabbit]")];
            let mut options = sections.into_iter().flatten().flat_map(|section| &section.options);
            let found = options
                .find(|option| option.name == name && (option.driver.is_none() || option.driver == driver));
            found.map(|option| option.meaning.clone())
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.out, "[{name}]");
        for (name, value) in set {
            if let Some(meaning) = meaning(&self.reference, name) {
                self.comment(&meaning);
            }
            let _ = writeln!(self.out, "{name} = {value}");
        }
        for (name, example) in unset {
            if let Some(meaning) = meaning(&self.reference, name) {
                self.comment(&meaning);
                let _ = writeln!(self.out, "#{name} = {example}");
            }
        }
    }

    fn comment(&mut self, text: &str) {
        let mut line = String::from("#");
        for word in text.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                let _ = writeln!(self.out, "{line}");
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        let _ = writeln!(self.out, "{line}");
    }
}

fn usual(service: &str, target: &SampleTarget, versioned: bool) -> Option<&'static CatalogueEvent> {
    let of: Vec<&CatalogueEvent> =
        catalogue::events().iter().filter(|event| event.service == service).collect();
    let named =
        target.acts_on.iter().chain(&USUAL).find(|(name, _)| *name == service).map(|(_, event)| *event);
    let versioned = named.filter(|_| versioned).and_then(nova::versioned_name);
    let named = versioned.as_deref().or(named);
    let is_named = |event: &&&CatalogueEvent| Some(event.event_type) == named;
    let deletion = || of.iter().find(|event| event.event_type.contains("delete"));
    of.iter().find(is_named).or_else(deletion).or(of.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_usual_event_and_the_meaning_of_each_option() {
        let http = SampleTarget::for_driver("http").unwrap();
        let form = SampleForm {
            transport_url: "rabbit://u:p@h:5672/",
            standby: false,
            versioned: false,
            part: SamplePart::Whole,
        };
        let splitter = SamplePart::Splitter { shards: NonZeroU32::new(4).unwrap() };
        let splitter = sample(&["neutron"], http, SampleForm { part: splitter, ..form });
        let shard = SampleForm { part: SamplePart::Shard(3), standby: true, ..form };
        let shard = sample(&["nova", "neutron"], http, shard);
        for line in
            ["pool = osnl-split", "shards = 4", "format = raw", "actions = shards", "retry_max_age = none"]
        {
            assert!(splitter.lines().any(|known| known == line), "{line}\n{splitter}");
        }
        for line in [
            "state_dir = /var/lib/osnl/shard-3",
            "exchange = osnl-shards",
            "routing_key = shard.3",
            "pool = osnl-shard-3",
            "event_type = ^port\\.delete\\.end$",
            "[action:http]",
        ] {
            assert!(shard.lines().any(|known| known == line), "{line}\n{shard}");
        }
        let text = sample(&["nova", "neutron"], http, form);
        let standby = sample(&["neutron"], http, SampleForm { standby: true, ..form });
        let versioned = sample(&["nova", "neutron"], http, SampleForm { versioned: true, ..form });
        for line in [
            "topics = versioned_notifications",
            "event_type = ^instance\\.delete\\.end$",
            "event_type = ^port\\.delete\\.end$",
        ] {
            assert!(versioned.lines().any(|known| known == line), "{line}\n{versioned}");
        }
        for line in [
            "connection = memory://",
            "rabbit_quorum_queue = true",
            "single_active_consumer = true",
            "pool = osnl-neutron",
        ] {
            assert!(standby.lines().any(|known| known == line), "{line}\n{standby}");
        }
        for line in [
            "[listener:nova]",
            "topics = notifications",
            "event_type = ^compute\\.instance\\.delete\\.end$",
            "event_type = ^port\\.delete\\.end$",
            "transport_url = rabbit://u:p@h:5672/",
            "[action:http]",
            "url = https://CHANGE-ME.example.com/events",
            "#retention = 7d",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        for text in [&text, &standby, &versioned, &splitter, &shard] {
            for (n, line) in text.lines().enumerate() {
                assert!(line.chars().count() <= WIDTH, "{n}: {line}");
                let is_set = line.contains(" = ") && !line.starts_with("# ");
                let before = text.lines().nth(n.saturating_sub(1)).unwrap_or_default();
                assert!(!is_set || before.starts_with("# "), "{line} has no meaning\n{text}");
            }
            assert!(!text.contains("\n\n\n"), "{text}");
        }
        // A check warns of placeholders alone.
        for (option, value) in TARGETS.iter().flat_map(|target| target.values) {
            assert!(!value.contains("example") || value.contains(PLACEHOLDER), "{option} = {value}");
        }
        // A row without an event of the catalogue would have no effect.
        for (service, event) in USUAL {
            assert_eq!(
                usual(service, SampleTarget::for_driver("dump").unwrap(), false)
                    .map(|event| event.event_type),
                Some(event),
                "{service}"
            );
        }
    }
}
