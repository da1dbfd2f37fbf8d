//! What an operator can do about an incident, as links and buttons of the page.

use osnl::control::{Incident, IncidentKind as Kind, IncidentSeverity, Status, TargetReport, grouped};

use super::text;

/// The field of a retry that may undo a later delivery of the same resource.
pub(super) const OUT_OF_ORDER: &str = "out_of_order";
/// The list of deliveries with which osnl ended unexpectedly.
const SUSPECTS: &str = "/deliveries?state=waiting-for-release&held_by=unexpected-end";

pub(super) struct Step {
    pub(super) words: String,
    pub(super) path: String,
    pub(super) style: &'static str,
}

impl Step {
    fn link(words: impl Into<String>, path: impl Into<String>) -> Self {
        Self { words: words.into(), path: path.into(), style: "" }
    }

    pub(super) fn change(words: &str, action: &str, change: &str) -> Self {
        let path = format!("/actions/change?action={}&change={change}", text::query(action));
        Self { style: "primary", ..Self::link(words, path) }
    }
}

pub(super) fn action_path(name: &str) -> String {
    match name {
        // The page of changes has this path.
        "change" => "/actions/%63hange".to_owned(),
        name => format!("/actions/{}", text::query(name)),
    }
}

pub(super) fn tone(incident: &Incident) -> (&'static str, &'static str) {
    match incident.severity {
        IncidentSeverity::Critical => ("bad", "Critical"),
        IncidentSeverity::Warning => ("warn", "Warning"),
    }
}

pub(super) fn steps(incident: &Incident, status: &Status, may_change: bool) -> Vec<Step> {
    let action = match &incident.actions[..] {
        [one] => Some(&**one),
        _ => None,
    };
    let of = action.map(|name| format!("action={}&", text::query(name))).unwrap_or_default();
    let show = |count: u64, one: &str, many: &str, state: &str| {
        let words = format!("Show {} {}", grouped(count), if count == 1 { one } else { many });
        (count > 0).then(|| Step::link(words, format!("/deliveries?{of}state={state}")))
    };
    let waiting = || show(incident.waiting, "waiting delivery", "waiting deliveries", "pending");
    let target = status.targets.iter().find(|target| action == Some(&*target.action));
    let letters = || {
        let count = target.map_or(0, |target| target.dead);
        show(count, "dead letter", "dead letters", "dead")
    };
    let change = |words: &str, change: &str| {
        action.filter(|_| may_change).map(|name| Step::change(words, name, change))
    };
    let probe = || change("Probe now", "probe").map(|step| plain_unless_helpful(incident, step));
    let of_all = |words: &str, change: &str, state: &str, style: &'static str| {
        let path = format!("/deliveries/change?change={change}&{of}state={state}");
        may_change.then(|| Step { style, ..Step::link(words, path) })
    };
    let all = match incident.kind {
        Kind::ActionPaused => [change("Resume", "resume"), waiting(), letters()],
        Kind::TargetDown => [probe().filter(|_| target.is_some_and(is_down)), waiting(), letters()],
        Kind::TargetRefuses => [probe(), waiting(), letters()],
        Kind::DependencyDown | Kind::FallsBehind | Kind::PendingOld | Kind::PendingFull => {
            [waiting(), letters(), None]
        }
        Kind::ResourceFailing => {
            let failing = Step::link("Show those that fail", format!("/deliveries?{of}state=retrying"));
            [Some(failing), letters(), None]
        }
        Kind::DeadLetters => {
            let state = format!("dead{}", cause_condition(incident));
            let of_several = || Step::link("Show dead letters", format!("/deliveries?state={state}"));
            let shown = letters().unwrap_or_else(of_several);
            let is_gone = concerned(incident, status).any(|target| target.configured == Some(false));
            let retry = match are_overtaken(incident, status) {
                // An open delivery of an action that is not configured is attempted by none.
                _ if is_gone => None,
                true => of_all("Retry out of order", "retry", &format!("{state}&{OUT_OF_ORDER}=yes"), ""),
                false => of_all("Retry all", "retry", &state, ""),
            };
            [
                Some(Step { style: "primary", ..shown }),
                retry,
                of_all("Discard all", "discard", &state, "danger"),
            ]
        }
        Kind::WaitingForRelease => {
            let state = &*format!("waiting-for-release{}", guard_condition(incident));
            [
                show(incident.for_release, "that waits for release", "that wait for release", state)
                    .map(|step| Step { style: "primary", ..step }),
                // Which of both cannot be undone depends on the action, and each asks.
                of_all(
                    "Release all",
                    "release",
                    state,
                    if deletes(incident, status) { "danger" } else { "" },
                ),
                of_all("Discard all", "discard", state, ""),
            ]
        }
        Kind::Suspects => [Some(Step::link("Show them", SUSPECTS)), None, None],
        Kind::Orphaned => [
            show(incident.waiting + incident.for_release, "orphan", "orphans", "orphaned"),
            of_all("Discard all", "discard", "orphaned", "danger"),
            None,
        ],
        Kind::Quarantined => [Some(Step::link("Show the messages", "/quarantine")), None, None],
        Kind::NotReloaded => [Some(Step::link("Show the configuration", "/configuration")), None, None],
        Kind::Silent | Kind::NeverReceived | Kind::ListenerStalled => {
            let of = incident.listeners.first();
            let path = of.map(|name| format!("/live?listener={}", text::query(name)));
            [path.map(|path| Step::link("Watch its events", path)), None, None]
        }
        _ => [waiting(), None, None],
    };
    all.into_iter().flatten().collect()
}

