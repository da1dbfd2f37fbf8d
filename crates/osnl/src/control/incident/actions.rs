//! The incidents of actions. The effects of a target's trouble on deliveries belong to the target's incident.

use std::collections::BTreeMap;
use std::time::Duration;

use osnl_core::attempt::{ErrorClass, LONGEST_ANSWER, Uncorrected};
use osnl_core::metrics::{BacklogRates, CallLimit, FallingBehind};
use osnl_model::cut;
use osnl_transport::{Remedy, shell_quoted};

use super::super::{HeldReason, TargetReport, Unavailable};
use super::{
    Bounds, Incident, IncidentActor, IncidentKind as Kind, IncidentSeverity as Severity, and_more, counted,
    grouped, is_near, lasting, verb,
};
use crate::control::time::span;

pub(in crate::control) fn judge_target(target: &TargetReport, bounds: &Bounds) -> Vec<Incident> {
    if target.configured == Some(false) {
        return orphaned(target).into_iter().chain(dead(target, None)).collect();
    }
    let whole = paused(target, bounds).or_else(|| down(target));
    let parts =
        [dependency(target, bounds), hosts(target, bounds), failing(target, bounds)].into_iter().flatten();
    let mut incidents: Vec<Incident> = match whole {
        Some(whole) => vec![whole],
        None => parts.collect(),
    };
    if incidents.is_empty() {
        incidents.extend(falling_behind(target).or_else(|| unexplained(target, bounds)));
    } else if incidents.iter().all(|one| one.kind == Kind::ResourceFailing)
        && let Some(FallingBehind { limit: CallLimit::Concurrency | CallLimit::Rate, .. }) =
            target.falling_behind
        && let Some(slow) = falling_behind(target)
    {
        // First, because most of what waits does so for the slow target.
        incidents.insert(0, slow);
    }
    if let Some(cause) = incidents.first_mut() {
        costs(cause, target, bounds);
    }
    let own = dead(target, incidents.iter_mut().find(|one| has_answer_of(target, one)));
    incidents.extend(own);
    incidents
}

fn incident(target: &TargetReport, kind: Kind, what: String) -> Incident {
    let subject = format!("action {}", target.action);
    Incident::new(kind, Severity::Warning, subject, what).for_action(&target.action)
}

fn since(incident: Incident, target: &TargetReport) -> Incident {
    incident.since(target.since.clone(), target.since_seconds)
}

fn is_paused(target: &TargetReport) -> bool {
    target.state.as_deref() == Some("paused")
}

fn is_down(target: &TargetReport) -> bool {
    matches!(target.state.as_deref(), Some("down" | "probing"))
}

fn paused(target: &TargetReport, bounds: &Bounds) -> Option<Incident> {
    is_paused(target).then_some(())?;
    let name = &target.action;
    let by = target.paused_by.iter().fold(String::new(), |_, by| format!(" by {by}"));
    let what = format!("{name}: paused{by}{}", lasting(target.since_seconds));
    let found = incident(target, Kind::ActionPaused, what);
    let found = Incident { by_itself: when_full(target, bounds), ..found };
    let found = found.mended_by_command(format!("osnl actions resume {name}"));
    let found = match (&target.paused_reason, &target.since) {
        (Some(reason), Some(at)) => found.because(format!("{reason} (paused since {at}{by})")),
        (None, Some(at)) => found.because(format!("paused since {at}{by}")),
        (_, None) => found,
    };
    Some(since(found, target))
}

