//! `osnl deliveries`: what the journal holds, and what becomes of it.

mod args;
mod show;
pub(super) mod who;

use std::io::{IsTerminal as _, Write as _};

use osnl::control::{Changes, Delivery, List, Paused, Request, Which};

pub(crate) use self::args::DeliveriesArgs;
use self::args::{ChangeArgs, DeliveriesCommand, FilterArgs};
pub(super) use self::who::asks;
use super::asking::{
    NoAnswer, Respondent, age, breadth, clean, print, print_json, print_tinted, short, table,
};
use crate::exit::Exit;
use crate::flags::{Format, PlaceArgs};
use crate::output;
use crate::terminal::{self, Tone};

pub(crate) fn run(args: &DeliveriesArgs) -> Exit {
    asked(&args.command).unwrap_or_else(|error| error.complain())
}

fn asked(command: &DeliveriesCommand) -> Result<Exit, NoAnswer> {
    let by = asks;
    match command {
        DeliveriesCommand::List(args) => {
            let request = Request::List {
                filter: which(&args.ids, &args.filter),
                after: args.after.clone(),
                limit: args.limit,
            };
            let list: List = Respondent::of(&args.place)?.ask(&request)?;
            Ok(match args.format.format {
                Format::Json => print_json(&list),
                Format::Text => print_tinted(&listed(&list, terminal::columns()), tint),
            })
        }
        DeliveriesCommand::Show(args) => show::run(args),
        DeliveriesCommand::Retry(args) => change(&args.change, false, &|filter, dry_run| Request::Retry {
            filter,
            out_of_order: args.out_of_order,
            dry_run,
            by: by(),
        }),
        DeliveriesCommand::Discard(args) => {
            // By number somebody has looked at each of them.
            let ask = args.change.ids.is_empty() && !args.yes;
            change(&args.change, ask, &|filter, dry_run| Request::Discard { filter, dry_run, by: by() })
        }
        DeliveriesCommand::Release(args) => {
            change(&args.change, false, &|filter, dry_run| Request::Release { filter, dry_run, by: by() })
        }
        DeliveriesCommand::Move(args) => change(&args.change, false, &|filter, dry_run| Request::Move {
            filter,
            to: args.to.clone(),
            dry_run,
            by: by(),
        }),
        DeliveriesCommand::Pause(args) => {
            pause(&args.place, args.format.format, &Request::Pause { action: args.action.clone(), by: by() })
        }
        DeliveriesCommand::Resume(args) => {
            pause(&args.place, args.format.format, &Request::Resume { action: args.action.clone(), by: by() })
        }
    }
}

fn change(args: &ChangeArgs, ask: bool, request: &dyn Fn(Which, bool) -> Request) -> Result<Exit, NoAnswer> {
    let filter = which(&args.ids, &args.filter);
    if filter == Which::default() && !args.how.all {
        let why = "which ones? Name numbers, a filter such as --action, or --all";
        return Err(NoAnswer::new(Exit::Usage, why));
    }
    let mut respondent = Respondent::of(&args.place)?;
    if ask && !args.how.dry_run {
        let would: Changes = respondent.ask(&request(filter.clone(), true))?;
        let count = would.changed + would.under_way;
        if count > 0 && !agreed(count)? {
            return Ok(Exit::Failed);
        }
    }
    let request = request(filter, args.how.dry_run);
    let changes: Changes = respondent.ask(&request)?;
    let printed = match args.format.format {
        Format::Json => print_json(&changes),
        Format::Text => print(&changed(&request, &changes)),
    };
    Ok(if printed == Exit::Done && changes.refused > 0 { Exit::Failed } else { printed })
}

