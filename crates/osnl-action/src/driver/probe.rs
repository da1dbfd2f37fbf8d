mod certificate;
mod target;

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use osnl_net::tls::EXPIRES_SOON;

pub use self::certificate::{client_certificate_probe, server_certificate_probe};
pub(crate) use self::target::NO_REQUEST;
pub use self::target::target_probe;

const RENEW: &str = "renew it before";

/// The result of trying one thing that an action or a listener needs, without an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The section that needs it, without brackets.
    pub section: String,
    /// The subject: `target cmdb:443`, `exchange nova`.
    pub what: String,
    pub verdict: ProbeVerdict,
    /// The answer, in words.
    pub found: String,
    /// The remedy, unless all is fine.
    pub advice: Option<String>,
    /// Whether the probe did less than an attempt: a connection without a request.
    pub is_passive: bool,
}

/// The consequence of a probe for the result of `osnl check --connect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeVerdict {
    Fine,
    /// Deliveries succeed, and something needs attention.
    Warning,
    /// Nothing is wrong now.
    Note,
    /// The probe could not decide without an effect.
    Unproven,
    Failed,
}

impl ProbeVerdict {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Note => "note",
            Self::Unproven => "unproven",
            Self::Failed => "failed",
        }
    }

    #[must_use]
    pub fn shown(self) -> &'static str {
        match self {
            Self::Unproven => "untested",
            Self::Fine | Self::Warning | Self::Note | Self::Failed => self.as_str(),
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
    pub fn new(section: impl Into<String>, what: impl Into<String>) -> Self {
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

    pub fn note(self, found: impl Into<String>, advice: &str) -> Self {
        Self { verdict: ProbeVerdict::Note, found: found.into(), advice: Some(advice.to_owned()), ..self }
    }

    pub fn unproven(self, found: impl Into<String>, advice: &str) -> Self {
        Self { verdict: ProbeVerdict::Unproven, found: found.into(), advice: Some(advice.to_owned()), ..self }
    }

    pub fn failed(self, found: impl Into<String>, advice: Option<&str>) -> Self {
        Self { verdict: ProbeVerdict::Failed, found: found.into(), advice: advice.map(str::to_owned), ..self }
    }

    /// Marks a probe that has sent no request.
    pub fn passive(self) -> Self {
        Self { is_passive: true, ..self }
    }

    /// Adds the end of a certificate, in seconds of Unix time; a near end is a warning.
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

/// Returns the failure of a probe without an answer in time.
pub fn silent(probe: Probe, deadline: Duration) -> Probe {
    let found = format!("no answer within {} s", deadline.as_secs_f64());
    probe.failed(found, Some("look at names, routes and firewalls on the way"))
}
