//! The options of oslo.messaging's rabbit driver under its own names, checked and typed.
//!
//! Options are set by three sources, the weakest first: the section `[oslo_messaging_rabbit]` of a file, the query of
//! the transport URL, and the listener's section. Unset options have osnl's own defaults, which partly differ from
//! oslo.messaging's (see `docs/reference/rabbit.md`).

mod foreign;
mod former;
mod table;
mod typed;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use osnl_config::{Kind, OptionDef, Value};
use osnl_model::{Compression, SentLogin, TransportUrl, nearest};

pub use self::former::FORMER_OPTIONS;
pub use self::table::{NO_EFFECT, RABBIT_OPTIONS, effect_of};
pub use self::typed::{
    FailoverStrategy, LoginMethod, QueueOptions, QuorumLimits, Reconnect, RetryPauses, TlsOptions,
    TlsVersions, Trust, TrustWarning,
};

pub const HEARTBEAT: u16 = 10;
pub const OSLO_HEARTBEAT: u16 = 60;
pub const HEARTBEAT_OPTION: &str = "heartbeat_timeout_threshold";

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RabbitOptions {
    values: BTreeMap<&'static str, Value>,
}

/// An error in the options. Values are not repeated: in a URL they may be the rest of a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    #[error("{} is not an option of [{section}]{}", .name.as_deref().unwrap_or("a name in the query"),
        .nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
    Unknown {
        section: &'static str,
        /// The name as written, unless it may be part of a password.
        name: Option<String>,
        nearest: Option<&'static str>,
    },
    #[error("{name} is an option of another client library; {instead}")]
    Foreign { name: String, instead: &'static str },
    #[error("{name} has a bad value; allowed: {allowed}")]
    Value { name: &'static str, allowed: String },
    #[error("{name} is given more than once in the query; write it once")]
    Repeated { name: &'static str },
    #[error("{name} = {value} is not supported: {reason}")]
    Refused { name: &'static str, value: &'static str, reason: &'static str },
    #[error("{names}: {reason}")]
    Together { names: &'static str, reason: &'static str },
}

impl RabbitOptions {
    pub fn from_query(url: &TransportUrl) -> Result<Self, OptionError> {
        let mut options = Self::default();
        options.set_from_query(url)?;
        options.check()?;
        Ok(options)
    }

    pub fn set_from_query(&mut self, url: &TransportUrl) -> Result<(), OptionError> {
        if url.driver() == "kafka" {
            return Ok(());
        }
        each_of_query(url, option, |name, value| self.set(name, value))
    }

    pub fn set(&mut self, name: &str, text: &str) -> Result<(), OptionError> {
        let Some(option) = option(name) else {
            if let Some(instead) = foreign::instead(name) {
                return Err(OptionError::Foreign { name: name.to_owned(), instead });
            }
            let nearest = nearest(name, RABBIT_OPTIONS.iter().map(|option| option.name));
            return Err(OptionError::Unknown {
                section: "oslo_messaging_rabbit",
                name: Some(name.to_owned()),
                nearest: nearest.map(canonical),
            });
        };
        let value = read(option.kind, text)
            .ok_or_else(|| OptionError::Value { name: option.name, allowed: allowed(option.kind) })?;
        if value == Value::Text("RABBIT-CR-DEMO".to_owned()) {
            return Err(OptionError::Refused {
                name: option.name,
                value: "RABBIT-CR-DEMO",
                reason: "it is a demonstration of RabbitMQ's authors; write PLAIN, AMQPLAIN or EXTERNAL",
            });
        }
        self.values.insert(option.name, value);
        Ok(())
    }

    pub fn check(&self) -> Result<(), OptionError> {
        let refuse = |names, reason| Err(OptionError::Together { names, reason });
        let conflict = match self.words("tls") {
            "verify" => "tls = verify and ssl = false",
            "unverified" => "tls = unverified and ssl = false",
            _ => "",
        };
        if !conflict.is_empty() && self.boolean("ssl") == Some(false) {
            return refuse(conflict, "one requires TLS, the other turns it off; remove one of them");
        }
        if self.file("ssl_key_file").is_some() && self.file("ssl_cert_file").is_none() {
            return refuse("ssl_key_file without ssl_cert_file", "a key needs its certificate");
        }
        if self.login() == Some(LoginMethod::External)
            && (self.tls().is_none() || self.file("ssl_cert_file").is_none())
        {
            return refuse(
                "rabbit_login_method = EXTERNAL",
                "the login is the client's certificate: set ssl = true, ssl_cert_file and ssl_key_file",
            );
        }
        if self.boolean("rabbit_quorum_queue") == Some(true) && self.boolean("rabbit_ha_queues") == Some(true)
        {
            return refuse(
                "rabbit_quorum_queue and rabbit_ha_queues",
                "exclude each other; remove rabbit_ha_queues",
            );
        }
        if self.boolean("rabbit_quorum_queue") == Some(true) && self.boolean("amqp_auto_delete") == Some(true)
        {
            return refuse(
                "rabbit_quorum_queue and amqp_auto_delete",
                "the broker makes no quorum queue that is deleted with its last consumer; remove amqp_auto_delete",
            );
        }
        Ok(())
    }

    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub fn set_options(&self) -> impl Iterator<Item = (&'static OptionDef, String)> {
        RABBIT_OPTIONS.iter().filter_map(|option| Some((option, self.values.get(option.name)?.shown())))
    }

    /// Returns the TLS options. The host name is verified where oslo.messaging 18.3.1 verifies it, with a CA file:
    /// `tests/it/trust.rs` compares both.
    #[must_use]
    pub fn tls(&self) -> Option<TlsOptions> {
        let file = self.file("ssl_ca_file");
        let trust = match self.words("tls") {
            "verify" => Trust::Ca { file, name: true },
            "unverified" => Trust::Unverified,
            _ if self.boolean("ssl") != Some(true) => return None,
            _ => Trust::Ca { name: file.is_some(), file },
        };
        let versions = match self.words("ssl_version") {
            "TLSv1_2" => TlsVersions::Only12,
            "TLSv1_3" => TlsVersions::Only13,
            _ => TlsVersions::Any,
        };
        Some(TlsOptions {
            trust,
            certificate: self.file("ssl_cert_file"),
            key: self.file("ssl_key_file"),
            versions,
        })
    }

    /// Returns the logins that are sent in clear. TLS that trusts any broker has a warning of its own.
    #[must_use]
    pub fn logins(&self, url: &TransportUrl) -> Vec<SentLogin> {
        match ["rabbit", "kombu"].contains(&url.driver()) && self.tls().is_none() {
            true => crate::logins::in_clear(url, "set ssl = true, and use the broker's port with TLS"),
            false => Vec::new(),
        }
    }

    #[must_use]
    pub fn client_certificate(&self) -> Option<PathBuf> {
        self.tls()?.certificate
    }

    #[must_use]
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.file("ssl_ca_file")
    }

    /// Returns the heartbeat in seconds; 0 is none. The broker hands the queue of a silent host over after nearly three
    /// heartbeats, hence the default [`HEARTBEAT`] and not oslo.messaging's 60 s.
    #[must_use]
    pub fn heartbeat(&self) -> u16 {
        let set = self.integer(HEARTBEAT_OPTION).and_then(|seconds| seconds.try_into().ok());
        set.unwrap_or(HEARTBEAT)
    }

    /// Keeps oslo.messaging's default heartbeat, for programs that osnl replaces.
    #[must_use]
    pub fn with_oslo_heartbeat(mut self) -> Self {
        self.values.entry(HEARTBEAT_OPTION).or_insert(Value::Integer(OSLO_HEARTBEAT.into()));
        self
    }

    #[must_use]
    pub fn login(&self) -> Option<LoginMethod> {
        match self.words("rabbit_login_method") {
            "PLAIN" => Some(LoginMethod::Plain),
            "AMQPLAIN" => Some(LoginMethod::AmqPlain),
            "EXTERNAL" => Some(LoginMethod::External),
            _ => None,
        }
    }

    #[must_use]
    pub fn failover(&self) -> FailoverStrategy {
        match self.words("kombu_failover_strategy") {
            "round-robin" => FailoverStrategy::RoundRobin,
            _ => FailoverStrategy::Shuffle,
        }
    }

    #[must_use]
    pub fn reconnect(&self) -> Reconnect {
        let decimal = |name, default: f64| {
            let seconds = self.values.get(name).and_then(Value::as_seconds).unwrap_or(default);
            Duration::try_from_secs_f64(seconds).unwrap_or_default()
        };
        let seconds = |name, default: u64| {
            let seconds = self.integer(name).and_then(|seconds| seconds.try_into().ok());
            Duration::from_secs(seconds.unwrap_or(default))
        };
        let any = |names: &[&str]| names.iter().any(|name| self.is_set(name));
        Reconnect {
            delay: any(&["kombu_reconnect_delay", "kombu_reconnect_splay"])
                .then(|| (decimal("kombu_reconnect_delay", 1.0), decimal("kombu_reconnect_splay", 0.0))),
            retry: any(&["rabbit_retry_interval", "rabbit_retry_backoff", "rabbit_interval_max"]).then(
                || RetryPauses {
                    first: seconds("rabbit_retry_interval", 1),
                    step: seconds("rabbit_retry_backoff", 2),
                    longest: seconds("rabbit_interval_max", 30),
                },
            ),
        }
    }

    #[must_use]
    pub fn prefetch(&self) -> Option<u16> {
        self.integer("rabbit_qos_prefetch_count")
            .and_then(|count| count.try_into().ok())
            .filter(|count| *count > 0)
    }

    pub const DECLARING: [&str; 7] = [
        "amqp_durable_queues",
        "amqp_auto_delete",
        "rabbit_ha_queues",
        "rabbit_quorum_queue",
        "rabbit_quorum_delivery_limit",
        "rabbit_quorum_max_memory_length",
        "rabbit_quorum_max_memory_bytes",
    ];

    #[must_use]
    pub fn queue(&self) -> QueueOptions {
        let limit =
            |name| self.integer(name).and_then(|limit| u32::try_from(limit).ok()).filter(|limit| *limit > 0);
        let quorum = (self.boolean("rabbit_quorum_queue") == Some(true)).then(|| QuorumLimits {
            delivery_limit: limit("rabbit_quorum_delivery_limit"),
            max_in_memory_length: limit("rabbit_quorum_max_memory_length"),
            max_in_memory_bytes: limit("rabbit_quorum_max_memory_bytes"),
        });
        QueueOptions {
            durable: if quorum.is_some() { Some(true) } else { self.boolean("amqp_durable_queues") },
            auto_delete: self.boolean("amqp_auto_delete"),
            quorum,
            mirrored: self.boolean("rabbit_ha_queues") == Some(true),
        }
    }

    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        match self.words("kombu_compression") {
            "gzip" => Some(Compression::Gzip),
            "bz2" => Some(Compression::Bzip2),
            _ => None,
        }
    }

    fn boolean(&self, name: &str) -> Option<bool> {
        self.values.get(name)?.as_bool()
    }

    fn integer(&self, name: &str) -> Option<i64> {
        self.values.get(name)?.as_integer()
    }

    fn words(&self, name: &str) -> &str {
        self.values.get(name).and_then(Value::as_text).unwrap_or_default()
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.words(name)).filter(|path| !path.is_empty()).map(PathBuf::from)
    }
}