fn down(target: &TargetReport) -> Option<Incident> {
    is_down(target).then_some(())?;
    let name = &target.action;
    let last = target.last_failure.as_ref();
    let answer = last.map_or("", |failure| &failure.answer);
    let remedy = last.and_then(|failure| failure.remedy.as_ref());
    let lasting = lasting(target.since_seconds);
    let next = match target.next_probe_seconds {
        Some(seconds @ 1..) => format!("osnl tries again in {}", span(seconds)),
        Some(0) | None => "osnl tries again now".to_owned(),
    };
    let class = last.and_then(|failure| failure.class);
    let what = format!("{name}: the target is down{lasting}");
    let incident = match (last.is_some_and(|failure| failure.is_refusal), class) {
        (true, _) => {
            let what = format!("{name}: the target refuses everything{lasting}");
            let named = |advice: &str| format!("[action:{name}]: {advice}").into();
            let remedy = match remedy {
                Some(Remedy::Command(line)) => Remedy::Command(line.clone()),
                Some(Remedy::Advice(advice)) => Remedy::Advice(named(advice)),
                Some(Remedy::ConfigurationAdvice(advice)) => Remedy::ConfigurationAdvice(named(advice)),
                None => Remedy::ConfigurationAdvice(named("correct the action, or the target")),
            };
            incident(target, Kind::TargetRefuses, what).mended_by_remedy(remedy)
        }
        (false, Some(ErrorClass::Tls)) => {
            let own = format!("correct the TLS options of [action:{name}] or the target's certificate");
            let remedy = remedy.cloned().unwrap_or_else(|| Remedy::ConfigurationAdvice(own.into()));
            let found = incident(target, Kind::TargetDown, what).mended_by_remedy(remedy);
            Incident { by_itself: Some(next), ..found }
        }
        // A probe would meet the same limit.
        (false, Some(ErrorClass::Status(429))) => {
            let found = incident(target, Kind::TargetDown, what).heals(next);
            found.mended_by_remedy(lower("rate or concurrency", name))
        }
        (false, _) => {
            let found = incident(target, Kind::TargetDown, what);
            let found = found.heals(format!("{next}; sooner: osnl actions probe {name}"));
            let found = Incident { is_probe_helpful: true, ..found };
            remedy.cloned().into_iter().fold(found, Incident::mended_by_remedy)
        }
    };
    Some(since(incident.because(answer), target))
}

fn lower(options: &str, action: &str) -> Remedy {
    Remedy::ConfigurationAdvice(format!("lower {options} in [action:{action}]").into())
}

fn dependency(target: &TargetReport, bounds: &Bounds) -> Option<Incident> {
    let first = target.dependencies_down.first()?;
    let more = and_more(target.dependencies_down.len() as u64 - 1, "service");
    let what = format!(
        "{}: deliveries that need {}{more} wait{}",
        target.action,
        first.name,
        lasting(Some(first.since_seconds))
    );
    let found = incident(target, Kind::DependencyDown, what).mended_by_command("osnl check --connect");
    let found = first.remedy.clone().into_iter().fold(found, Incident::mended_by_remedy);
    let others = meanwhile(target, bounds, "deliveries that do not need it go on");
    Some(unavailable(found, first, &others))
}

fn hosts(target: &TargetReport, bounds: &Bounds) -> Option<Incident> {
    let first = target.down_hosts.first()?;
    let more = and_more((target.down_hosts.len() + target.more_down_hosts) as u64 - 1, "host");
    let what =
        format!("{}: {}{more} is down{}", target.action, first.name, lasting(Some(first.since_seconds)));
    let others = meanwhile(target, bounds, "deliveries to other hosts go on");
    let found = unavailable(incident(target, Kind::TargetDown, what), first, &others);
    Some(match first.class {
        // A probe would meet the same limit.
        Some(ErrorClass::Status(429)) => {
            found.mended_by_remedy(lower("host_rate or host_concurrency", &target.action))
        }
        Some(_) | None => Incident { is_probe_helpful: true, ..found },
    })
}

/// Returns what happens to other deliveries, and to further messages.
fn meanwhile(target: &TargetReport, bounds: &Bounds, others: &str) -> String {
    when_full(target, bounds).unwrap_or_else(|| others.to_owned())
}

fn when_full(target: &TargetReport, bounds: &Bounds) -> Option<String> {
    let is_full = symptoms(target, bounds).contains(&Kind::PendingFull);
    is_full.then(|| format!("max_pending is reached: {}", beyond(target)))
}

/// Returns what happens at `max_pending`.
fn beyond(target: &TargetReport) -> &'static str {
    if target.overflows {
        "further deliveries become dead letters"
    } else {
        "further messages stay with the broker"
    }
}

fn unavailable(incident: Incident, first: &Unavailable, meanwhile: &str) -> Incident {
    let next = match first.next_probe_seconds {
        Some(seconds @ 1..) => format!("osnl tries again in {}", span(seconds)),
        Some(0) | None => "osnl tries again now".to_owned(),
    };
    let incident =
        incident.because(&first.reason).since(Some(first.since.clone()), Some(first.since_seconds));
    let incident = incident.heals(format!("{next}; {meanwhile}"));
    let must_act = if first.needs_operator { IncidentActor::Operator } else { incident.must_act };
    Incident { must_act, ..incident }
}