/// A probe ends no refusal, and meets a wrong certificate or a limit of the target again.
fn plain_unless_helpful(incident: &Incident, step: Step) -> Step {
    match incident.is_probe_helpful {
        true => step,
        false => Step { style: "", ..step },
    }
}

/// The target may be down for another daemon on the queue alone, which a probe from here does not help.
fn is_down(target: &TargetReport) -> bool {
    matches!(target.state(), "down" | "probing") || !target.down_hosts.is_empty()
}

fn concerned<'a>(incident: &Incident, status: &'a Status) -> impl Iterator<Item = &'a TargetReport> {
    status.targets.iter().filter(|target| incident.actions.contains(&target.action))
}

/// Whether a release sends requests that delete.
fn deletes(incident: &Incident, status: &Status) -> bool {
    concerned(incident, status).any(|target| target.deletes == Some(true))
}

/// Whether each retry in order would be refused.
fn are_overtaken(incident: &Incident, status: &Status) -> bool {
    let mut dead = concerned(incident, status).filter(|target| target.dead > 0).peekable();
    dead.peek().is_some() && dead.all(|target| target.is_overtaken)
}

/// Returns the condition for the reason that letters of several actions share.
fn cause_condition(incident: &Incident) -> String {
    let why = incident.why.as_deref().filter(|_| incident.actions.len() > 1);
    why.map_or(String::new(), |why| format!("&text={}", text::query(why)))
}