fn option(name: &str) -> Option<&'static OptionDef> {
    RABBIT_OPTIONS.iter().find(|option| option.name == name)
}

fn canonical(name: &str) -> &'static str {
    option(name).map_or("", |option| option.name)
}

pub(crate) fn each_of_query(
    url: &TransportUrl,
    option: impl Fn(&str) -> Option<&'static OptionDef>,
    mut set: impl FnMut(&str, &str) -> Result<(), OptionError>,
) -> Result<(), OptionError> {
    let query = url.query();
    // An @ there means that the query began inside a password, which must not be repeated.
    let safe = !query.iter().any(|(name, value)| name.contains('@') || value.contains('@'));
    for (n, (name, value)) in query.iter().enumerate() {
        if let (Some(option), true) = (option(name), query[..n].iter().any(|(other, _)| other == name)) {
            return Err(OptionError::Repeated { name: option.name });
        }
        set(name, value).map_err(|error| match error {
            OptionError::Unknown { section, name, nearest } => {
                OptionError::Unknown { section, name: name.filter(|_| safe), nearest }
            }
            error @ (OptionError::Foreign { .. }
            | OptionError::Value { .. }
            | OptionError::Repeated { .. }
            | OptionError::Refused { .. }
            | OptionError::Together { .. }) => error,
        })?;
    }
    Ok(())
}

pub(crate) fn read(kind: Kind, text: &str) -> Option<Value> {
    let text = if matches!(kind, Kind::Form(_)) { text } else { text.trim() };
    Value::read(kind, text, true).ok().flatten()
}

pub(crate) fn allowed(kind: Kind) -> String {
    match kind {
        Kind::Bool => "true, yes, on, 1, or false, no, off, 0".to_owned(),
        Kind::Range(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Seconds(least, most) => format!("seconds from {least} to {most}"),
        Kind::Choice(words) | Kind::Word(words) => {
            words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(", ")
        }
        Kind::Form(_) | Kind::Integer | Kind::Dict => format!("any {}", kind.shown()),
    }
}

#[cfg(test)]
mod tests;