fn failing(target: &TargetReport, bounds: &Bounds) -> Option<Incident> {
    let worst = target.failing.first()?;
    let resource = worst.resource.as_deref().unwrap_or("an event without a resource");
    let more = and_more(target.failing.len() as u64 + target.more_failing - 1, "resource");
    let what = format!(
        "{}: {resource}{more} fails{}, {} attempts",
        target.action,
        lasting(Some(worst.since_seconds)),
        worst.failed_attempts
    );
    let found = incident(target, Kind::ResourceFailing, what).because(&worst.answer);
    let found = found.since(Some(worst.since.clone()), Some(worst.since_seconds));
    let found = found.mended_by_command(format!("osnl deliveries show {}", worst.id));
    let others = meanwhile(target, bounds, "deliveries of other resources go on");
    Some(found.heals(format!("osnl tries each again; {others}")))
}

/// A target that works, and whose deliveries begin faster than they end.
fn falling_behind(target: &TargetReport) -> Option<Incident> {
    let FallingBehind { rates, limit, calls, seconds_each, window } = target.falling_behind.as_ref()?;
    let waits = target.pending.saturating_sub(target.in_flight);
    let is_behind = match window {
        // Another action keeps the window full if few of its messages wait for this one.
        Some(window) => target.pending.saturating_mul(4) >= *window,
        // More calls run than before, and nothing waits for one: the rate has risen, and the target keeps up.
        None => waits.saturating_mul(2) >= rates.begun.saturating_sub(rates.ended),
    };
    is_behind.then_some(())?;
    let name = &target.action;
    let mut all_run = None;
    let (limited, to_do) = match limit {
        CallLimit::Concurrency => {
            all_run = Some(format!("{calls} of {calls} calls run"));
            ("concurrency limits the calls", format!("raise concurrency in [action:{name}], or set batch"))
        }
        CallLimit::Rate => ("rate delays the calls", format!("raise rate or host_rate in [action:{name}]")),
        // What the window has runs.
        CallLimit::Order if window.is_some() && waits < target.in_flight => {
            ("prefetch limits the calls", format!("raise prefetch in the listeners of {name}"))
        }
        CallLimit::Order => (
            "each other delivery waits for an earlier one of its resource",
            format!(
                "make the target faster, or set key = none in rules of {name} whose order does not matter"
            ),
        ),
    };
    let remedy = Remedy::ConfigurationAdvice(to_do.into());
    let calls = all_run.as_deref().unwrap_or(limited);
    let each = seconds_each.map_or("none ends".to_owned(), |each| format!("{} each", span(each)));
    let [begun, ended] = [rates.begun, rates.ended].map(|count| count as f64 / rates.seconds.max(1) as f64);
    let what =
        format!("{name}: falls behind: {} in, {} out, {calls}, {each}", per_second(begun), per_second(ended));
    Some(incident(target, Kind::FallsBehind, what).labelled(limited).mended_by_remedy(remedy))
}

fn per_second(rate: f64) -> String {
    if rate == 0.0 || rate >= 0.2 { format!("{rate:.1}/s") } else { format!("{:.1}/min", rate * 60.0) }
}

/// Returns the seconds until nothing waits any more at the present rates; `None` if more deliveries begin than end.
fn catching_up(target: &TargetReport) -> Option<u64> {
    let BacklogRates { begun, ended, seconds } = target.rates?;
    let surplus = ended.checked_sub(begun).filter(|surplus| *surplus > 0)?;
    Some(target.pending.saturating_mul(seconds).div_ceil(surplus))
}

/// Deliveries that are old, many, or both, without a cause that is known.
fn unexplained(target: &TargetReport, bounds: &Bounds) -> Option<Incident> {
    let symptoms = symptoms(target, bounds);
    let kind = *symptoms.first()?;
    let name = &target.action;
    let open = target.pending + target.for_release;
    if let (Kind::PendingOld, Some(seconds)) = (kind, soon(target, bounds)) {
        let what = format!("{name}: catching up, about {}", span(seconds));
        let found = incident(target, kind, what).labelled("catching up");
        return Some(found.heals("nothing is to be done while the number falls"));
    }
    let (what, to_do) = match (kind, bounds.max_pending) {
        (Kind::PendingFull, Some(most)) => (
            format!("{name}: max_pending ({}) is reached, so {}", grouped(most), beyond(target)),
            "or raise max_pending",
        ),
        (Kind::NearBound, Some(most)) => (
            format!("{name}: {} of max_pending ({}) are pending", grouped(open), grouped(most)),
            "or raise max_pending",
        ),
        _ => (
            format!("{name}: deliveries wait too long"),
            "and raise concurrency or set batch if the target is slow",
        ),
    };
    let last = target.last_failure.as_ref();
    let label = match (kind, bounds.max_pending, last) {
        (Kind::NearBound, Some(most), _) => format!("max_pending ({}) is near", grouped(most)),
        (_, _, Some(failure)) => format!("the latest failure: {}", failure.answer),
        _ => what.trim_start_matches(&format!("{name}: ")).to_owned(),
    };
    let state = match (kind, target.pending, target.for_release) {
        (Kind::PendingOld, ..) | (.., 0) => "pending",
        (_, 0, _) => "waiting-for-release, and release or discard them",
        _ => "open, and release or discard those that wait for release",
    };
    let found = incident(target, kind, what)
        .labelled(label)
        .mended_by(format!("see osnl deliveries list --action {name} --state {state}, {to_do}"));
    Some(
        last.into_iter()
            .fold(found, |found, failure| found.because(format!("the latest failure: {}", failure.answer))),
    )
}

