mod args;

use osnl::control::{ControlRequest, PauseResult, ProbeResult, Status, relative};

use self::args::ActionsListArgs;
pub(crate) use self::args::{ActionsArgs, ActionsCommand, OneActionArgs, PauseArgs};
use super::asking::{NoAnswer, Respondent, age, clean, print, print_json, print_tinted, short};
use super::deliveries::asks;
use super::status;
use crate::exit::Exit;
use crate::flags::OutputFormat;

pub(crate) fn run(args: &ActionsArgs) -> Exit {
    let done = match &args.command {
        ActionsCommand::List(args) => list(args),
        ActionsCommand::Probe(args) => probe(args),
        ActionsCommand::Pause(PauseArgs { one, reason }) => {
            let (action, reason) = (one.action.clone(), reason.clone());
            pause(one, &ControlRequest::Pause { action, reason, by: asks() })
        }
        ActionsCommand::Resume(args) => {
            pause(args, &ControlRequest::Resume { action: args.action.clone(), by: asks() })
        }
    };
    done.unwrap_or_else(|error| error.complain())
}

fn list(args: &ActionsListArgs) -> Result<Exit, NoAnswer> {
    let status: Status = Respondent::for_place(&args.place)?.ask(&ControlRequest::Status { look: false })?;
    Ok(match args.format.format {
        OutputFormat::Json => print_json(&serde_json::json!({"actions": status.targets})),
        OutputFormat::Text => print_tinted(&status::targets(&status), status::tint),
    })
}

fn probe(args: &OneActionArgs) -> Result<Exit, NoAnswer> {
    let request = ControlRequest::Probe { action: args.action.clone(), by: asks() };
    let probed: ProbeResult = Respondent::for_place(&args.place)?.ask(&request)?;
    let printed = match args.format.format {
        OutputFormat::Json => print_json(&probed),
        OutputFormat::Text => print(&said(&probed)),
    };
    Ok(match printed {
        Exit::Done if probed.state != "ok" => Exit::Failed,
        printed => printed,
    })
}

fn said(probed: &ProbeResult) -> String {
    let (action, target) = (clean(&probed.action), short(&probed.target, 200));
    let answer = probed.answer.as_deref().map_or(String::new(), |answer| format!(": {}", short(answer, 300)));
    let next =
        probed.next_probe_seconds.map_or(String::new(), |next| format!("; next probe in {}", age(next)));
    match (probed.state.as_str(), probed.probed) {
        ("ok", true) => {
            format!("{action} is ok: {target}; deliveries that wait for a retry are attempted now\n")
        }
        ("ok", false) => format!("{action} is ok: {target}; nothing is pending\n"),
        ("paused", _) => format!("{action} is paused, and not probed; osnl actions resume {action}\n"),
        ("down", false) => {
            format!(
                "{action} is down{answer}; no delivery is pending; osnl probes the target with the next one\n"
            )
        }
        (status, _) => format!("{action} is still {status}{answer}{next}\n"),
    }
}

pub(super) fn pause(args: &OneActionArgs, request: &ControlRequest) -> Result<Exit, NoAnswer> {
    let paused: PauseResult = Respondent::for_place(&args.place)?.ask(request)?;
    if args.format.format == OutputFormat::Json {
        return Ok(print_json(&paused));
    }
    let action = clean(&paused.action).into_owned();
    let forgotten = if paused.until_restart { "memory:// forgets the pause at a restart\n" } else { "" };
    let words = match (&paused.paused_since, paused.changed) {
        (Some(_), true) => {
            format!(
                "{action} is paused: no attempt starts, deliveries wait; to end the pause: osnl actions resume {action}\n"
            )
        }
        (Some(since), false) => {
            let reason =
                paused.reason.as_deref().map_or(String::new(), |reason| format!("; {}", short(reason, 300)));
            format!("{action} is paused already: {}{reason}\n", relative(since))
        }
        (None, true) => format!("{action} is resumed\n"),
        (None, false) => format!("{action} was not paused\n"),
    };
    Ok(print(&(words + forgotten)))
}
