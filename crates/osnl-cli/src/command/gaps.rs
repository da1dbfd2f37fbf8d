//! `osnl gaps`: the intervals in which a listener could not have received what was published.

use clap::{Args, Subcommand};
use osnl::control::{ClosedGaps, ControlRequest, GapList, GapRow, counted, span};

use super::asking::{NoAnswer, Respondent, clean, print, print_json};
use super::deliveries::who;
use super::table::table;
use crate::exit::Exit;
use crate::flags::{FormatArgs, OutputFormat, PlaceArgs};

/// The flags of `osnl gaps`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Exits with 0 if there is no gap, 1 if there is one, 69 if no daemon answers.\n\n\
                  Examples:\n  osnl gaps\n  osnl gaps dismiss 3",
    after_long_help = "\
    A gap is an interval in which notifications could not reach a listener, or may not have reached it: its \
    queue was deleted, an exchange was not bound, a position was lost. osnl keeps gaps over restarts until \
    `osnl verify ACTION --live` has found the deletions that were missed, for each action of the listener \
    that deletes, or until they are dismissed."
)]
pub(crate) struct GapsArgs {
    #[command(subcommand)]
    verb: Option<GapsVerb>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Subcommand)]
enum GapsVerb {
    /// Close gaps without a verification
    Dismiss(DismissArgs),
}

/// The flags of `osnl gaps dismiss`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 0, 1 if there is no such gap, 69 if no daemon answers.\n\n\
                  Examples:\n  osnl gaps dismiss 3 4\n  osnl gaps dismiss --all")]
struct DismissArgs {
    /// Numbers of the gaps, as osnl gaps shows them
    #[arg(value_name = "ID", required_unless_present = "all")]
    gaps: Vec<u64>,
    /// Dismiss all gaps
    #[arg(long, conflicts_with = "gaps")]
    all: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &GapsArgs) -> Exit {
    let exit = match &args.verb {
        Some(GapsVerb::Dismiss(args)) => dismiss(args),
        None => list(args),
    };
    exit.unwrap_or_else(|error| error.complain())
}

fn list(args: &GapsArgs) -> Result<Exit, NoAnswer> {
    let found: GapList = Respondent::for_daemon(&args.place)?.ask(&ControlRequest::Gaps)?;
    let printed = match args.format.format {
        OutputFormat::Json => print_json(&found),
        OutputFormat::Text => print(&text(&found.gaps)),
    };
    Ok(if printed == Exit::Done && !found.gaps.is_empty() { Exit::Failed } else { printed })
}

fn text(gaps: &[GapRow]) -> String {
    if gaps.is_empty() {
        return "no gaps\n".to_owned();
    }
    let mut rows = vec![["ID", "LISTENER", "FROM", "LENGTH", "LOST", "EXCHANGES", "WHY"].map(str::to_owned)];
    rows.extend(gaps.iter().map(|gap| {
        let lost = if gap.is_certain { "certain" } else { "possible" };
        let exchanges = if gap.exchanges.is_empty() { "-".to_owned() } else { gap.exchanges.join(", ") };
        [
            gap.id.to_string(),
            clean(&gap.listener).into_owned(),
            gap.from.clone(),
            span(gap.seconds),
            lost.to_owned(),
            clean(&exchanges).into_owned(),
            clean(&gap.why).into_owned(),
        ]
    }));
    let mut commands: Vec<&str> = gaps.iter().map(|gap| &*gap.command).collect();
    commands.sort_unstable();
    commands.dedup();
    let steps = commands.iter().map(|command| format!("-> {}\n", clean(command)));
    table(rows) + &steps.collect::<String>()
}

fn dismiss(args: &DismissArgs) -> Result<Exit, NoAnswer> {
    let request = ControlRequest::DismissGaps { gaps: args.gaps.clone(), all: args.all, by: who::asks() };
    let told: ClosedGaps = Respondent::for_daemon(&args.place)?.ask(&request)?;
    let printed = match args.format.format {
        OutputFormat::Json => print_json(&told),
        OutputFormat::Text if told.closed.is_empty() => {
            print("no gap is dismissed: osnl gaps shows the open ones\n")
        }
        OutputFormat::Text => {
            print(&format!("{} dismissed\n", counted(told.closed.len() as u64, "gap", "gaps")))
        }
    };
    Ok(if printed == Exit::Done && told.closed.is_empty() { Exit::Failed } else { printed })
}
