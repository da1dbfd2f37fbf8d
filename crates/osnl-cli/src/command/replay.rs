//! `osnl replay`: applies the configured rules to journalled or saved events again. Shows earlier
//! and planned deliveries. `--live` appends the events to the journal as new: through the daemon
//! that has the journal, or in this process if no daemon runs.

mod args;
mod daemon;

use std::collections::HashSet;
use std::sync::Arc;

use osnl::control::{RequestProgress, counted, grouped};
use osnl::explain::{Effect, Explainer, json, words};
use osnl::journal::Journal as _;
use osnl::journal::query::{DeliveryListRow, QueryContext, RowState};
use osnl::journal::sqlite::SqliteJournal;
use osnl::metrics::Counters;
use osnl::native::{JournalConf, Native};
use osnl::replay::{self, ReplayEvent, ReplaySettings};
use serde_json::{Value, json};

pub(crate) use self::args::ReplayArgs;
pub(super) use self::daemon::{AppendSettings, ReplayDaemon};
use super::progress::Display;
use super::saved_events::{self, SavedEventsRefusal, StandardOutput, masked, time};
use crate::app;
use crate::exit::Exit;
use crate::flags::OutputFormat;

/// The events that are explained without --verbose.
const SHOWN: usize = 20;
/// The most events of the journal without --limit: all of a large journal would fill memory.
const FROM_JOURNAL: u32 = 1000;
/// The most events of the journal beyond the limit that are counted: all of a large one would take minutes.
const COUNTED: u64 = 100_000;

pub(crate) fn run(args: &ReplayArgs) -> Exit {
    saved_events::with_configuration(&args.of, &args.rule, args.listener.as_deref(), |conf| {
        replay(args, conf)
    })
}

fn replay(args: &ReplayArgs, conf: &Native) -> Result<Exit, SavedEventsRefusal> {
    let daemon = if args.live.is_live() { ready(conf, args)? } else { None };
    let mut out = StandardOutput::for_traces(args.format);
    let (planned, left_out) = events(args, conf)?;
    let is_whole = left_out == 0 || args.limit.is_some();
    match args.format {
        OutputFormat::Text => {
            let most = if args.verbose { usize::MAX } else { SHOWN };
            for event in planned.iter().take(most) {
                out.line(&words::trace(&event.trace, |effect| text(event, effect, args.live.is_live())));
            }
            if let more @ 1.. = planned.len().saturating_sub(most) {
                out.line(&format!("{} more events: --verbose shows each", grouped(more as u64)));
            }
        }
        OutputFormat::Json => {
            for event in &planned {
                out.json(json::trace(&event.trace, |effect| object(event, effect)));
            }
        }
    }
    if planned.is_empty() {
        saved_events::say("there is no such event");
        return Ok(out.end(Exit::Failed));
    }
    let sums = ReplaySums::from_events(&planned, left_out);
    if !args.live.is_live() || sums.deliveries == 0 {
        match args.format {
            OutputFormat::Text => {
                let next = if args.live.is_live() || sums.deliveries == 0 {
                    ""
                } else {
                    "; --live makes these deliveries"
                };
                out.line(&format!("{}; nothing was changed{next}", sums.text("would create")));
            }
            OutputFormat::Json => out.json(sums.json(None)),
        }
        return Ok(out.end(if sums.deliveries > 0 && is_whole { Exit::Done } else { Exit::Failed }));
    }
    let question = format!("{}; append them?", sums.text("would create"));
    if !args.live.agrees(&question)? {
        return Ok(out.end(Exit::Failed));
    }
    let (appended, copies) = match daemon {
        Some(daemon) => {
            let display = Display::start("events", "appended");
            let how = AppendSettings { keep_ids: args.keep_ids, guarded: false };
            daemon.append(&planned, how, |progress| display.show(progress))?
        }
        None => {
            append(conf, &planned, ReplaySettings { keep_ids: args.keep_ids, ..ReplaySettings::default() })?
        }
    };
    match args.format {
        OutputFormat::Text => {
            let known = match copies {
                0 => String::new(),
                copies => format!(", {} left out", counted(copies, "copy", "copies")),
            };
            let new = counted(appended - copies, "event", "events");
            let makes = if copies == 0 { "created" } else { "needed" };
            out.line(&format!("{}; {new} appended to the journal{known}", sums.text(makes)));
        }
        OutputFormat::Json => out.json(sums.json(Some((appended - copies, copies)))),
    }
    Ok(out.end(if appended > copies && is_whole { Exit::Done } else { Exit::Failed }))
}

