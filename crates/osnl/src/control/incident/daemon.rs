use std::time::{Duration, SystemTime};

use osnl_net::http::ExpiryKind;
use osnl_net::tls::EXPIRES_SOON;
use tokio::time::Instant;

use super::{Incident, IncidentKind as Kind, IncidentSeverity as Severity, and_more, grouped, lasting};
use crate::control::time::{self, span};
use crate::control::{ConfigurationStatus, ExpiryStatus};
use crate::daemon::{DaemonStop, ReloadRefusalReason};
use crate::metrics::Counters;

pub(in crate::control) fn no_daemon() -> Incident {
    Incident::new(Kind::NoDaemon, Severity::Critical, "daemon", "no daemon runs on this journal")
        .mended_by("systemctl start osnl, or osnl run")
}

pub(in crate::control) fn judge_configuration(configuration: &ConfigurationStatus) -> Option<Incident> {
    let failed = configuration.not_reloaded.as_ref()?;
    let first = failed.errors.first().map(String::as_str).unwrap_or_default();
    let more = and_more(failed.errors.len().saturating_sub(1) as u64, "error");
    let what = format!("the last reload was refused {} ago", span(failed.since_seconds));
    let found = Incident::new(Kind::NotReloaded, Severity::Warning, "configuration", what);
    let found = found.because(format!("{first}{more}"));
    let found = found.since(Some(failed.since.clone()), Some(failed.since_seconds));
    let found = found.mended_by(match failed.reason {
        ReloadRefusalReason::QueueNotEmpty => {
            "take one of the ways out that osnl reload names, then osnl reload"
        }
        ReloadRefusalReason::Configuration
        | ReloadRefusalReason::NeedsRestart
        | ReloadRefusalReason::Unusable
        | ReloadRefusalReason::Unsupported => "correct the file, then osnl check and osnl reload",
    });
    Some(Incident { by_itself: Some("osnl still uses the previous configuration".to_owned()), ..found })
}

pub(in crate::control) fn judge_expiry(expiry: &ExpiryStatus) -> Option<Incident> {
    let ExpiryStatus { subject, kind, what, ends, ends_seconds } = expiry;
    let soon = i64::try_from(EXPIRES_SOON.as_secs()).unwrap_or(i64::MAX);
    if *ends_seconds > soon {
        return None;
    }
    let day = ends.split('T').next().unwrap_or(ends);
    let left = span(ends_seconds.unsigned_abs());
    let (severity, verb, text) = match ends_seconds {
        0.. => (Severity::Warning, "ends", format!("{what} ends in {left}, on {day}")),
        _ => (Severity::Critical, "ended", format!("{what} ended {left} ago, on {day}")),
    };
    let (ended, soon) = (ends_seconds.unsigned_abs(), soon.unsigned_abs());
    let seconds = if *ends_seconds >= 0 { soon - ended } else { soon + ended };
    let since = SystemTime::now().checked_sub(Duration::from_secs(seconds)).map(time::shown);
    let found = Incident::new(Kind::Certificate, severity, subject, format!("{subject}: {text}"));
    let found = found.labelled(format!("{what} {verb} on {day}")).since(since, Some(seconds));
    let found = match subject.split_once(' ') {
        Some(("action", name)) => found.for_action(name),
        Some(("listener", name)) => found.for_listener(name),
        Some(_) | None => found,
    };
    Some(found.mended_by(match kind {
        ExpiryKind::Password => "change it in Keystone and in the configuration, then osnl reload",
        ExpiryKind::Client => "renew the file, then osnl reload",
        ExpiryKind::Server => "renew it where it is installed; osnl sees the new one at its next connection",
    }))
}

pub(in crate::control) fn judge_stop(stop: DaemonStop, running: u64) -> Incident {
    let lasting = lasting(Some(time::age(stop.since)));
    let attempts = match running {
        0 => "no attempt runs any more".to_owned(),
        1 => "1 running attempt is finished first".to_owned(),
        many => format!("{} running attempts are finished first", grouped(many)),
    };
    let (severity, why, to_do) = match stop.is_failure {
        true => (Severity::Critical, " after a failure", "see the log"),
        false => (Severity::Warning, "", "a second SIGTERM ends it at once"),
    };
    let what = format!("osnl is stopping{why}");
    let found = Incident::new(Kind::Stopping, severity, "daemon", format!("{what}{lasting}")).labelled(what);
    found.since(Some(time::shown(stop.since)), Some(time::age(stop.since))).mended_by(to_do).heals(attempts)
}

pub(in crate::control) fn judge_streams(counters: &Counters) -> Vec<Incident> {
    let states = counters.series.streams.states(SystemTime::now());
    let silent = states.into_iter().filter(|stream| stream.is_silent);
    let silent = silent.map(|stream| {
        let (kind, name, expect) = (stream.kind.name(), stream.name, stream.expect);
        let last = stream.last.map_or_else(
            || "none since the start".to_owned(),
            |last| format!("the last {} ago", span(time::age(last))),
        );
        let what = format!("{kind} {name}: silent, {last}");
        let found = Incident::new(Kind::Silent, Severity::Warning, format!("{kind} {name}"), what);
        let found = found.because(format!("expected are {expect}"));
        let found = found.since(stream.last.map(time::shown), stream.last.map(time::age));
        let found = if kind == "listener" { found.for_listener(&name) } else { found };
        found.mended_by_command("osnl tap").mended_by("the tap shows whether the service sends notifications")
    });
    let canary = &counters.series.canary;
    let late = canary.late(Instant::now()).map(|late| {
        let what = format!("the canary is late: none came back for {}", span(late.as_secs()));
        let found = Incident::new(Kind::CanaryLate, Severity::Critical, "canary", what);
        let found = found.labelled("the canary is late").since(None, Some(late.as_secs()));
        let refusal = canary.refusal().map(|refusal| (refusal.reason, refusal.remedy));
        let (reason, remedy) = refusal.unwrap_or_default();
        found
            .because(reason)
            .mended_by_remedy(remedy.unwrap_or_else(|| "see its listener, and its broker".into()))
    });
    silent.chain(late).collect()
}
