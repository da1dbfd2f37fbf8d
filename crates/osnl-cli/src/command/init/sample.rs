//! The meaning of an option is from the table that also parses the option, so a sample always fits
//! the program. [`PLACEHOLDER`] stands for values that only the operator knows.

use std::fmt::Write as _;

use osnl::native::{self, PLACEHOLDER, Reference};
use osnl_model::catalogue::{self, CatalogueEvent};
use osnl_model::nova;

const WIDTH: usize = 100;

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
        &[("server", "CHANGE-ME.example.com"), ("from", "osnl@example.com"), ("to", "CHANGE-ME@example.com")],
    ),
    target("publish", &[("exchange", "osnl-events")]),
    target("syslog", &[]),
];

impl SampleTarget {
    pub(super) fn of(driver: &str) -> Option<&'static Self> {
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

#[derive(Clone, Copy)]
pub(super) struct SampleForm<'a> {
    pub(super) transport_url: &'a str,
    pub(super) standby: bool,
    pub(super) versioned: bool,
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
    sample.section(
        "DEFAULT",
        "DEFAULT",
        &[],
        &[("log_file", "/var/log/osnl/osnl.log"), ("state_dir", "/var/lib/osnl")],
    );
    if form.standby {
        sample.out.push('\n');
        sample.comment(STANDBY);
        sample.body("journal", "journal", &[("connection", "memory://")], &[]);
    } else {
        sample.section("journal", "journal", &[], &[("retention", "7d"), ("max_size", "10GiB")]);
    }
    // `$$` keeps a `$` of the URL from being substituted.
    let url = form.transport_url.replace('$', "$$");
    for service in services {
        sample.service(service, target, &url);
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
    fn service(&mut self, service: &str, target: &SampleTarget, transport_url: &str) {
        let Some(event) = usual(service, target, self.form.versioned) else { return };
        // Listeners on one queue would share its messages.
        let pool = format!("osnl-{service}");
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
            ("pool", &pool),
        ];
        if self.form.standby {
            set.extend([("rabbit_quorum_queue", "true"), ("single_active_consumer", "true")]);
        }
        self.body(
            "listener:NAME",
            &format!("listener:{service}"),
            &set,
            &[("priorities", "info, error"), ("prefetch", "200")],
        );
        let events = catalogue::events().iter().filter(|event| event.service == service).count();
        let about = format!("osnl events {service} lists {events} events.");
        let pattern = format!("^{}$", event.event_type.replace('.', r"\."));
        self.out.push('\n');
        self.comment(&about);
        self.body(
            "rule:NAME",
            &format!("rule:{service}"),
            &[("listeners", service), ("event_type", &pattern), ("actions", target.driver)],
            &[("when", "payload is defined"), ("mode", "shadow")],
        );
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
        let http = SampleTarget::of("http").unwrap();
        let form = SampleForm { transport_url: "rabbit://u:p@h:5672/", standby: false, versioned: false };
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
        for text in [&text, &standby, &versioned] {
            for (n, line) in text.lines().enumerate() {
                assert!(line.chars().count() <= WIDTH, "{n}: {line}");
                let is_set = line.contains(" = ") && !line.starts_with("# ");
                let before = text.lines().nth(n.saturating_sub(1)).unwrap_or_default();
                assert!(!is_set || before.starts_with("# "), "{line} has no meaning\n{text}");
            }
            assert!(!text.contains("\n\n\n"), "{text}");
        }
        // A row without an event of the catalogue would have no effect.
        for (service, event) in USUAL {
            assert_eq!(
                usual(service, SampleTarget::of("dump").unwrap(), false).map(|event| event.event_type),
                Some(event),
                "{service}"
            );
        }
    }
}