/// Returns the seconds in which an action that works catches up, if these are few.
fn soon(target: &TargetReport, bounds: &Bounds) -> Option<u64> {
    let is_held = is_paused(target) || is_down(target);
    catching_up(target).filter(|seconds| !is_held && Duration::from_secs(*seconds) < bounds.attention_age)
}

fn symptoms(target: &TargetReport, bounds: &Bounds) -> Vec<Kind> {
    let open = target.pending + target.for_release;
    let is_old =
        target.oldest_pending_seconds.is_some_and(|age| Duration::from_secs(age) >= bounds.attention_age);
    let (is_full, is_near) = match bounds.max_pending {
        Some(most) => (open >= most, open > 1 && is_near(open, most)),
        None => (false, false),
    };
    let all =
        [(is_full, Kind::PendingFull), (is_old, Kind::PendingOld), (is_near && !is_full, Kind::NearBound)];
    all.into_iter().filter(|(is_there, _)| *is_there).map(|(_, kind)| kind).collect()
}

/// Adds what the incident costs, and the symptoms. An operator knows the age of what waits for a pause.
fn costs(cause: &mut Incident, target: &TargetReport, bounds: &Bounds) {
    cause.waiting = target.pending;
    cause.oldest_seconds = target.oldest_pending_seconds;
    if target.pending > 0 && cause.kind != Kind::NearBound {
        let oldest =
            target.oldest_pending_seconds.filter(|age| cause.since_seconds.is_none_or(|since| *age > since));
        let oldest = oldest.map_or(String::new(), |age| format!(", the oldest {}", span(age)));
        let returns = match target.returns {
            0 | 1 => String::new(),
            times => format!(", returned to the broker {times} times"),
        };
        let waiting = (grouped(target.pending), verb(target.pending));
        cause.what.push_str(&format!("; {} {}{oldest}{returns}", waiting.0, waiting.1));
    }
    cause.symptoms = symptoms(target, bounds);
    cause.symptoms.retain(|symptom| *symptom != cause.kind);
    let is_urgent =
        |kind: &Kind| *kind == Kind::PendingFull || *kind == Kind::PendingOld && !is_paused(target);
    let is_old = is_urgent(&cause.kind) || cause.symptoms.iter().any(is_urgent);
    let is_over_soon = cause.kind == Kind::PendingOld && soon(target, bounds).is_some();
    if is_old && !is_over_soon {
        cause.severity = Severity::Critical;
    }
}

/// The reason for which no dead letter can be retried in order.
const OVERTAKEN: &str = "a later delivery of each resource was delivered";

/// Returns what an operator corrects first, because a retry alone fails again, in the actions of one cause.
fn correction(of: &[(&TargetReport, &Uncorrected)]) -> String {
    let place = |(target, uncorrected): &(&TargetReport, &Uncorrected)| match uncorrected {
        Uncorrected::Template(Some(option)) if option.starts_with('[') => option.clone(),
        Uncorrected::Template(Some(option)) => format!("[action:{}] {option}", target.action),
        Uncorrected::Template(None) => format!("the template in [action:{}]", target.action),
        Uncorrected::Event | Uncorrected::Effect => format!("[action:{}]", target.action),
    };
    let mut places: Vec<String> = of.iter().map(place).collect();
    // Actions have an enrichment in common.
    places.dedup();
    let places = places.join(", ");
    match of {
        [(_, Uncorrected::Effect), ..] => {
            format!("the effects may be done, and a retry repeats them: look at the target of {places} first")
        }
        [(_, Uncorrected::Event)] => {
            format!(
                "a retry alone fails again: correct {places}, its rule, or its target first, and osnl reload"
            )
        }
        [(_, Uncorrected::Event), ..] => {
            format!(
                "a retry alone fails again: correct {places}, their rules, or their targets first, and osnl reload"
            )
        }
        _ => format!("correct {places}, such as by a default for the value; osnl reload"),
    }
}