fn ready(conf: &Native, args: &ReplayArgs) -> Result<Option<ReplayDaemon>, SavedEventsRefusal> {
    let journal = saved_events::journal(conf)?;
    args.live.check_terminal()?;
    ReplayDaemon::for_journal(conf, journal, args.patience.timeout)
}

/// Returns the events, and the number of those beyond the limit.
fn events(args: &ReplayArgs, conf: &Native) -> Result<(Vec<ReplayEvent>, u64), SavedEventsRefusal> {
    let explainer = Explainer::for_replay(conf);
    let mut explainer = explainer.with_listener(args.listener.as_deref()).with_rules(&args.rule);
    if args.file.is_empty() {
        let journal = saved_events::kept(conf)?;
        args.pick.has_names(Some(conf), &journal)?;
        let limit = args.limit.unwrap_or(FROM_JOURNAL);
        let numbers = args.pick.numbers(&journal, limit, false)?;
        let left_out = match numbers.len() < limit as usize {
            true => 0,
            false => args.pick.count(&journal, &numbers, COUNTED)?,
        };
        let kept = saved_events::events(&journal, &numbers)?;
        let planned = kept.into_iter().map(|kept| ReplayEvent::from_kept(kept, &mut explainer)).collect();
        return Ok((planned, left_out));
    }
    if args.pick.is_given() {
        let text =
            "filters choose events of the journal, and files were named; leave out one of them".to_owned();
        return Err((Exit::Usage, text));
    }
    let mut files = saved_events::files(&args.file, &conf.budget())?;
    let limit = args.limit.map_or(usize::MAX, |limit| limit as usize);
    let left_out = files.len().saturating_sub(limit) as u64;
    files.truncate(limit);
    let ids: HashSet<String> =
        files.iter().filter_map(|(_, event)| event.message_id().map(str::to_owned)).collect();
    let before = match &conf.journal {
        JournalConf::Sqlite(options) if options.path.exists() => {
            saved_events::kept(conf)?.deliveries_of(&ids).map_err(saved_events::unreadable)?
        }
        JournalConf::Sqlite(_) | JournalConf::Memory => Default::default(),
    };
    let with_before = files.into_iter().map(|(saved, event)| {
        let rows = event.message_id().and_then(|id| before.get(id)).cloned().unwrap_or_default();
        ReplayEvent::from_saved(saved, event, rows, &mut explainer)
    });
    Ok((with_before.collect(), left_out))
}

const AT_ONCE: usize = 256;

