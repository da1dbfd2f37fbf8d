//! The options of oslo.messaging's rabbit driver under its own names, checked and typed.
//!
//! Unset options have osnl's own defaults, which partly differ from oslo.messaging's:
//! `docs/reference/configuration.md` has both.

mod foreign;
mod former;
mod table;
mod typed;

use std::path::PathBuf;
use std::time::Duration;

use osnl_model::{Compression, SentLogin, TransportUrl};

pub use self::former::FORMER_OPTIONS;
use self::table::TlsChoice;
pub use self::table::{NO_EFFECT, RABBIT_OPTIONS, RabbitSection, effect_of};
pub use self::typed::{LoginMethod, QueueOptions, QuorumLimits};
use crate::backoff::{Reconnect, RetryPauses};
use crate::hosts::FailoverStrategy;
use crate::options::{DriverOptions, DriverSection, OptionError, file};
use crate::tls::{TlsOptions, TlsVersions, Trust};

pub const HEARTBEAT: u16 = 10;
pub const OSLO_HEARTBEAT: u16 = 60;
pub const HEARTBEAT_OPTION: &str = "heartbeat_timeout_threshold";

/// The options of RabbitMQ, from `[oslo_messaging_rabbit]` and the query of the URL.
pub type RabbitOptions = DriverOptions<RabbitSection>;

impl DriverSection for RabbitSection {
    const SECTION: &'static str = "oslo_messaging_rabbit";
    const SCHEMES: &'static [&'static str] = &["rabbit", "kombu"];

    fn foreign(name: &str) -> Option<&'static str> {
        foreign::instead(name)
    }

    fn check(&self) -> Result<(), OptionError> {
        let refuse = |names, reason| Err(OptionError::Together { names, reason });
        let conflict = match self.tls {
            Some(TlsChoice::Verify) => "tls = verify and ssl = false",
            Some(TlsChoice::Unverified) => "tls = unverified and ssl = false",
            Some(TlsChoice::Oslo) | None => "",
        };
        if !conflict.is_empty() && self.ssl == Some(false) {
            return refuse(conflict, "one requires TLS, the other turns it off; remove one of them");
        }
        let certificate = file(self.ssl_cert_file.as_ref());
        if file(self.ssl_key_file.as_ref()).is_some() && certificate.is_none() {
            return refuse("ssl_key_file without ssl_cert_file", "a key needs its certificate");
        }
        if self.rabbit_login_method == Some(LoginMethod::External)
            && (self.trust().is_none() || certificate.is_none())
        {
            return refuse(
                "rabbit_login_method = EXTERNAL",
                "the login is the client's certificate: set ssl = true, ssl_cert_file and ssl_key_file",
            );
        }
        let is_quorum = self.rabbit_quorum_queue == Some(true);
        if is_quorum && self.rabbit_ha_queues == Some(true) {
            return refuse(
                "rabbit_quorum_queue and rabbit_ha_queues",
                "exclude each other; remove rabbit_ha_queues",
            );
        }
        if is_quorum && self.amqp_auto_delete == Some(true) {
            return refuse(
                "rabbit_quorum_queue and amqp_auto_delete",
                "the broker makes no quorum queue that is deleted with its last consumer; remove amqp_auto_delete",
            );
        }
        Ok(())
    }
}

impl RabbitSection {
    /// Returns whom the connection trusts, if it is encrypted. The host name is verified where oslo.messaging 18.3.1
    /// verifies it, with a CA file: `osnl-cli/tests/cli/trust.rs` compares both.
    fn trust(&self) -> Option<Trust> {
        let file = file(self.ssl_ca_file.as_ref());
        match self.tls {
            Some(TlsChoice::Verify) => Some(Trust::Ca { file, name: true }),
            Some(TlsChoice::Unverified) => Some(Trust::Unverified),
            Some(TlsChoice::Oslo) | None if self.ssl != Some(true) => None,
            Some(TlsChoice::Oslo) | None => Some(Trust::Ca { name: file.is_some(), file }),
        }
    }
}

