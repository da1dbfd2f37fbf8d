//! Every section and option of the native form, with its default: what `docs/configuration.md` explains.

use osnl_transport::RABBIT_OPTIONS;

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

pub(super) const DRIVERS: [&str; 2] = ["k2hr3", "dump"];

pub(super) static SECTIONS: [SectionDef; 6] = [
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
            k2hr3("api_url", None),
            k2hr3("timeout", Some("30s")),
            k2hr3("max_attempts", Some("6")),
            k2hr3("retry_interval", Some("60s")),
            k2hr3("when_exhausted", Some("dead_letter")),
            k2hr3("no_addresses", Some("skip")),
            k2hr3("verify", Some("true")),
            k2hr3("ca_file", None),
            OptionDef { driver: Some("dump"), ..option("path", None) },
            option("retry_max_age", None),
            option("hold_max", None),
            option("on_dead", Some("release_key")),
            option("on_full", Some("stop_intake")),
            option("guard", None),
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
    /// Its own, and those of the rabbit driver where they may stand.
    pub(super) fn all_options(&self) -> impl Iterator<Item = &'static OptionDef> + use<> {
        let rabbit: &'static [OptionDef] = match self.kind {
            RABBIT | LISTENER => &RABBIT_DEFS,
            _ => &[],
        };
        self.options.iter().chain(rabbit)
    }

    pub(super) fn option(&self, name: &str) -> Option<&'static OptionDef> {
        self.all_options().find(|option| option.name == name)
    }

    /// Whether it is an option, or a prefix of one with a key behind it.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.option(name).is_some() || self.keyed.iter().any(|p| name.len() > p.len() && name.starts_with(p))
    }

    /// `[DEFAULT]`, `[listener:NAME]`.
    pub(super) fn form(&self) -> String {
        if self.named { format!("[{}:NAME]", self.kind) } else { format!("[{}]", self.kind) }
    }
}

const fn option(name: &'static str, default: Option<&'static str>) -> OptionDef {
    OptionDef { name, default, secret: false, driver: None }
}

const fn k2hr3(name: &'static str, default: Option<&'static str>) -> OptionDef {
    OptionDef { driver: Some("k2hr3"), ..option(name, default) }
}