fn append(
    conf: &Native,
    planned: &[ReplayEvent],
    how: ReplaySettings,
) -> Result<(u64, u64), SavedEventsRefusal> {
    let options = saved_events::options(conf)?;
    let counters = Arc::new(Counters::default());
    let journal = SqliteJournal::open(options.clone(), counters.clone())
        .map_err(|error| saved_events::cannot_open(&options.path, &error))?;
    let appended = app::block_on(async {
        let (display, mut done) = (Display::start("events", "appended"), 0);
        let mut ended = Ok(0);
        for some in planned.chunks(AT_ONCE) {
            ended = replay::live(&journal, some, how).await;
            let Ok(appended) = ended else { break };
            done += appended;
            display.show(RequestProgress { done, of: planned.len() as u64 });
        }
        journal.close().await;
        ended.map(|_| done).map_err(|error| (error, done))
    });
    match appended {
        Ok(Ok(appended)) => Ok((appended, counters.duplicates.get() + counters.deduplicated.get())),
        Ok(Err((error, 0))) => Err((Exit::Unavailable, error.to_string())),
        Ok(Err((error, before))) => {
            Err((Exit::Unavailable, format!("{error} ({before} events were appended before)")))
        }
        Err(error) => Err((Exit::Failed, error.to_string())),
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct ReplaySums {
    events: usize,
    left_out: u64,
    firing: usize,
    deliveries: usize,
    delivered: usize,
    pending: usize,
}

impl ReplaySums {
    fn from_events(planned: &[ReplayEvent], left_out: u64) -> Self {
        let mut sums = Self { events: planned.len(), left_out, ..Self::default() };
        for event in planned {
            let made = event.trace.effects().filter(|(_, effect)| effect.is_made());
            let before: Vec<_> = made.map(|(_, effect)| event.before(effect).map(|row| row.state)).collect();
            sums.firing += usize::from(!before.is_empty());
            sums.deliveries += before.len();
            sums.delivered += before.iter().flatten().filter(|state| **state == RowState::Delivered).count();
            sums.pending += before.iter().flatten().filter(|state| state.is_open()).count();
        }
        sums
    }

    fn text(&self, makes: &str) -> String {
        let Self { events, left_out, firing, deliveries, delivered, pending } = self;
        let at_least = if *left_out == COUNTED { "at least " } else { "" };
        let left_out = match *left_out {
            0 => String::new(),
            more => format!(" ({at_least}{} left out by --limit)", counted(more, "later one", "later ones")),
        };
        let pending =
            if *pending > 0 { format!(", {} pending now", grouped(*pending as u64)) } else { String::new() };
        format!(
            "{} of {}{left_out} {makes} {} ({} delivered before{pending})",
            grouped(*firing as u64),
            counted(*events as u64, "event", "events"),
            counted(*deliveries as u64, "delivery", "deliveries"),
            grouped(*delivered as u64)
        )
    }

    fn json(&self, appended: Option<(u64, u64)>) -> Value {
        let Self { events, left_out, firing, deliveries, delivered, pending } = self;
        json!({"summary": {
            "events": events,
            "left_out": left_out,
            "firing": firing,
            "deliveries": deliveries,
            "delivered_before": delivered,
            "pending_now": pending,
            "appended": appended.map_or(0, |(appended, _)| appended),
            "kept_already": appended.map_or(0, |(_, copies)| copies),
            "live": appended.is_some(),
        }})
    }
}

fn text(event: &ReplayEvent, effect: &Effect, is_live: bool) -> String {
    let described = if is_live { words::will(effect) } else { words::would(effect) };
    let before = match event.before(effect) {
        _ if !effect.is_made() => "nothing is appended".to_owned(),
        Some(row) => before(row),
        None => "not delivered before".to_owned(),
    };
    format!("{described}\n      {}", masked(&before))
}

fn before(row: &DeliveryListRow) -> String {
    let ended = row.ended.map_or(String::new(), |at| format!(" at {}", time(at)));
    let reason = row.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let tries = if row.tries > 0 {
        format!(" after {} failed attempt{}", row.tries, if row.tries == 1 { "" } else { "s" })
    } else {
        String::new()
    };
    let what = match row.state {
        RowState::Delivered => "delivered before, as",
        RowState::NothingToDo => "no action needed before, as",
        RowState::Shadow => "only recorded before (mode = shadow), as",
        RowState::Discarded => "discarded before, as",
        RowState::Dead => "became dead letter",
        RowState::Held => "waiting for release now: delivery",
        RowState::Waiting | RowState::Ready => "pending now: delivery",
    };
    match row.state.is_open() {
        true => format!("{what} {}{tries}{reason}", row.id),
        false => format!("{what} {}{ended}{tries}{reason}", row.id),
    }
}

fn object(event: &ReplayEvent, effect: &Effect) -> Value {
    let mut object = json::effect(effect);
    let before = event.before(effect).filter(|_| effect.is_made());
    object["left_out"] = json!(!effect.is_made());
    object["before"] = before.map(row).unwrap_or_default();
    object
}

fn row(row: &DeliveryListRow) -> Value {
    json!({
        "id": row.id.to_string(),
        "rule": row.rule,
        "state": row.phase(&QueryContext::default()).word(),
        "ended": row.ended.map(time),
        "failed_attempts": row.tries,
        "reason": row.reason,
    })
}