impl RabbitOptions {
    #[must_use]
    pub fn tls(&self) -> Option<TlsOptions> {
        Some(TlsOptions {
            trust: self.values.trust()?,
            certificate: file(self.values.ssl_cert_file.as_ref()),
            key: file(self.values.ssl_key_file.as_ref()),
            versions: self.values.ssl_version.unwrap_or(TlsVersions::Any),
        })
    }

    /// Returns the logins that are sent in clear. TLS that trusts any broker has a warning of its own.
    #[must_use]
    pub fn logins(&self, url: &TransportUrl, remedy: &'static str) -> Vec<SentLogin> {
        match self.tls() {
            None => crate::logins::in_clear(url, remedy),
            Some(_) => Vec::new(),
        }
    }

    #[must_use]
    pub fn client_certificate(&self) -> Option<PathBuf> {
        self.tls()?.certificate
    }

    #[must_use]
    pub fn ca_file(&self) -> Option<PathBuf> {
        file(self.values.ssl_ca_file.as_ref())
    }

    /// Returns the heartbeat in seconds; 0 is none. The broker hands the queue of a silent host over after nearly three
    /// heartbeats, hence the default [`HEARTBEAT`] and not oslo.messaging's 60 s.
    #[must_use]
    pub fn heartbeat(&self) -> u16 {
        self.values.heartbeat_timeout_threshold.unwrap_or(HEARTBEAT)
    }

    #[must_use]
    pub fn with_oslo_heartbeat(mut self) -> Self {
        self.values.heartbeat_timeout_threshold.get_or_insert(OSLO_HEARTBEAT);
        self
    }

    #[must_use]
    pub fn login(&self) -> Option<LoginMethod> {
        self.values.rabbit_login_method
    }

    #[must_use]
    pub fn failover(&self) -> FailoverStrategy {
        self.values.kombu_failover_strategy.unwrap_or(FailoverStrategy::Shuffle)
    }

    #[must_use]
    pub fn reconnect(&self) -> Reconnect {
        let set = &self.values;
        let seconds = |set: Option<u32>, default| Duration::from_secs(set.unwrap_or(default).into());
        let (delay, splay) = (set.kombu_reconnect_delay, set.kombu_reconnect_splay);
        let (first, step) = (set.rabbit_retry_interval, set.rabbit_retry_backoff);
        let longest = set.rabbit_interval_max;
        Reconnect {
            delay: delay.or(splay).map(|_| {
                (delay.map_or(Duration::from_secs(1), |s| s.0), splay.map_or(Duration::ZERO, |s| s.0))
            }),
            retry: first.or(step).or(longest).map(|_| RetryPauses {
                first: seconds(first, 1),
                step: seconds(step, 2),
                longest: seconds(longest, 30),
            }),
        }
    }

    #[must_use]
    pub fn prefetch(&self) -> Option<u16> {
        self.values.rabbit_qos_prefetch_count.filter(|count| *count > 0)
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
        let set = &self.values;
        let limit = |limit: Option<u32>| limit.filter(|limit| *limit > 0);
        let quorum = (set.rabbit_quorum_queue == Some(true)).then(|| QuorumLimits {
            delivery_limit: limit(set.rabbit_quorum_delivery_limit),
            max_in_memory_length: limit(set.rabbit_quorum_max_memory_length),
            max_in_memory_bytes: limit(set.rabbit_quorum_max_memory_bytes),
        });
        QueueOptions {
            durable: if quorum.is_some() { Some(true) } else { set.amqp_durable_queues },
            auto_delete: set.amqp_auto_delete,
            quorum,
            mirrored: set.rabbit_ha_queues == Some(true),
        }
    }

    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        self.values.kombu_compression?.0
    }
}

#[cfg(test)]
mod tests;
