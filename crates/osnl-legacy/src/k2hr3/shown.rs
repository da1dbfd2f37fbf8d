//! Converts a `k2hr3_osnl.conf` to the native form, for migration.

use osnl::actions::k2hr3::K2hr3Conf;
use osnl::listener::ListenerConfig;
use osnl::native::{self, DocEntry, DocSection, Document, JournalConf, Native};
use osnl_config::{ConfigErrors, ValueOrigin, shown};
use osnl_core::rule::Rule;
use osnl_model::Predicate;
use osnl_transport::{HEARTBEAT_OPTION, OSLO_HEARTBEAT, QueueType, RabbitOptions};

use super::conf::{Conf, Level, LoadedConf, LogFile};
use super::meaning::{NAME, PREFETCH, native_pattern};

const FIXED: &str = "as k2hr3_osnl does it";
const ON: &str = "oslo_messaging_notifications";

/// The native form cannot express the file, such as a comma in a topic's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be written in the native form; {remedy}")]
pub struct NotNative {
    what: &'static str,
    remedy: String,
}

impl NotNative {
    fn new(what: &'static str, conf: &Conf, refusal: Option<String>) -> Self {
        let on = &conf.oslo_messaging_notifications;
        let keys = [&on.context, &on.metadata, &on.payload].into_iter().flatten().map(|(key, _)| key);
        let separates = |name: &String| name.contains([',', '=', '\n', '\r']);
        let remedy = match [&on.exchange, &on.topic, &on.pool].into_iter().chain(keys).find(|n| separates(n))
        {
            Some(name) => {
                format!("rename {}, whose commas, equals signs, or line ends separate there", shown(name))
            }
            None => match refusal {
                Some(refusal) => format!("it is refused there: {refusal}"),
                None => "osnl k2hr3-osnl runs the file as it is".to_owned(),
            },
        };
        Self { what, remedy }
    }
}

impl LoadedConf {
    /// Returns the same listener, rule and action in osnl's own form, each value with its origin.
    /// `osnl run` then declares the same exchange and queue and makes the same requests, but a
    /// refused login does not end it.
    pub fn document(&self) -> Result<Document, NotNative> {
        let (document, native) = self.written()?;
        match difference(&self.conf, &native.conf) {
            None => Ok(document),
            Some(what) => Err(NotNative::new(what, &self.conf, None)),
        }
    }

    /// Returns what the file means, also where only its names have separators; then with the refusal of
    /// [`Self::document`].
    pub fn native(&self) -> Result<(native::LoadedConf, Option<NotNative>), NotNative> {
        let (_, mut native) = self.written()?;
        let Some(what) = difference(&self.conf, &native.conf) else { return Ok((native, None)) };
        let on = &self.conf.oslo_messaging_notifications;
        for listener in &mut native.conf.listeners {
            listener.exchanges = vec![on.exchange().to_owned()];
            listener.topics = vec![on.topic.clone()];
            listener.pool = on.pool().map(str::to_owned);
        }
        for rule in &mut native.conf.rules {
            rule.rule = self.conf.rule();
        }
        let refused = NotNative::new(what, &self.conf, None);
        match difference(&self.conf, &native.conf) {
            None => Ok((native, Some(refused))),
            Some(_) => Err(refused),
        }
    }

    fn written(&self) -> Result<(Document, native::LoadedConf), NotNative> {
        let sources = native::Sources::default();
        let document = Document { sections: self.sections(), drivers: sources.drivers };
        let texts = [("k2hr3_osnl.conf".to_owned(), document.text(true))];
        let refused = |errors: ConfigErrors| NotNative::new("a value", &self.conf, Some(errors.to_string()));
        let native = native::load_texts(&texts, &sources).map_err(refused)?;
        Ok((document, native))
    }

    fn sections(&self) -> Vec<DocSection> {
        vec![
            section("DEFAULT", self.log()),
            section("journal", self.journal()),
            section(&format!("listener:{NAME}"), self.listener()),
            section(&format!("rule:{NAME}"), self.rule()),
            section(&format!("action:{NAME}"), self.action()),
        ]
    }

    fn origin_of(&self, group: &str, option: &str) -> String {
        match self.origin(group, option) {
            ValueOrigin::Default => format!("default of [{group}] {option}"),
            origin => format!("{origin}, [{group}] {option}"),
        }
    }

