use std::sync::Arc;

use super::super::calls::{CallTerms, IncidentCall, KnownIncidents};
use super::*;

/// A night by the second: incidents begin and end, and each look is of five seconds.
struct CallRig {
    known: KnownIncidents,
    terms: CallTerms,
    now: u64,
    calls: Vec<String>,
}

impl CallRig {
    fn new(terms: CallTerms) -> Self {
        Self { known: KnownIncidents::default(), terms, now: 1_000_000, calls: Vec::new() }
    }

    fn lasts(&mut self, seconds: u64, found: &[Incident]) {
        for _ in 0..seconds / 5 {
            self.now += 5;
            let (known, calls) = self.known.after(found, &self.terms, self.now);
            // As after a restart.
            self.known = serde_json::from_slice(&serde_json::to_vec(&known).unwrap()).unwrap();
            self.calls.extend(calls.iter().map(shown));
        }
    }

    #[track_caller]
    fn called(&mut self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut self.calls), expected);
    }
}

fn shown(call: &IncidentCall) -> String {
    let what = if call.is_begin { "begin" } else { "end" };
    format!("{what} {} {} -> {}", call.resource(), call.lasted, call.actions.join(","))
}

fn terms(actions: &[(&str, &[&str])]) -> CallTerms {
    let with = |(name, more): &(&str, &[&str])| {
        let all = more.iter().chain([name]).map(|name| Arc::from(*name)).collect();
        (Arc::from(*name), all)
    };
    CallTerms {
        actions: actions.iter().map(with).collect(),
        after: Duration::from_secs(120),
        severity: Critical,
        kinds: Vec::new(),
        running: Duration::MAX,
    }
}

fn action_incident(kind: IncidentKind, action: &str) -> Incident {
    Incident::new(kind, Critical, format!("action {action}"), "it is down").for_action(action)
}

#[test]
fn an_incident_begins_and_ends_once_whatever_its_kind_becomes() {
    let mut rig = CallRig::new(terms(&[("chat", &[])]));
    let down = action_incident(IncidentKind::TargetDown, "roles");
    rig.lasts(115, std::slice::from_ref(&down));
    rig.called(&[]);
    rig.lasts(10, std::slice::from_ref(&down));
    rig.called(&["begin target-down/action roles 120 -> chat"]);
    rig.lasts(3600, &[action_incident(IncidentKind::TargetRefuses, "roles")]);
    rig.lasts(5, &[]);
    rig.lasts(5, std::slice::from_ref(&down));
    rig.called(&[]);
    rig.lasts(60, &[]);
    rig.called(&["end target-down/action roles 3740 -> chat"]);
    // It comes and goes.
    for _ in 0..20 {
        rig.lasts(150, std::slice::from_ref(&down));
        rig.lasts(30, &[]);
    }
    let calls = std::mem::take(&mut rig.calls);
    assert_eq!(calls.len(), 2, "one an hour: {calls:?}");
    let long = Incident { since_seconds: Some(900), ..action_incident(IncidentKind::PendingFull, "dns") };
    rig.lasts(5, &[long]);
    rig.called(&["begin pending-full/action dns 900 -> chat"]);
}

/// The deliveries have become dead letters, and few are old; or a proxy before the target refuses.
#[test]
fn an_incident_that_becomes_what_begins_nothing_has_not_ended() {
    let down = action_incident(IncidentKind::TargetDown, "roles");
    let warning = Incident { severity: Warning, ..down.clone() };
    let refuses = action_incident(IncidentKind::TargetRefuses, "roles");
    let of_kind = CallTerms { kinds: vec![IncidentKind::TargetDown], ..terms(&[("chat", &[])]) };
    for (of, then) in [(terms(&[("chat", &[])]), warning), (of_kind, refuses)] {
        let mut rig = CallRig::new(of);
        rig.lasts(200, std::slice::from_ref(&then));
        rig.called(&[]);
        rig.lasts(125, std::slice::from_ref(&down));
        rig.called(&["begin target-down/action roles 120 -> chat"]);
        rig.lasts(3600, std::slice::from_ref(&then));
        rig.lasts(5, &[]);
        rig.lasts(5, std::slice::from_ref(&then));
        rig.lasts(5, &[]);
        rig.called(&[]);
        rig.lasts(5, &[]);
        rig.called(&["end target-down/action roles 3740 -> chat"]);
    }
}

