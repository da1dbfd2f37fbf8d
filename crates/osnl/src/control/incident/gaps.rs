use super::{Incident, IncidentKind as Kind, IncidentSeverity as Severity, counted};
use crate::control::GapRow;
use crate::control::time::span;

/// One incident for each listener: a verification closes all of its gaps.
pub(in crate::control) fn judge_gaps(gaps: &[GapRow]) -> Vec<Incident> {
    let mut found: Vec<Incident> = Vec::new();
    for gap in gaps {
        if found.iter().any(|one| one.listeners[0] == gap.listener) {
            continue;
        }
        let all: Vec<&GapRow> = gaps.iter().filter(|one| one.listener == gap.listener).collect();
        let number = counted(all.len() as u64, "gap", "gaps");
        // A deletion that is lost for certain is a host that keeps its rights until the verification.
        let (severity, effect) = match all.iter().any(|gap| gap.is_certain) {
            true => (Severity::Critical, "did not arrive"),
            false => (Severity::Warning, "may not have arrived"),
        };
        let longest = all.iter().map(|gap| gap.seconds).max().unwrap_or_default();
        let of = if all.len() == 1 { "of" } else { "of up to" };
        let what = format!("{number} {of} {}, in which notifications {effect}", span(longest));
        let subject = format!("listener {}", gap.listener);
        let incident = Incident::new(Kind::Gap, severity, subject, what).named_by_listener(&gap.listener);
        let incident = incident.because(&gap.why).labelled(gap.cause.to_string());
        let incident = incident.since(Some(gap.from.clone()), Some(gap.since_seconds));
        let incident = incident.mended_by_command(&gap.command);
        found.push(match gap.to_verify.is_empty() {
            true => incident.mended_by("osnl gaps shows each"),
            false => incident.mended_by("or osnl gaps dismiss, if nothing can have been missed"),
        });
    }
    found
}