    fn log(&self) -> Vec<DocEntry> {
        let mut log = vec![
            entry("log_level", level(self.conf.log.debug_level), self.origin_of("DEFAULT", "debug_level")),
            entry(
                "libs_log_level",
                level(self.conf.log.libs_debug_level),
                self.origin_of("DEFAULT", "libs_debug_level"),
            ),
        ];
        if let LogFile::Path(path) = &self.conf.log.log_file {
            log.push(entry("log_file", path.display().to_string(), self.origin_of("DEFAULT", "log_file")));
        }
        log
    }

    fn listener(&self) -> Vec<DocEntry> {
        let on = &self.conf.oslo_messaging_notifications;
        let meant = self.conf.listener().options;
        let query = |fixed: &str, differs: bool| match differs {
            true => format!("{}, its query", self.origin_of(ON, "transport_url")),
            false => fixed.to_owned(),
        };
        let mut entries = vec![
            entry(
                "transport_url",
                on.transport_url.to_string_with_secrets(),
                self.origin_of(ON, "transport_url"),
            ),
            entry("exchange", on.exchange(), self.origin_of(ON, "exchange")),
            entry("topics", &*on.topic, self.origin_of(ON, "topic")),
            entry("priorities", "info", FIXED),
            entry("pool", &*on.pool, self.origin_of(ON, "pool")),
            entry("declare", "create", FIXED),
            entry("durable", meant.queue.durable.to_string(), query(FIXED, meant.queue.durable)),
        ];
        // A queue of the services has no such option.
        entries.extend(on.pool().map(|_| entry("single_active_consumer", "false", FIXED)));
        entries.extend([
            entry("oslo_arguments", "true", FIXED),
            entry(
                "prefetch",
                meant.prefetch.to_string(),
                query("osnl's own; k2hr3_osnl has no limit", meant.prefetch != PREFETCH),
            ),
        ]);
        if !RabbitOptions::from_query(&on.transport_url).is_ok_and(|query| query.is_set(HEARTBEAT_OPTION)) {
            entries.push(entry(
                HEARTBEAT_OPTION,
                OSLO_HEARTBEAT.to_string(),
                "oslo.messaging's own; osnl's is 10",
            ));
        }
        if meant.queue.queue_type != QueueType::Classic {
            entries.push(entry("queue_type", meant.queue.queue_type.as_str(), query(FIXED, true)));
        }
        if meant.queue.auto_delete {
            entries.push(entry("auto_delete", "true", query(FIXED, true)));
        }
        entries
    }

    fn rule(&self) -> Vec<DocEntry> {
        let on = &self.conf.oslo_messaging_notifications;
        let mut rule = vec![
            entry("listeners", NAME, FIXED),
            entry("priorities", "info", FIXED),
            entry("event_type", native_pattern(&on.event_type).as_str(), self.origin_of(ON, "event_type")),
            entry(
                "publisher_id",
                native_pattern(&on.publisher_id).as_str(),
                self.origin_of(ON, "publisher_id"),
            ),
        ];
        for (group, patterns) in
            [("context", &on.context), ("metadata", &on.metadata), ("payload", &on.payload)]
        {
            let keyed = patterns
                .iter()
                .map(|(key, p)| entry(&format!("{group}.{key}"), p.as_str(), self.origin_of(ON, group)));
            rule.extend(keyed);
        }
        rule.push(entry("actions", NAME, FIXED));
        rule
    }

