//! Every section and option of the native form, with its default: what `docs/configuration.md` explains.

use osnl_transport::RABBIT_OPTIONS;

use super::driver::{DRIVERS, DriverOption};

/// One kind of section: `[DEFAULT]`, or `[kind:NAME]`.
#[derive(Debug)]
pub(super) struct SectionDef {
    /// What stands before the colon.
    pub(super) kind: &'static str,
    /// Whether a name follows.
    pub(super) named: bool,
    pub(super) options: &'static [OptionDef],
    /// Prefixes of options that end in a key of the user's: `payload.KEY`.
    pub(super) keyed: &'static [&'static str],
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OptionDef {
    pub(super) name: &'static str,
    /// The text that counts when nothing sets it.
    pub(super) default: Option<&'static str>,
    /// No message repeats its value.
    pub(super) secret: bool,
    /// The one driver that has it; `None` is all.
    pub(super) driver: Option<&'static str>,
}

pub(super) const DEFAULT: &str = "DEFAULT";
pub(super) const JOURNAL: &str = "journal";
/// Options of oslo.messaging's rabbit driver, as OpenStack's own files have them; a listener may have each of its own.
pub(super) const RABBIT: &str = "oslo_messaging_rabbit";
pub(super) const LISTENER: &str = "listener";
pub(super) const RULE: &str = "rule";
pub(super) const ACTION: &str = "action";
pub(super) const ENRICH: &str = "enrich";

pub(super) static SECTIONS: [SectionDef; 7] = [
    SectionDef {
        kind: DEFAULT,
        named: false,
        options: &[
            option("debug", Some("false")),
            option("log_level", Some("info")),
            option("libs_log_level", Some("warn")),
            option("log_file", None),
            option("state_dir", None),
        ],
        keyed: &[],
    },
    SectionDef {
        kind: JOURNAL,
        named: false,
        options: &[
            option("connection", Some("sqlite:///$state_dir/journal.db")),
            option("retention", Some("7d")),
            option("max_size", None),
            option("max_pending", Some("1000000")),
            option("max_dead", Some("10000")),
            option("allow_volatile", Some("false")),
            option("keep_unmatched", Some("1000")),
            option("keep_unmatched_bodies", Some("false")),
        ],
        keyed: &[],
    },
    SectionDef { kind: RABBIT, named: false, options: &[], keyed: &[] },
    SectionDef {
        kind: LISTENER,
        named: true,
        options: &[
            OptionDef { secret: true, ..option("transport_url", None) },
            option("exchange", None),
            option("topics", Some("notifications")),
            option("priorities", Some("audit, debug, info, warn, error, critical, sample")),
            option("pool", Some("osnl")),
            option("queue", None),
            option("declare", Some("passive")),
            option("queue_type", Some("classic")),
            option("durable", Some("true")),
            option("auto_delete", Some("false")),
            option("single_active_consumer", Some("true")),
            option("delivery_limit", None),
            option("arguments", None),
            option("consumer_arguments", None),
            option("stream_offset", Some("next")),
            option("prefetch", Some("200")),
            option("give_back_after", Some("5m")),
            option("max_body", Some("4MiB")),
            option("max_values", Some("500000")),
            option("max_resources", Some("10000")),
            option("tls", Some("oslo")),
        ],
        keyed: &[],
    },
    SectionDef {
        kind: RULE,
        named: true,
        options: &[
            option("enabled", Some("true")),
            option("listeners", None),
            option("priorities", None),
            option("event_type", None),
            option("publisher_id", None),
            option("when", None),
            option("stop", Some("false")),
            option("actions", None),
            option("mode", Some("live")),
            option("key", Some("resource")),
            option("guard", None),
        ],
        keyed: &["context.", "metadata.", "payload."],
    },
    SectionDef {
        kind: ACTION,
        named: true,
        options: &[
            option("driver", None),
            // Here stand, in all_options, those of the drivers.
            option("when", None),
            option("timeout", Some("30s")),
            option("max_attempts", Some("6")),
            option("retry_interval", Some("60s")),
            option("when_exhausted", Some("dead_letter")),
            option("concurrency", Some("16")),
            option("batch", Some("1")),
            option("batch_wait", Some("0")),
            option("rate", None),
            option("retry_max_age", None),
            option("hold_max", None),
            option("on_failure", None),
            option("on_dead", Some("release_key")),
            option("on_full", Some("stop_intake")),
            option("guard", None),
            option("enrich", None),
        ],
        keyed: &[],
    },
    SectionDef {
        kind: ENRICH,
        named: true,
        options: &[
            option("kind", None),
            option("id", None),
            option("cloud", None),
            option("clouds_file", None),
            option("auth_type", None),
            option("auth_url", None),
            option("username", None),
            OptionDef { secret: true, ..option("password", None) },
            option("user_domain_name", None),
            option("user_domain_id", None),
            option("project_name", None),
            option("project_id", None),
            option("project_domain_name", None),
            option("project_domain_id", None),
            option("system_scope", None),
            option("application_credential_id", None),
            option("application_credential_name", None),
            OptionDef { secret: true, ..option("application_credential_secret", None) },
            option("region_name", None),
            option("interface", None),
            option("verify", None),
            option("ca_file", None),
            option("cache_size", Some("10000")),
            option("cache_ttl", Some("60s")),
            option("negative_ttl", Some("10s")),
            option("timeout", Some("10s")),
            option("rate", None),
            option("default", Some("null")),
            option("on_error", Some("retry")),
        ],
        keyed: &[],
    },
];

