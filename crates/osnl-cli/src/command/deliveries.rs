//! `osnl deliveries`: lists and shows deliveries, and changes them after a question.

mod args;
mod list;
mod show;
pub(super) mod who;

use std::time::SystemTime;

use osnl::control::{ChangeResult, ControlRequest, Which, counted, grouped, timestamp};

pub(crate) use self::args::DeliveriesArgs;
use self::args::{ChangeArgs, DeliveriesCommand, FilterArgs};
pub(super) use self::who::asks;
use super::asking::{NoAnswer, Respondent, clean, print, print_json, short};
use super::confirm::agreed;
use super::progress::Display;
use crate::exit::Exit;
use crate::flags::OutputFormat;

/// The most actions whose calls a question names.
const CALLS: usize = 10;

pub(crate) fn run(args: &DeliveriesArgs) -> Exit {
    asked(&args.command).unwrap_or_else(|error| error.complain())
}

fn asked(command: &DeliveriesCommand) -> Result<Exit, NoAnswer> {
    let by = asks;
    match command {
        DeliveriesCommand::List(args) => list::run(args),
        DeliveriesCommand::Show(args) => show::run(args),
        DeliveriesCommand::Retry(args) => change(&args.change, false, &|filter, dry_run| {
            ControlRequest::Retry { filter, out_of_order: args.out_of_order, dry_run, by: by() }
        }),
        DeliveriesCommand::Discard(args) => {
            change(&args.change, is_asked(&args.change, args.yes), &|filter, dry_run| {
                ControlRequest::Discard { filter, dry_run, by: by() }
            })
        }
        DeliveriesCommand::Release(args) => {
            change(&args.change, is_asked(&args.change, args.yes), &|filter, dry_run| {
                ControlRequest::Release { filter, dry_run, by: by() }
            })
        }
        DeliveriesCommand::Move(args) => change(&args.change, false, &|filter, dry_run| {
            ControlRequest::Move { filter, to: args.to.clone(), dry_run, by: by() }
        }),
    }
}

/// An operator who gives numbers has looked at each delivery, so no question is needed.
fn is_asked(change: &ChangeArgs, yes: bool) -> bool {
    change.ids.is_empty() && !yes
}

fn change(
    args: &ChangeArgs,
    ask: bool,
    request: &dyn Fn(Which, bool) -> ControlRequest,
) -> Result<Exit, NoAnswer> {
    let mut filter = which(&args.ids, &args.filter);
    if filter == Which::default() && !args.how.all {
        let why = "give the ids of deliveries, a filter such as --action, or --all";
        return Err(NoAnswer::new(Exit::Usage, why));
    }
    let respondent = Respondent::for_place(&args.place)?;
    if ask && !args.how.dry_run {
        // A delivery that comes while the operator reads the question is not in its number.
        let is_open_ended = filter.until.is_none();
        filter.until.get_or_insert_with(|| timestamp(SystemTime::now()));
        let mut preview = request(filter.clone(), true);
        let mut would: ChangeResult = respondent.ask(&preview)?;
        if is_open_ended && reached(&would) == 0 {
            // The clock may have been set back since they came.
            filter.until = None;
            preview = request(filter.clone(), true);
            would = respondent.ask(&preview)?;
        }
        while reached(&would) > 0 {
            if !is_agreed(&preview, &would)? {
                return Ok(Exit::Failed);
            }
            // Neither is an older one whose state has changed meanwhile.
            let asked = reached(&would);
            would = respondent.ask(&preview)?;
            if reached(&would) <= asked {
                break;
            }
        }
        if reached(&would) == 0 {
            would.dry_run = false;
            return Ok(printed(args, &request(filter, false), &would));
        }
    }
    let request = request(filter, args.how.dry_run);
    let changes: ChangeResult = {
        let display = Display::start("deliveries", request.changed_word());
        respondent.ask_with_progress(&request, &|progress| display.show(progress))?
    };
    Ok(printed(args, &request, &changes))
}

/// Returns the number of deliveries that a change reaches, now or when their attempts end.
fn reached(changes: &ChangeResult) -> u64 {
    changes.changed + changes.under_way
}

fn printed(args: &ChangeArgs, request: &ControlRequest, changes: &ChangeResult) -> Exit {
    let printed = match args.format.format {
        OutputFormat::Json => print_json(changes),
        OutputFormat::Text => print(&changed(request, changes)),
    };
    if printed == Exit::Done && changes.refused > 0 { Exit::Failed } else { printed }
}

