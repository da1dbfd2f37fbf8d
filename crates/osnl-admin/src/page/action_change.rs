use osnl::control::{
    ControlRequest, PauseResult, ProbeResult, RequestRefusal, TargetReport, counted, short_answer, span,
};

use super::action::target;
use super::change::{ChangePage, ConfirmForm, allowed};
use super::incident::action_path;
use super::{Frame, PageAnswer, PageVisit, ask, bad, shown, text};

pub(super) async fn page(visit: PageVisit<'_>) -> PageAnswer {
    allowed(visit)?;
    let given = visit.form.unwrap_or(visit.query.as_bytes());
    let (Some(action), Some(change)) = (text::field(given, "action"), text::field(given, "change")) else {
        return Err(bad("the form has no action or no change"));
    };
    let (verb, by) = (verb(&change)?, visit.by.to_owned());
    let target = target(&visit.handler.status().await?, &action)?;
    let name = text::line(&action);
    let result = match (&*change, visit.form.is_some()) {
        (_, false) => None,
        ("pause", true) => {
            let reason = text::field(given, "reason").filter(|reason| !reason.trim().is_empty());
            Some(ask(visit, &ControlRequest::Pause { action, reason, by }).await.map(paused)?)
        }
        ("resume", true) => Some(ask(visit, &ControlRequest::Resume { action, by }).await.map(paused)?),
        (_, true) => {
            let result = ask(visit, &ControlRequest::Probe { action, by }).await?;
            Some(probed(&result, target.pending))
        }
    };
    let back = action_path(&target.action);
    let frame = Frame::new(visit, format!("{verb} {name}"), "/actions");
    let mut page = ChangePage::new(frame, true, "", back);
    match result {
        Some(result) => (page.result, page.says) = (result, Vec::new()),
        None => {
            page.says = says(&change, &target);
            page.confirm = Some(ConfirmForm {
                path: "/actions/change",
                has_reason: change == "pause",
                fields: vec![("action", target.action.clone()), ("change", change)],
                button: format!("{verb} {name}"),
                is_danger: false,
            });
        }
    }
    shown(&page)
}

fn verb(change: &str) -> Result<&'static str, RequestRefusal> {
    match change {
        "pause" => Ok("Pause"),
        "resume" => Ok("Resume"),
        "probe" => Ok("Probe"),
        _ => Err(bad("a change of an action is pause, resume, or probe")),
    }
}

fn says(change: &str, target: &TargetReport) -> Vec<String> {
    let effect = match change {
        "pause" => {
            "No attempt starts until somebody resumes it. A running attempt finishes, deliveries wait, none is lost."
        }
        "resume" => "Attempts start again with the deliveries that wait.",
        _ => "osnl calls its target now, with one of the deliveries that wait, and shows the answer here.",
    };
    let state = match target.since_seconds {
        Some(seconds) => format!("It has been {} for {}", target.state(), span(seconds)),
        None => format!("It is {}", target.state()),
    };
    let pending = counted(target.pending, "delivery waits", "deliveries wait");
    let mut says = vec![effect.to_owned(), format!("{state}; {pending} now.")];
    let failure = target.last_failure.as_ref().filter(|_| change == "probe");
    says.extend(
        failure.map(|failure| text::line(&format!("The last answer: {}", short_answer(&failure.answer)))),
    );
    says
}

fn paused(result: PauseResult) -> (&'static str, String) {
    let name = text::line(&result.action);
    let words = match (result.paused_since.is_some(), result.changed) {
        (true, true) => format!("{name} is paused: no attempt starts, its deliveries wait."),
        (true, false) => format!("{name} was paused already."),
        (false, true) => format!("{name} is resumed: attempts start again."),
        (false, false) => format!("{name} was not paused."),
    };
    let forgotten = if result.until_restart { " memory:// forgets the pause at a restart." } else { "" };
    ("good", words + forgotten)
}

/// `ok: 3 deliveries go on`, or `still 400: no such field; tried again in 1 s`.
fn probed(result: &ProbeResult, pending: u64) -> (&'static str, String) {
    if !result.probed {
        let why = match &*result.state {
            "paused" => "it is paused, resume it first",
            _ => "no delivery waits for it",
        };
        return ("warn", format!("Not probed: {why}."));
    }
    let answer = result.answer.as_deref().map(|answer| text::line(&short_answer(answer)));
    let Some(answer) = answer else {
        if result.state != "ok" {
            return ("warn", "No answer yet: this action's page shows the result.".to_owned());
        }
        return ("good", format!("ok: {}", counted(pending, "delivery goes on", "deliveries go on")));
    };
    let answer = match answer.split_once(' ') {
        Some((status, rest)) if status.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{status}: {rest}")
        }
        _ => answer,
    };
    let next = result.next_probe_seconds;
    let next = next.map_or(String::new(), |seconds| format!("; tried again in {}", span(seconds)));
    ("bad", format!("still {answer}{next}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_answers_with_its_result() {
        let probe = |probed, state: &str, answer: Option<&str>| ProbeResult {
            action: "a".to_owned(),
            target: "http://x".to_owned(),
            probed,
            state: state.to_owned(),
            answer: answer.map(str::to_owned),
            next_probe_seconds: answer.map(|_| 1),
        };
        let refused = "status 400: Bad Request, reply: {\"error\": \"no such field\"}";
        for (result, expected) in [
            (probe(true, "ok", None), ("good", "ok: 3 deliveries go on")),
            (probe(true, "down", Some(refused)), ("bad", "still 400: no such field; tried again in 1 s")),
            (
                probe(true, "down", Some("cannot connect: refused")),
                ("bad", "still cannot connect: refused; tried again in 1 s"),
            ),
            (probe(false, "paused", None), ("warn", "Not probed: it is paused, resume it first.")),
        ] {
            assert_eq!(probed(&result, 3), (expected.0, expected.1.to_owned()));
        }
    }
}