/// Returns the condition for the reason of a guard; other guards and unexpected ends keep deliveries of the same actions
/// back.
fn guard_condition(incident: &Incident) -> String {
    let Some(why) = &incident.why else { return String::new() };
    match incident.has_one_guard {
        true => format!("&text={}", text::query(why)),
        false => "&held_by=guard".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(kind: &str, more: serde_json::Value, may_change: bool) -> Vec<(String, String, &'static str)> {
        let is_probe_helpful = more.get("is_probe_helpful").is_some();
        let mut incident = json!({
            "kind": kind, "severity": "warning", "subject": "action a&b", "actions": ["a&b"], "listeners": [], "what": "w",
            "why": null, "since": null, "since_seconds": null, "waiting": 0, "oldest_seconds": null, "for_release": 0,
            "must_act": "operator", "to_do": null, "by_itself": null, "symptoms": [],
        });
        incident.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let target = |action: &str, state: &str, dead| TargetReport {
            action: action.to_owned(),
            state: Some(state.to_owned()),
            dead,
            ..TargetReport::default()
        };
        let mut incident: Incident = serde_json::from_value(incident).unwrap();
        incident.is_probe_helpful = is_probe_helpful;
        let status = json!({
            "verdict": "", "numbers": {}, "running": true, "healthy": false, "incidents": [], "version": "0", "pid": 1,
            "started": null, "uptime_seconds": 1, "listeners": [], "counters": {},
            "targets": [target("a&b", "down", 4), target("c", "ok", 0)],
            "journal": {"store": "sqlite", "deliveries": 0},
        });
        let steps = steps(&incident, &serde_json::from_value(status).unwrap(), may_change);
        steps.into_iter().map(|step| (step.words, step.path, step.style)).collect()
    }

    #[test]
    fn an_incident_leads_to_its_deliveries_and_to_the_change_that_ends_it() {
        let step = |words: &str, path: &str, style| (words.to_owned(), path.to_owned(), style);
        assert_eq!(
            shown("target-down", json!({"waiting": 1054, "is_probe_helpful": true}), true),
            [
                step("Probe now", "/actions/change?action=a%26b&change=probe", "primary"),
                step("Show 1,054 waiting deliveries", "/deliveries?action=a%26b&state=pending", ""),
                step("Show 4 dead letters", "/deliveries?action=a%26b&state=dead", ""),
            ]
        );
        for kind in ["target-down", "target-refuses"] {
            assert_eq!(shown(kind, json!({}), true)[0].2, "", "{kind}");
        }
        // Another daemon on the journal cannot reach the target.
        assert_eq!(shown("target-down", json!({"actions": ["c"]}), true), []);
        let dead = step("Show 4 dead letters", "/deliveries?action=a%26b&state=dead", "primary");
        assert_eq!(shown("dead-letters", json!({}), false), [dead]);
        let of_one_cause = json!({"actions": ["a&b", "c"], "why": "no payload.x"});
        let path = "change=discard&state=dead&text=no%20payload.x";
        assert!(shown("dead-letters", of_one_cause, true)[2].1.ends_with(path));
        let two = json!({"actions": ["a", "b"], "for_release": 11});
        assert_eq!(
            shown("waiting-for-release", two, true)[1..],
            [
                step("Release all", "/deliveries/change?change=release&state=waiting-for-release", ""),
                step("Discard all", "/deliveries/change?change=discard&state=waiting-for-release", ""),
            ]
        );
        let guards = json!({"for_release": 2, "why": "guard of rule r: 9; guard of action a: 9"});
        let path = "/deliveries?action=a%26b&state=waiting-for-release&held_by=guard";
        assert_eq!(shown("waiting-for-release", guards, true)[0].1, path);
        assert_eq!(shown("certificate", json!({}), true), []);
    }

    #[test]
    fn letters_that_cannot_be_retried_in_order_are_offered_out_of_order_and_a_release_of_deletions_is_red() {
        let incident = |kind: &str| -> Incident {
            serde_json::from_value(json!({
                "kind": kind, "severity": "warning", "subject": "action a", "actions": ["a"], "listeners": [], "what": "w",
                "waiting": 0, "for_release": 1, "must_act": "operator", "symptoms": [],
            }))
            .unwrap()
        };
        let status = |is_overtaken: bool, deletes: bool| -> Status {
            let status = json!({
                "verdict": "", "numbers": {}, "running": true, "healthy": false, "incidents": [], "version": "0",
                "listeners": [], "counters": {}, "targets": [], "journal": {"store": "sqlite", "deliveries": 0},
            });
            let of = |action: &str, dead, is_overtaken| TargetReport {
                action: action.to_owned(),
                deletes: Some(deletes),
                dead,
                is_overtaken,
                ..TargetReport::default()
            };
            let targets = vec![of("a", 4, is_overtaken), of("other", 1, !is_overtaken)];
            Status { targets, ..serde_json::from_value(status).unwrap() }
        };
        let step = |kind: &str, status: &Status| {
            let step = steps(&incident(kind), status, true).into_iter().nth(1).unwrap();
            (step.words, step.path, step.style)
        };
        let path = "/deliveries/change?change=retry&action=a&state=dead";
        for (is_overtaken, words, path) in [
            (false, "Retry all", path.to_owned()),
            (true, "Retry out of order", format!("{path}&out_of_order=yes")),
        ] {
            let found = step("dead-letters", &status(is_overtaken, false));
            assert_eq!(found, (words.to_owned(), path, ""));
        }
        let mut gone = status(false, false);
        gone.targets[0].configured = Some(false);
        let path = "/deliveries/change?change=discard&action=a&state=dead".to_owned();
        assert_eq!(step("dead-letters", &gone), ("Discard all".to_owned(), path, "danger"));
        for (deletes, style) in [(true, "danger"), (false, "")] {
            assert_eq!(step("waiting-for-release", &status(false, deletes)).2, style);
        }
    }

    #[test]
    fn an_action_with_the_name_of_another_page_has_its_own() {
        assert_eq!(action_path("change"), "/actions/%63hange");
        assert_eq!(action_path("a/b?"), "/actions/a%2Fb%3F");
    }
}
