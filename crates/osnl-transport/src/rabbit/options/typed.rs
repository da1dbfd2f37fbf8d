use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::topology::{QueueKind, QueueType};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    pub trust: Trust,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub versions: TlsVersions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustWarning {
    pub problem: &'static str,
    pub remedy: &'static str,
}

impl TlsOptions {
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Trusts any broker, with `tls = unverified` only.
    Unverified,
    /// Trusts certificates of a CA in this file, or of the system's CAs without a file.
    Ca { file: Option<PathBuf>, name: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersions {
    Any,
    Only12,
    Only13,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginMethod {
    Plain,
    /// RabbitMQ's own older form, and oslo.messaging's default.
    AmqPlain,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverStrategy {
    Shuffle,
    /// Each round continues where the last ended, in an order that is made once.
    RoundRobin,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reconnect {
    /// The pause before the first attempt after a lost connection, and a random addition up to the second value.
    pub delay: Option<(Duration, Duration)>,
    pub retry: Option<RetryPauses>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPauses {
    pub first: Duration,
    pub step: Duration,
    pub longest: Duration,
}

impl RetryPauses {
    #[must_use]
    pub fn after(&self, failures: u32) -> Duration {
        self.first.saturating_add(self.step.saturating_mul(failures.saturating_sub(1))).min(self.longest)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueOptions {
    pub durable: Option<bool>,
    pub auto_delete: Option<bool>,
    pub quorum: Option<QuorumLimits>,
    /// `x-ha-policy: all`, which brokers have ignored since 3.0.
    pub mirrored: bool,
}

impl QueueOptions {
    /// The exchange has the same durability and auto-deletion.
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuorumLimits {
    pub delivery_limit: Option<u32>,
    pub max_in_memory_length: Option<u32>,
    pub max_in_memory_bytes: Option<u32>,
}
