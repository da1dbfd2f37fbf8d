//! The options' meaning, as types.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::topology::{QueueKind, QueueType};

/// The settings of TLS with the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// The brokers that are trusted.
    pub trust: Trust,
    /// The client's certificate, if it has one.
    pub certificate: Option<PathBuf>,
    /// Its key; without, it stands in the certificate's file.
    pub key: Option<PathBuf>,
    /// The allowed versions.
    pub versions: TlsVersions,
}

/// Something that is not verified: a forged broker that it lets in, and the options that refuse such a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustWarning {
    /// The missing verification.
    pub problem: &'static str,
    /// The options that verify it.
    pub remedy: &'static str,
}

impl TlsOptions {
    /// Returns a warning unless both the broker's certificate and its name are verified.
    #[must_use]
    pub fn warning(&self) -> Option<TrustWarning> {
        let problem = match self.trust {
            Trust::Unverified => {
                "encrypted, but the broker's certificate is not verified, and a forged broker would get the password"
            }
            Trust::Ca { name: false, .. } => {
                "encrypted, but the name in the broker's certificate is not verified, and any server with a certificate \
                 of an authority of the system would get the password"
            }
            Trust::Ca { name: true, .. } => return None,
        };
        let remedy = "set tls = verify, and ssl_ca_file unless the system trusts the CA";
        Some(TrustWarning { problem, remedy })
    }
}

/// The brokers that are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Any broker, by `tls = unverified` alone.
    Unverified,
    /// Brokers with a certificate of a CA in this file, or without a file of one of the system's.
    Ca {
        /// A PEM file, or a folder of such files.
        file: Option<PathBuf>,
        /// Whether the certificate must be for the host's name.
        name: bool,
    },
}

/// The versions of TLS that may be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    Any,
    /// 1.2 only.
    Only12,
    /// 1.3 only.
    Only13,
}

/// The SASL mechanism of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginMethod {
    /// User and password, as RFC 4616 has it.
    Plain,
    /// User and password, as RabbitMQ's own older form; what oslo.messaging uses when nothing is set.
    AmqPlain,
    /// The client certificate.
    External,
}

impl fmt::Display for LoginMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "PLAIN",
            Self::AmqPlain => "AMQPLAIN",
            Self::External => "EXTERNAL",
        })
    }
}

/// In which order several hosts are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverStrategy {
    /// Each round at random.
    Shuffle,
    /// From where the last round ended, in an order that is made once.
    RoundRobin,
}

/// Pauses before and between attempts to connect, as far as they are set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reconnect {
    /// Before the first attempt after a connection was lost: this, and up to the second at random.
    pub delay: Option<(Duration, Duration)>,
    /// After each failed attempt; `None` is the listener's own way.
    pub retry: Option<RetryPauses>,
}

/// A pause that grows by a step up to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPauses {
    /// After the first failure.
    pub first: Duration,
    /// The growth of the pause each time.
    pub step: Duration,
    /// The longest.
    pub longest: Duration,
}

impl RetryPauses {
    /// The pause after this many failures in a row, counted from 1.
    #[must_use]
    pub fn after(&self, failures: u32) -> Duration {
        self.first.saturating_add(self.step.saturating_mul(failures.saturating_sub(1))).min(self.longest)
    }
}

/// The declaration of a queue that has to be made, as far as it is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueOptions {
    /// It outlives a restart of the broker; a quorum queue always does.
    pub durable: Option<bool>,
    /// It goes with its last consumer.
    pub auto_delete: Option<bool>,
    /// `x-queue-type: quorum`, with its limits.
    pub quorum: Option<QuorumLimits>,
    /// `x-ha-policy: all`, which brokers have ignored since 3.0.
    pub mirrored: bool,
}

impl QueueOptions {
    /// Returns the queue that oslo.messaging declares with these options. The exchange is durable, and deleted by itself,
    /// as this queue is.
    #[must_use]
    pub fn as_oslo(&self) -> QueueKind {
        let limits = self.quorum.unwrap_or_default();
        QueueKind {
            queue_type: self.quorum.map_or(QueueType::Classic, |_| QueueType::Quorum),
            durable: self.durable == Some(true),
            auto_delete: self.auto_delete == Some(true),
            delivery_limit: limits.delivery_limit,
            max_in_memory_length: limits.max_in_memory_length,
            max_in_memory_bytes: limits.max_in_memory_bytes,
            ha_policy: self.mirrored.then(|| "all".to_owned()),
            ..QueueKind::OSLO
        }
    }
}

/// Arguments of a quorum queue; `None` is not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuorumLimits {
    /// `x-delivery-limit`.
    pub delivery_limit: Option<u32>,
    /// `x-max-in-memory-length`.
    pub max_in_memory_length: Option<u32>,
    /// `x-max-in-memory-bytes`.
    pub max_in_memory_bytes: Option<u32>,
}
