mod certificate;
mod cloud;
mod target;

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use osnl_net::http::EXPIRES_SOON;
use osnl_transport::{Declare, ExchangeFound, ExchangeInspection, HostInspection};

pub use self::certificate::{client_certificate_probe, server_certificate_probe};
pub use self::cloud::{catalog_advice, certificate_of_cloud, chosen, cloud_probe, keystone_probe, log_in};
pub(crate) use self::target::NO_REQUEST;
pub use self::target::{broker_probe, file_probe, free, shards_probe, target_probe};
#[cfg(feature = "kafka")]
pub use self::target::{kafka_canary_probe, kafka_probe};
use super::ProbeContext;

const RENEW: &str = "renew it before";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub section: String,
    pub what: String,
    pub verdict: ProbeVerdict,
    pub found: String,
    pub advice: Option<String>,
    /// Whether the probe did less than an attempt: a connection without a request.
    pub is_passive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeVerdict {
    Fine,
    Warning,
    Unproven,
    Failed,
}

impl ProbeVerdict {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Unproven => "unproven",
            Self::Failed => "failed",
        }
    }

    #[must_use]
    pub fn shown(self) -> &'static str {
        match self {
            Self::Unproven => "untested",
            Self::Fine | Self::Warning | Self::Failed => self.as_str(),
        }
    }
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { section, what, verdict, found, advice, is_passive: _ } = self;
        let advice = advice.as_ref().map_or(String::new(), |advice| format!("; {advice}"));
        let line = format!("{:<8} [{section}] {what}: {found}{advice}", verdict.shown());
        f.write_str(
            &line.chars().map(|c| if osnl_model::is_dangerous(c) { ' ' } else { c }).collect::<String>(),
        )
    }
}

impl Probe {
    pub fn of(section: impl Into<String>, what: impl Into<String>) -> Self {
        let (section, what) = (section.into(), what.into());
        Self {
            section,
            what,
            verdict: ProbeVerdict::Fine,
            found: String::new(),
            advice: None,
            is_passive: false,
        }
    }

    pub fn fine(self, found: impl Into<String>) -> Self {
        Self { found: found.into(), ..self }
    }

    pub fn warning(self, found: impl Into<String>, advice: &str) -> Self {
        Self { verdict: ProbeVerdict::Warning, found: found.into(), advice: Some(advice.to_owned()), ..self }
    }

    pub fn unproven(self, found: impl Into<String>, advice: &str) -> Self {
        Self { verdict: ProbeVerdict::Unproven, found: found.into(), advice: Some(advice.to_owned()), ..self }
    }

    pub fn failed(self, found: impl Into<String>, advice: Option<&str>) -> Self {
        Self { verdict: ProbeVerdict::Failed, found: found.into(), advice: advice.map(str::to_owned), ..self }
    }

    pub fn passive(self) -> Self {
        Self { is_passive: true, ..self }
    }

    pub fn until(mut self, ends: Option<i64>) -> Self {
        let Some(ends) = ends.and_then(|seconds| Timestamp::from_second(seconds).ok()) else { return self };
        self.found.push_str(&format!(", certificate until {}", ends.to_zoned(TimeZone::UTC).date()));
        if ends.duration_since(Timestamp::now()).unsigned_abs() < EXPIRES_SOON || ends < Timestamp::now() {
            self.verdict = ProbeVerdict::Warning;
            self.advice = Some(RENEW.to_owned());
        }
        self
    }
}

pub fn silent(probe: Probe, deadline: Duration) -> Probe {
    let found = format!("no answer within {} s", deadline.as_secs_f64());
    probe.failed(found, Some("look at names, routes and firewalls on the way"))
}

pub fn broker(
    probe: Probe,
    host: &HostInspection,
    virtual_host: &str,
    permissions: impl FnOnce(&str) -> String,
) -> Probe {
    let error = match &host.reached {
        Ok(reached) => {
            let tls = if reached.tls { "TLS" } else { "no TLS" };
            let broker = reached.greeting.words().map(|words| format!(", {words}")).unwrap_or_default();
            let found = format!("logged in as {}, virtual host {virtual_host}, {tls}{broker}", reached.user);
            return probe.fine(found).until(reached.certificate_ends);
        }
        Err(error) => error,
    };
    let words = error.to_string();
    let words = words.strip_prefix(&format!("{}: ", host.host)).unwrap_or(&words).to_owned();
    let advice = error.remedy(virtual_host, permissions);
    probe.failed(words, advice.as_deref())
}

/// The remedy of a missing exchange of an action, whose messages no service makes.
pub(crate) const CREATE_EXCHANGE: &str = "create it at the broker, or write declare = create";

pub fn exchange(
    probe: Probe,
    found: &ExchangeInspection,
    declare: Declare,
    virtual_host: &str,
    permissions: impl FnOnce(&str) -> String,
) -> Probe {
    match found {
        ExchangeInspection::There(ExchangeFound { kind: Some(kind), .. }) if kind != "topic" => {
            let advice = "name the exchange that the service publishes to: its control_exchange";
            probe.failed(format!("exists and is {kind}, not topic"), Some(advice))
        }
        ExchangeInspection::There(what) => probe.fine(match what.durable {
            Some(true) => "exists: topic, durable",
            Some(false) => "exists: topic, transient (RabbitMQ before 4.3 may delete it at a restart)",
            None => "exists",
        }),
        ExchangeInspection::Missing => match declare {
            Declare::Create => probe.fine("does not exist, and will be created"),
            Declare::Passive | Declare::Nothing => probe.warning(
                "does not exist",
                "its service creates it with its first notification; compare the option exchange with the service's control_exchange, and the virtual host with its transport_url",
            ),
        },
        ExchangeInspection::Refused(words) => {
            let advice = osnl_transport::answer_remedy(words, virtual_host, permissions);
            probe.failed(words.clone(), advice.as_deref())
        }
    }
}