/// None has a default here: what nothing sets is osnl's own.
static RABBIT_DEFS: [OptionDef; RABBIT_OPTIONS.len()] = {
    let mut all = [option("", None); RABBIT_OPTIONS.len()];
    let mut n = 0;
    while n < all.len() {
        all[n] = option(RABBIT_OPTIONS[n].name, None);
        n += 1;
    }
    all
};

impl SectionDef {
    /// Its own, those of the rabbit driver where they may stand, and those of the drivers of actions behind `driver`.
    pub(super) fn all_options(&self) -> impl Iterator<Item = OptionDef> + Clone + use<> {
        let rabbit: &'static [OptionDef] = match self.kind {
            RABBIT | LISTENER => &RABBIT_DEFS,
            _ => &[],
        };
        let (drivers, head) = match self.kind {
            ACTION => (DRIVERS, 1),
            _ => (&DRIVERS[..0], self.options.len()),
        };
        let (head, tail) = self.options.split_at(head);
        let drivers = drivers.iter().flat_map(|entry| {
            let def = |row: &DriverOption| OptionDef {
                name: row.name,
                default: row.default,
                secret: row.secret,
                driver: Some(entry.table.name),
            };
            entry.table.options.iter().map(def)
        });
        head.iter().copied().chain(drivers).chain(tail.iter().copied()).chain(rabbit.iter().copied())
    }

    pub(super) fn option(&self, name: &str) -> Option<OptionDef> {
        self.all_options().find(|option| option.name == name)
    }

    /// Prefixes of options that end in a key, those of drivers included.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = &'static str> + use<> {
        let drivers = if self.kind == ACTION { DRIVERS } else { &DRIVERS[..0] };
        let drivers = drivers.iter().flat_map(|entry| entry.table.keyed.iter().map(|row| row.name));
        self.keyed.iter().copied().chain(drivers)
    }

    /// Whether it is an option, or a prefix of one with a key behind it.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.option(name).is_some() || self.prefixes().any(|p| name.len() > p.len() && name.starts_with(p))
    }

    /// `[DEFAULT]`, `[listener:NAME]`.
    pub(super) fn form(&self) -> String {
        if self.named { format!("[{}:NAME]", self.kind) } else { format!("[{}]", self.kind) }
    }
}

const fn option(name: &'static str, default: Option<&'static str>) -> OptionDef {
    OptionDef { name, default, secret: false, driver: None }
}
