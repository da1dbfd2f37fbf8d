//! Every section and option of the native form, with its default.

use osnl_config::sections::{ForeignSection, SectionDef, SectionOption, SectionSchema};
use osnl_transport::RABBIT_OPTIONS;

pub(crate) use crate::action::driver::{ACTION, ENRICH, RULE};
use crate::drivers::TABLES;

pub(crate) const DEFAULT: &str = "DEFAULT";
pub(crate) const JOURNAL: &str = "journal";
pub(crate) const ADMIN: &str = "admin";
pub(crate) const CANARY: &str = "canary";
pub(crate) const OTLP: &str = "otlp";
/// Options of oslo.messaging's rabbit driver, as OpenStack's own files have them; a listener may have each of its own.
pub(crate) const RABBIT: &str = "oslo_messaging_rabbit";
pub(crate) const LISTENER: &str = "listener";

/// The form that `osnl run` reads.
pub(super) static SCHEMA: SectionSchema = SectionSchema {
    sections: &SECTIONS,
    foreign: &[foreign("k2hr3"), foreign("oslo_messaging_notifications")],
    reference: "osnl config reference",
    synonyms: &[
        ("retries", "max_attempts"),
        ("max_retries", "max_attempts"),
        ("retry_count", "max_attempts"),
        ("attempts", "max_attempts"),
        ("tries", "max_attempts"),
        ("retry_delay", "retry_interval"),
        ("retry_backoff", "retry_interval"),
        ("backoff", "retry_interval"),
        ("max_age", "retry_max_age"),
        ("ttl", "retry_max_age"),
        ("workers", "concurrency"),
        ("threads", "concurrency"),
        ("parallel", "concurrency"),
        ("rate_limit", "rate"),
        ("fallback", "on_failure"),
        ("timeout_seconds", "timeout"),
        ("insecure", "verify"),
        ("cafile", "ca_file"),
        ("cacert", "ca_file"),
        ("endpoint", "url"),
        ("uri", "url"),
        ("verb", "method"),
        ("http_method", "method"),
        ("template", "body"),
        ("data", "body"),
        ("json", "body"),
        ("filter", "when"),
        ("condition", "when"),
        ("if", "when"),
        ("events", "event_type"),
        ("publisher", "publisher_id"),
        ("queue_name", "queue"),
        ("qos", "prefetch"),
        ("url", "transport_url"),
        ("broker", "transport_url"),
        ("disabled", "enabled"),
    ],
    machine_default: |option| match option {
        "state_dir" => crate::state_dir::default().map(|folder| folder.display().to_string()),
        _ => None,
    },
};

const fn foreign(name: &'static str) -> ForeignSection {
    ForeignSection {
        name,
        problem: "is a section of k2hr3_osnl.conf",
        remedy: "osnl config show --k2hr3-osnl FILE turns such a file into this form",
    }
}

pub(super) static SECTIONS: [SectionDef; 10] = [
    SectionDef::new(
        DEFAULT,
        &[
            option("debug", Some("false")),
            option("log_level", Some("info")),
            option("libs_log_level", Some("warn")),
            option("log_file", None),
            option("log_format", Some("text")),
            option("state_dir", None),
            option("attention_age", Some("15m")),
            option("control_group", None),
        ],
    ),
    SectionDef::new(
        JOURNAL,
        &[
            option("connection", Some("sqlite:///$state_dir/journal.db")),
            option("retention", Some("7d")),
            option("max_size", None),
            option("max_pending", Some("1000000")),
            option("max_dead", Some("10000")),
            option("allow_volatile", Some("false")),
            option("keep_unmatched", Some("1000")),
            option("keep_unmatched_bodies", Some("false")),
        ],
    ),
    SectionDef::new(
        ADMIN,
        &[
            option("listen", None),
            SectionOption { secret: true, ..option("token", None) },
            option("tls_certificate", None),
            option("tls_key", None),
            option("client_ca_file", None),
            option("allow_changes", Some("false")),
            option("host_names", None),
        ],
    ),
    SectionDef::new(CANARY, &[option("listener", None), option("every", Some("1m")), option("action", None)]),
    SectionDef::new(
        OTLP,
        &[
            option("traces_endpoint", None),
            SectionOption { secret: true, ..option("authorization", None) },
            option("ca_file", None),
        ],
    ),
    SectionDef { shared: &RABBIT_DEFS, ..SectionDef::new(RABBIT, &[]) },
    SectionDef {
        shared: &RABBIT_DEFS,
        ..SectionDef::named(
            LISTENER,
            &[
                SectionOption { secret: true, ..option("transport_url", None) },
                option("exchange", None),
                option("topics", Some("notifications")),
                option("priorities", Some("audit, debug, info, warn, error, critical, sample")),
                option("pool", None),
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
                option("max_in_hand", Some("64MiB")),
                option("max_values", Some("500000")),
                option("max_resources", Some("10000")),
                option("tls", Some("oslo")),
                option("expect", None),
            ],
        )
    },
    SectionDef {
        keyed: &["context.", "metadata.", "payload."],
        ..SectionDef::named(
            RULE,
            &[
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
                option("expect", None),
            ],
        )
    },
    SectionDef {
        drivers: TABLES,
        ..SectionDef::named(
            ACTION,
            &[
                option("driver", None),
                // The options of the drivers follow here.
                option("when", None),
                option("timeout", Some("30s")),
                option("max_attempts", Some("6")),
                option("retry_interval", Some("60s")),
                option("when_exhausted", Some("dead_letter")),
                option("concurrency", Some("16")),
                option("batch", Some("1")),
                option("batch_wait", Some("0")),
                option("rate", None),
                option("retry_max_age", Some("24h")),
                option("hold_max", None),
                option("on_failure", None),
                option("on_dead", Some("release_key")),
                option("on_full", Some("stop_intake")),
                option("guard", None),
                option("enrich", None),
            ],
        )
    },
    SectionDef::named(
        ENRICH,
        &[
            option("kind", None),
            option("id", None),
            option("cloud", None),
            option("clouds_file", None),
            option("auth_type", None),
            option("auth_url", None),
            option("username", None),
            SectionOption { secret: true, ..option("password", None) },
            option("user_domain_name", None),
            option("user_domain_id", None),
            option("project_name", None),
            option("project_id", None),
            option("project_domain_name", None),
            option("project_domain_id", None),
            option("system_scope", None),
            option("application_credential_id", None),
            option("application_credential_name", None),
            SectionOption { secret: true, ..option("application_credential_secret", None) },
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
    ),
];

/// None has a default here: what nothing sets is osnl's own.
static RABBIT_DEFS: [SectionOption; RABBIT_OPTIONS.len()] = {
    let mut all = [option("", None); RABBIT_OPTIONS.len()];
    let mut n = 0;
    while n < all.len() {
        all[n] = option(RABBIT_OPTIONS[n].name, None);
        n += 1;
    }
    all
};

const fn option(name: &'static str, default: Option<&'static str>) -> SectionOption {
    SectionOption::new(name, default)
}