#[expect(clippy::print_stderr, reason = "a question is no output")]
fn agreed(count: u64) -> Result<bool, NoAnswer> {
    let ends = "their effects will never happen";
    if !std::io::stdin().is_terminal() {
        let why =
            format!("{} would be discarded: {ends}; --yes does it, --dry-run shows it", deliveries(count));
        return Err(NoAnswer::new(Exit::Usage, why));
    }
    eprint!("discard {}? {ends} [y/N] ", deliveries(count));
    // A question that nobody sees is answered by no.
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    Ok(read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes"))
}

fn pause(place: &PlaceArgs, format: Format, request: &Request) -> Result<Exit, NoAnswer> {
    let paused: Paused = Respondent::of(place)?.ask(request)?;
    if format == Format::Json {
        return Ok(print_json(&paused));
    }
    let action = clean(&paused.action).into_owned();
    Ok(print(&match (&paused.paused_since, paused.changed) {
        (Some(_), true) => format!(
            "{action} is paused: no attempt begins, deliveries wait; osnl deliveries resume {action}\n"
        ),
        (Some(since), false) => format!("{action} is paused already, since {since}\n"),
        (None, true) => format!("{action} goes on\n"),
        (None, false) => format!("{action} was not paused\n"),
    }))
}

fn which(ids: &[String], filter: &FilterArgs) -> Which {
    let [since, until] = filter.between.asked();
    Which {
        ids: ids.to_vec(),
        event: filter.event,
        rule: filter.rule.clone(),
        action: filter.action.clone(),
        states: filter.state.clone(),
        resource: filter.resource.clone(),
        event_type: filter.event_type.clone(),
        since,
        until,
    }
}

fn listed(list: &List, columns: Option<usize>) -> String {
    let states: Vec<String> =
        list.totals.by_state.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let mut text = String::new();
    if !list.deliveries.is_empty() {
        let heads = ["ID", "STATE", "AGE", "ACTION", "RULE", "EVENT TYPE", "RESOURCE", "ATTEMPTS", "REASON"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        rows.extend(list.deliveries.iter().map(row));
        text = fitted(rows, columns);
    }
    text.push_str(&match list.totals.all {
        0 => "no deliveries\n".to_owned(),
        all => format!("{}: {}\n", deliveries(all), states.join(", ")),
    });
    if let Some(next) = &list.next {
        text.push_str(&format!("{} shown; the next page: --after {next}\n", list.deliveries.len()));
    }
    text
}

/// The table; on a terminal that is too narrow for it, what names a delivery, and below that what it is about and why it is
/// where it is.
fn fitted(mut rows: Vec<Vec<String>>, columns: Option<usize>) -> String {
    const NAMED: usize = 6;
    let Some(columns) = columns.filter(|columns| breadth(&rows) > *columns) else { return table(&rows) };
    let below: Vec<Vec<String>> = rows.iter_mut().map(|row| row.split_off(NAMED)).collect();
    let mut lines = table(&rows).lines().map(str::to_owned).collect::<Vec<_>>().into_iter();
    let mut text = lines.next().unwrap_or_default() + "\n";
    for (line, below) in lines.zip(below.iter().skip(1)) {
        text.push_str(&format!("{line}\n"));
        let parts =
            below.iter().zip(["", "attempts ", ""]).filter(|(part, _)| !["-", "0"].contains(&part.as_str()));
        let parts: Vec<String> = parts.map(|(part, name)| format!("{name}{part}")).collect();
        if !parts.is_empty() {
            text.push_str(&format!("      {}\n", short(&parts.join(", "), columns.saturating_sub(6))));
        }
    }
    text
}

/// The heading, and of each delivery the state.
fn tint(line: &str) -> Option<(Tone, std::ops::Range<usize>)> {
    const STATES: [(&str, Tone); 7] = [
        ("dead", Tone::Bad),
        ("held", Tone::Warn),
        ("delivered", Tone::Good),
        ("nothing-to-do", Tone::Dim),
        ("discarded", Tone::Dim),
        ("waiting", Tone::Plain),
        ("ready", Tone::Plain),
    ];
    match line.starts_with("ID ") {
        true => output::all(Tone::Dim, line),
        false => line.split_once(' ').and_then(|(id, _)| {
            id.contains('.').then_some(())?;
            output::word(line, &STATES)
        }),
    }
}

fn row(delivery: &Delivery) -> Vec<String> {
    let or_none =
        |text: &Option<String>, most| text.as_deref().map_or("-".to_owned(), |text| short(text, most));
    vec![
        delivery.id.clone(),
        delivery.state.clone(),
        age(delivery.age_seconds),
        short(&delivery.action, 20),
        short(&delivery.rule, 24),
        or_none(&delivery.event_type, 32),
        or_none(&delivery.resource, 36),
        match (delivery.attempts, delivery.failed_attempts) {
            (used, failed) if failed > used => format!("{used} of {failed}"),
            (used, _) => used.to_string(),
        },
        or_none(&delivery.reason, 80),
    ]
}

fn changed(request: &Request, changes: &Changes) -> String {
    let what = match request {
        Request::Retry { .. } if changes.dry_run => "tried again",
        Request::Retry { .. } => "to be tried again",
        Request::Discard { .. } => "discarded",
        Request::Release { .. } => "released",
        Request::Move { .. } => "moved",
        Request::Status {}
        | Request::List { .. }
        | Request::Show { .. }
        | Request::Pause { .. }
        | Request::Resume { .. }
        | Request::Reload { .. }
        | Request::QuarantineList { .. }
        | Request::QuarantineShow { .. }
        | Request::QuarantineRetry { .. }
        | Request::QuarantineDiscard { .. }
        | Request::Replay { .. } => "",
    };
    let would = if changes.dry_run { "would be " } else { "" };
    let mut text = format!("{} {would}{what}", deliveries(changes.changed));
    if (1..=20).contains(&changes.ids.len()) && changes.changed <= 20 {
        text.push_str(&format!(": {}", changes.ids.join(", ")));
    }
    text.push('\n');
    if changes.under_way > 0 {
        let names = match &changes.under_way_ids[..] {
            few @ [_, ..] if changes.under_way <= 20 => format!(": {}", few.join(", ")),
            _ => String::new(),
        };
        let each = if changes.under_way == 1 {
            "ends when its attempt does"
        } else {
            "each ends when its attempt does"
        };
        text.push_str(&format!(
            "{} under way, {each}, unless that succeeds{names}\n",
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
        for refused in changes.refusals.iter().take(20) {
            text.push_str(&format!("  {}: {}\n", refused.id, clean(&refused.why)));
        }
        if changes.refused > 20 {
            text.push_str("  ...; --format json shows more\n");
        }
    }
    text
}

fn deliveries(count: u64) -> String {
    if count == 1 { "1 delivery".to_owned() } else { format!("{count} deliveries") }
}