/// Asks before a change that cannot be taken back.
fn is_agreed(request: &ControlRequest, would: &ChangeResult) -> Result<bool, NoAnswer> {
    let count = deliveries(reached(would));
    let (what, done) = (format!("{}{count}", at_least(would)), request.changed_word());
    match request {
        ControlRequest::Release { .. } => {
            let calls = match calls(would) {
                calls if calls.is_empty() => "what their actions call".to_owned(),
                calls => calls.join(", "),
            };
            let release = format!("release {what}, which calls {calls}");
            agreed(&format!("release {what}? osnl then calls {calls}"), done, &release)
        }
        _ => {
            // The filter of an incident about dead letters, without their state, finds pending deliveries too.
            let is_of_any_state = matches!(request, ControlRequest::Discard { filter, .. }
                if filter.ids.is_empty() && filter.states.is_empty());
            let what = if is_of_any_state { format!("{what} of any state") } else { what };
            let discard = format!("discard {what}, which osnl then never attempts again");
            agreed(&format!("discard {what}? osnl never attempts them again"), done, &discard)
        }
    }
}

fn calls(would: &ChangeResult) -> Vec<String> {
    let mut calls: Vec<String> =
        would.calls.iter().take(CALLS).map(|of| short(&of.to_string(), 200)).collect();
    if would.calls.len() > CALLS {
        calls.push(format!("and {} more actions", would.calls.len() - CALLS));
    }
    calls
}

fn which(ids: &[String], filter: &FilterArgs) -> Which {
    let [since, until] = filter.between.asked();
    Which {
        ids: ids.to_vec(),
        event: filter.event,
        rule: filter.rule.clone(),
        action: filter.action.clone(),
        states: filter.state.clone(),
        held_by: filter.held_by.clone(),
        status: filter.status.clone(),
        text: filter.text.clone(),
        resource: filter.resource.clone(),
        event_type: filter.event_type.clone(),
        since,
        until,
        ..Which::default()
    }
}

fn changed(request: &ControlRequest, changes: &ChangeResult) -> String {
    let what = match request {
        ControlRequest::Retry { .. } if !changes.dry_run => "will be retried",
        other => other.changed_word(),
    };
    let (at_least, would) = if changes.dry_run { (at_least(changes), "would be ") } else { ("", "") };
    let mut text = format!("{at_least}{} {would}{what}", deliveries(changes.changed));
    if (1..=20).contains(&changes.ids.len()) && changes.changed <= 20 {
        text.push_str(&format!(": {}", changes.ids.join(", ")));
    } else if changes.changed + changes.under_way + changes.refused == 0 {
        text.push_str(&format!(": {}", why_none(request)));
    }
    text.push('\n');
    calls(changes).iter().for_each(|of| text.push_str(&format!("  calls {of}\n")));
    describe_rest(changes, &mut text);
    if changes.is_at_least && !changes.dry_run {
        text.push_str(MORE_WAIT);
    }
    text
}

/// The sentence after a change of the first letters alone.
pub(super) const MORE_WAIT: &str = "more wait: osnl reads the first 10,000 letters of each queue; run it again, or \
                                    retry or discard others first\n";

fn why_none(request: &ControlRequest) -> &'static str {
    match request {
        ControlRequest::Retry { .. } => "no dead letter matches",
        ControlRequest::Release { .. } => {
            "no delivery that waits for release matches; deliveries that wait for a target that is down need no release (to call it now: osnl \
             actions probe ACTION)"
        }
        ControlRequest::Move { .. } => "no open delivery matches",
        _ => "no open or dead delivery matches",
    }
}

fn describe_rest(changes: &ChangeResult, text: &mut String) {
    if changes.under_way > 0 {
        let names = match &changes.under_way_ids[..] {
            shown @ [_, ..] if changes.under_way <= 20 => format!(": {}", shown.join(", ")),
            _ => String::new(),
        };
        let each = if changes.under_way == 1 {
            "it changes when its attempt ends"
        } else {
            "each changes when its attempt ends"
        };
        text.push_str(&format!(
            "{} running: {each}, unless the attempt succeeds{names}\n",
            deliveries(changes.under_way)
        ));
    }
    if changes.refused > 0 {
        let not = match (changes.dry_run, changes.refused) {
            (true, _) => "would not be",
            (false, 1) => "was not",
            (false, _) => "were not",
        };
        text.push_str(&format!("{} {not}:\n", deliveries(changes.refused)));
        let groups = changes.refused_for();
        for (why, ids) in groups.iter().take(20) {
            let which = match &ids[..] {
                ids @ ([_] | [_, _] | [_, _, _]) => ids.join(", "),
                ids => grouped(ids.len() as u64),
            };
            text.push_str(&format!("  {which}: {}\n", clean(why)));
        }
        let unnamed = changes.refused.saturating_sub(changes.refusals.len() as u64);
        if unnamed > 0 {
            text.push_str(&format!("  {} others: no reason is listed\n", grouped(unnamed)));
        } else if groups.len() > 20 {
            text.push_str("  ...; --format json shows more\n");
        }
    }
}

fn at_least(changes: &ChangeResult) -> &'static str {
    if changes.is_at_least { "at least " } else { "" }
}

fn deliveries(count: u64) -> String {
    counted(count, "delivery", "deliveries")
}