#[test]
fn a_restart_ends_no_incident_that_the_new_run_has_not_tried_again() {
    let mut rig = CallRig::new(terms(&[("chat", &[])]));
    let down = action_incident(IncidentKind::TargetDown, "roles");
    rig.lasts(125, std::slice::from_ref(&down));
    rig.called(&["begin target-down/action roles 120 -> chat"]);
    rig.terms.running = Duration::from_secs(5);
    rig.lasts(60, &[]);
    rig.lasts(5, std::slice::from_ref(&down));
    rig.called(&[]);
    rig.terms.running = Duration::from_secs(120);
    rig.lasts(10, &[]);
    rig.called(&["end target-down/action roles 195 -> chat"]);
}

#[test]
fn a_clock_that_was_ahead_delays_no_beginning() {
    let mut rig = CallRig::new(terms(&[("chat", &[])]));
    let down = action_incident(IncidentKind::TargetDown, "roles");
    rig.lasts(125, std::slice::from_ref(&down));
    rig.called(&["begin target-down/action roles 120 -> chat"]);
    rig.now -= 900_000;
    rig.lasts(10, &[]);
    rig.called(&["end target-down/action roles 0 -> chat"]);
    rig.lasts(125, std::slice::from_ref(&down));
    rig.called(&["begin target-down/action roles 120 -> chat"]);
    rig.now -= 50_000;
    let other = action_incident(IncidentKind::TargetDown, "dns");
    rig.lasts(5, &[down.clone(), other.clone()]);
    rig.now -= 20_000;
    rig.lasts(125, &[down, other]);
    rig.called(&["begin target-down/action dns 120 -> chat"]);
}

#[test]
fn no_action_is_called_about_itself_and_nothing_while_the_journal_keeps_nothing() {
    let mut rig = CallRig::new(terms(&[("chat", &["mail"]), ("ticket", &[])]));
    let own = [
        action_incident(IncidentKind::TargetDown, "chat"),
        action_incident(IncidentKind::DeadLetters, "mail"),
    ];
    rig.lasts(200, &own);
    rig.called(&[
        "begin target-down/action chat 120 -> ticket",
        "begin dead-letters/action mail 120 -> ticket",
    ]);
    let mut alone = CallRig::new(terms(&[("chat", &["mail"])]));
    alone.lasts(20_000, &own);
    alone.called(&[]);
    let failed = Incident::new(IncidentKind::JournalFailed, Critical, "journal", "it is unusable");
    let down = action_incident(IncidentKind::TargetDown, "roles");
    alone.lasts(900, &[failed, down.clone()]);
    alone.called(&[]);
    alone.lasts(125, std::slice::from_ref(&down));
    alone.called(&["begin target-down/action roles 120 -> chat"]);
    // What the journal has not taken is decided again.
    let (mut known, calls) =
        alone.known.after(&[], &alone.terms, alone.now + 5).0.after(&[], &alone.terms, alone.now + 10);
    known.undo(calls[0].clone(), alone.now + 10);
    let again = known.after(&[], &alone.terms, alone.now + 15).1;
    assert_eq!(again.iter().map(shown).collect::<Vec<_>>(), ["end target-down/action roles 135 -> chat"]);
}

#[test]
fn severity_and_kinds_choose_and_the_payload_has_no_null() {
    let warning = Incident { severity: Warning, ..action_incident(IncidentKind::DeadLetters, "roles") };
    let mut rig = CallRig::new(terms(&[("chat", &[])]));
    rig.lasts(200, std::slice::from_ref(&warning));
    rig.called(&[]);
    let of = CallTerms { severity: Warning, kinds: vec![IncidentKind::Gap], ..terms(&[("chat", &[])]) };
    let mut rig = CallRig::new(of);
    rig.lasts(200, std::slice::from_ref(&warning));
    rig.called(&[]);
    rig.terms.kinds.push(IncidentKind::DeadLetters);
    rig.now += 200;
    let (_, calls) = rig.known.after(
        &[warning.mended_by_command("osnl deliveries list").mended_by("then retry")],
        &rig.terms,
        rig.now,
    );
    assert_eq!(calls, [], "it has not lasted");
    let call = IncidentCall {
        is_begin: true,
        incident: action_incident(IncidentKind::TargetDown, "roles")
            .mended_by_command("osnl status")
            .mended_by("look"),
        part: "action roles".to_owned(),
        lasted: 7,
        actions: Vec::new(),
    };
    let payload = call.payload();
    assert_eq!((payload["to_do"].as_str(), payload["why"].as_str()), (Some("osnl status; look"), Some("")));
    assert!(payload.as_object().unwrap().values().all(|value| !value.is_null()), "{payload}");
}