/// Makes one incident of the dead letters of several actions that have one cause, such as an event without a value that
/// each of them needs.
pub(in crate::control) fn join_letters(incidents: &mut Vec<Incident>, targets: &[TargetReport]) {
    let mut causes: BTreeMap<&str, Vec<(&TargetReport, &Uncorrected)>> = BTreeMap::new();
    for target in targets {
        let is_alone = |one: &Incident| one.kind == Kind::DeadLetters && one.actions == [&*target.action];
        if let (Some(uncorrected), Some(reason)) = (&target.uncorrected, &target.dead_reason)
            && target.configured != Some(false)
            && incidents.iter().any(is_alone)
        {
            causes.entry(uncorrected.problem(reason)).or_default().push((target, uncorrected));
        }
    }
    for (cause, of) in causes.into_iter().filter(|(_, of)| of.len() > 1) {
        let actions: Vec<String> = of.iter().map(|(target, _)| target.action.clone()).collect();
        incidents.retain(|one| {
            one.kind != Kind::DeadLetters || !matches!(&*one.actions, [of] if actions.contains(of))
        });
        let names = actions.join(", ");
        let count = of.iter().map(|(target, _)| target.dead).sum();
        let what = format!("{names}: {} of one cause", counted(count, "dead letter", "dead letters"));
        let text = shell_quoted(cause);
        let then = match of.iter().all(|(target, _)| target.is_overtaken) {
            true => {
                format!(
                    "{OVERTAKEN}: osnl deliveries discard --state dead --text {text}, or retry with --out-of-order"
                )
            }
            false => format!("then osnl deliveries retry --state dead --text {text}, or discard"),
        };
        let found = Incident::new(Kind::DeadLetters, Severity::Warning, format!("action {names}"), what)
            .because(cause)
            .mended_by_command(format!("osnl deliveries list --state dead --text {text}"))
            .mended_by(format!("{}; {then}", correction(&of)));
        incidents.push(Incident { actions, ..found });
    }
}

/// Whether the last answer to the latest dead letter is the answer that the incident has, from a host that is down if
/// the incident is of hosts.
fn has_answer_of(target: &TargetReport, incident: &Incident) -> bool {
    let (Some(answer), Some(why)) = (&target.dead_answer, &incident.why) else { return false };
    let is_down_host = |host: &String| target.down_hosts.iter().any(|down| down.name == *host);
    match incident.kind {
        // The incident names the service, and leaves out the kind of the failure.
        Kind::DependencyDown => *answer == cut(&format!("{}: {why}", ErrorClass::Dependency), LONGEST_ANSWER),
        Kind::TargetDown if !is_down(target) => {
            answer == why && target.dead_host.as_ref().is_some_and(is_down_host)
        }
        _ => answer == why,
    }
}

/// Dead letters are a part of the action's incident of their cause, if there is one.
fn dead(target: &TargetReport, cause: Option<&mut Incident>) -> Option<Incident> {
    (target.dead > 0).then_some(())?;
    let name = &target.action;
    let letters = counted(target.dead, "dead letter", "dead letters");
    if let Some(cause) = cause {
        cause.what.push_str(&format!("; {letters}"));
        cause.symptoms.push(Kind::DeadLetters);
        cause.must_act = IncidentActor::Operator;
        let retry = match target.is_overtaken {
            true => format!(
                "osnl deliveries retry --action {name} --state dead --out-of-order, or discard: {OVERTAKEN}"
            ),
            false => format!("osnl deliveries retry --action {name}"),
        };
        match (&mut cause.to_do, &mut cause.command) {
            (Some(first), _) => first.push_str(&format!("; then {retry}")),
            (none, Some(_)) => *none = Some(format!("then {retry}")),
            (None, none) => *none = Some(retry),
        }
        return None;
    }
    let found = incident(target, Kind::DeadLetters, format!("{name}: {letters}"));
    let found = target.dead_reason.iter().fold(found, Incident::because);
    let found = target.dead_label.iter().fold(found, Incident::labelled);
    let found = found.mended_by_command(format!("osnl deliveries list --action {name} --state dead"));
    if target.configured == Some(false) {
        let to_do = format!(
            "then add [action:{name}] to the configuration again and retry them, or osnl deliveries discard --action \
             {name} --state dead"
        );
        return Some(found.mended_by(to_do));
    }
    let then = match target.is_overtaken {
        true => format!(
            "{OVERTAKEN}: osnl deliveries discard --action {name} --state dead, or retry with --out-of-order"
        ),
        false => format!("then osnl deliveries retry --action {name} --state dead, or discard"),
    };
    let found = found.mended_by(match &target.uncorrected {
        Some(uncorrected) => format!("{}; {then}", correction(&[(target, uncorrected)])),
        None => then,
    });
    Some(found)
}