    fn action(&self) -> Vec<DocEntry> {
        let Conf { oslo_messaging_notifications: on, k2hr3, .. } = &self.conf;
        let requeue = k2hr3.requeue_on_error && on.allow_requeue;
        let requeue_from = format!(
            "{}; {}",
            self.origin_of("k2hr3", "requeue_on_error"),
            self.origin_of(ON, "allow_requeue")
        );
        let retries = match self.origin("k2hr3", "max_retries") {
            ValueOrigin::Default if self.origin("k2hr3", "retries") != ValueOrigin::Default => "retries",
            _ => "max_retries",
        };
        let attempts = format!("{}, and the first attempt", self.origin_of("k2hr3", retries));
        vec![
            entry("driver", "k2hr3", FIXED),
            entry("api_url", k2hr3.api_url.to_string(), self.origin_of("k2hr3", "api_url")),
            entry(
                "timeout",
                format!("{}s", k2hr3.timeout_seconds),
                self.origin_of("k2hr3", "timeout_seconds"),
            ),
            entry("max_attempts", k2hr3.max_retries.saturating_add(1).to_string(), attempts),
            entry(
                "retry_interval",
                format!("{}s", k2hr3.retry_interval_seconds),
                self.origin_of("k2hr3", "retry_interval_seconds"),
            ),
            entry("when_exhausted", if requeue { "return" } else { "dead_letter" }, requeue_from),
            entry("retry_max_age", "none", FIXED),
            entry("events", "all", "as k2hr3_osnl does it; deletions is the safe choice"),
            entry("no_addresses", "all", "as k2hr3_osnl does it; skip is the safe choice"),
            entry(
                "verify",
                (!k2hr3.allow_self_signed_cert).to_string(),
                self.origin_of("k2hr3", "allow_self_signed_cert"),
            ),
        ]
    }
}

impl LoadedConf {
    fn journal(&self) -> Vec<DocEntry> {
        let section = self.layers.unnamed("journal").filter(|_| self.conf.journal != JournalConf::Memory);
        let Some(section) = section else {
            return vec![entry("connection", "memory://", "k2hr3_osnl keeps no state")];
        };
        let from = |option: &str| match self.origin("journal", option) {
            ValueOrigin::Default => format!("default of [journal] {option}"),
            origin => format!("{origin}, [journal] {option}"),
        };
        // The native form reads integers more strictly, and an empty value is no default there.
        let number = |option: &str| match (&self.conf.journal, option) {
            (JournalConf::Sqlite(of), "max_pending") => Some(of.bounds.max_pending.to_string()),
            (JournalConf::Sqlite(of), "max_dead") => Some(of.bounds.max_dead.to_string()),
            _ => None,
        };
        let written = |option: &str| self.layers.resolve(section, option).ok().flatten();
        let text = |option: &str| number(option).or_else(|| written(option)).filter(|text| !text.is_empty());
        let options = section.def.all_options().map(|option| option.row.name);
        options.filter_map(|option| Some(entry(option, text(option)?, from(option)))).collect()
    }
}

/// A key with dots is a whole key here. The native form tries the whole key first, then a path.
fn at_the_top(rule: &Rule) -> Rule {
    let mut rule = rule.clone();
    for nested in std::mem::take(&mut rule.nested) {
        match nested.predicate {
            Predicate::Context(key) => rule.filter.context.insert(key, nested.pattern),
            Predicate::Payload(key) => rule.filter.payload.insert(key, nested.pattern),
            Predicate::PublisherId | Predicate::EventType | Predicate::Metadata(_) => None,
        };
    }
    rule
}

fn difference(conf: &Conf, native: &Native) -> Option<&'static str> {
    let ([listener], [rule], [action]) = (&native.listeners[..], &native.rules[..], &native.actions[..])
    else {
        return Some("the file");
    };
    let (old, mut new) = (conf.listener(), listener.config());
    // The tag of `osnl run` names its rules.
    new.options.consumer_tag.clear();
    let said = |listener: &ListenerConfig| format!("{:?}{:?}", listener.targets, listener.options);
    let Some(k2hr3) = action.driver.options::<K2hr3Conf>() else { return Some("the action") };
    if said(&old) != said(&new) || listener.transport_url != conf.oslo_messaging_notifications.transport_url {
        Some("what is listened to")
    } else if format!("{:?}", conf.rule()) != format!("{:?}", at_the_top(&rule.rule)) {
        Some("a pattern")
    } else if format!("{:?}", conf.delivery()) != format!("{:?}", action.delivery())
        || k2hr3.api_url != conf.k2hr3.api_url
        || k2hr3.tls.verify == conf.k2hr3.allow_self_signed_cert
    {
        Some("an option of [k2hr3]")
    } else if conf.journal != native.journal {
        Some("an option of [journal]")
    } else {
        None
    }
}

fn section(heading: &str, entries: Vec<DocEntry>) -> DocSection {
    DocSection { heading: heading.to_owned(), entries }
}

fn entry(option: &str, text: impl Into<String>, from: impl Into<String>) -> DocEntry {
    DocEntry { option: option.to_owned(), text: text.into(), from: from.into() }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn | Level::Notset => "warn",
        Level::Error => "error",
    }
}