fn orphaned(target: &TargetReport) -> Option<Incident> {
    let open = target.pending + target.for_release;
    (open > 0).then_some(())?;
    let name = &target.action;
    let what = format!(
        "{name}: {} {} orphaned",
        counted(open, "delivery", "deliveries"),
        if open == 1 { "is" } else { "are" }
    );
    let found =
        incident(target, Kind::Orphaned, what).because(format!("the configuration has no [action:{name}]"));
    let found = found.mended_by_command(format!("osnl deliveries list --action {name} --state orphaned"));
    let found = found.mended_by(format!("then osnl deliveries move --action {name} --to ACTION, or discard"));
    Some(Incident {
        waiting: target.pending,
        for_release: target.for_release,
        oldest_seconds: target.oldest_pending_seconds,
        ..found
    })
}

pub(in crate::control) fn judge_guards(targets: &[TargetReport]) -> Vec<Incident> {
    let mut guards: BTreeMap<&[String], Vec<&TargetReport>> = BTreeMap::new();
    for target in targets.iter().filter(|target| target.for_release > 0 && target.configured != Some(false)) {
        match &target.held_reason {
            Some(HeldReason { is_crash: true, .. }) => {}
            guard => {
                let reasons = guard.as_ref().map_or(&[][..], |guard| &guard.reasons);
                guards.entry(reasons).or_default().push(target);
            }
        }
    }
    let guard = |(reasons, held): (&[String], Vec<&TargetReport>)| {
        let of_guard = |target: &&TargetReport| {
            target.held_reason.as_ref().map_or(target.for_release, |guard| guard.count)
        };
        let count: u64 = held.iter().map(of_guard).sum();
        let names: Vec<&str> = held.iter().map(|target| target.action.as_str()).collect();
        let first = held
            .iter()
            .filter_map(|target| target.held_reason.as_ref())
            .max_by_key(|guard| guard.since_seconds);
        let what = format!(
            "{}: {} {} for release{}",
            names.join(", "),
            counted(count, "delivery", "deliveries"),
            verb(count),
            first.map_or(String::new(), |first| lasting(Some(first.since_seconds)))
        );
        // A release without an action would concern other actions with the same guard among theirs.
        let (action, of_each) = match &names[..] {
            [one] => (format!("--action {one} "), format!("--action {one} ")),
            _ => (String::new(), "--action ACTION ".to_owned()),
        };
        // Other guards and unexpected ends keep deliveries of the same actions back.
        let text = |reason| format!(" --text {}", shell_quoted(reason));
        let (shown, changed, each) = match reasons {
            [] => (String::new(), String::new(), ""),
            [reason] => (text(reason), text(reason), ""),
            _ => (" --held-by guard".to_owned(), " --text REASON".to_owned(), ", for each REASON"),
        };
        let each = if names.len() > 1 && each.is_empty() { ", for each ACTION" } else { each };
        let filter = format!("{action}--state waiting-for-release");
        let found = Incident::new(
            Kind::WaitingForRelease,
            Severity::Warning,
            format!("action {}", names.join(", ")),
            what,
        );
        let found = if reasons.is_empty() { found } else { found.because(reasons.join("; ")) };
        let found =
            found.mended_by_command(format!("osnl deliveries list {filter}{shown}")).mended_by(format!(
                "then osnl deliveries release {of_each}--state waiting-for-release{changed} if the changes are meant, else discard{each}"
            ));
        let found =
            found.since(first.map(|first| first.since.clone()), first.map(|first| first.since_seconds));
        Incident {
            for_release: count,
            actions: names.into_iter().map(str::to_owned).collect(),
            has_one_guard: reasons.len() == 1,
            ..found
        }
    };
    guards.into_iter().map(guard).collect()
}
