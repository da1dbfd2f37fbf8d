//! `osnl replay`: applies the configured rules to journalled or saved events again. Shows earlier
//! and planned deliveries. `--live` appends the events to the journal as new: through the daemon
//! that has the journal, or in this process if no daemon runs.

mod args;
mod daemon;

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::sync::Arc;

use osnl::control::{RequestProgress, counted, grouped};
use osnl::explain::{ExplainedEvent, Ruling};
use osnl::journal::Journal as _;
use osnl::journal::query::{DeliveryListRow, QueryContext, RowState};
use osnl::journal::sqlite::SqliteJournal;
use osnl::metrics::Counters;
use osnl::native::{JournalConf, Native};
use osnl::replay::{self, EventPlan, ReplayEvent, ReplaySettings, RequestedDelivery};
use serde_json::{Value, json};

pub(crate) use self::args::ReplayArgs;
use self::daemon::ReplayDaemon;
use super::confirm::agreed_to;
use super::progress::Display;
use super::saved_events::{
    self, SavedEventsRefusal, StandardOutput, about, about_json, masked, time, tint, verdict, verdict_json,
    will, would, would_json,
};
use crate::app;
use crate::exit::Exit;
use crate::flags::OutputFormat;

/// The events that are explained before the question of --live.
const SHOWN: usize = 20;
const NO_TERMINAL: &str = "--live asks for confirmation, but stdin is not a terminal; add --yes";

pub(crate) fn run(args: &ReplayArgs) -> Exit {
    saved_events::with_configuration(&args.of, &args.rule, args.listener.as_deref(), |conf| {
        replay(args, conf)
    })
}

fn replay(args: &ReplayArgs, conf: &Native) -> Result<Exit, SavedEventsRefusal> {
    let daemon = if args.live { ready(conf, args)? } else { None };
    let mut out = if args.format == OutputFormat::Text {
        StandardOutput::tinted(tint)
    } else {
        StandardOutput::plain()
    };
    let mut planned = Vec::new();
    for (name, source) in sources(args, conf)? {
        let plan = replay::plan(conf, source, &args.rule, args.listener.as_deref());
        match args.format {
            OutputFormat::Text if args.live && !args.verbose && planned.len() >= SHOWN => {}
            OutputFormat::Text => out.line(&text(&name, &plan, args.live)),
            OutputFormat::Json => out.json(object(&name, &plan)),
        }
        planned.push(plan);
    }
    if args.format == OutputFormat::Text && args.live && !args.verbose && planned.len() > SHOWN {
        out.line(&format!("{} more events: --verbose shows each", grouped((planned.len() - SHOWN) as u64)));
    }
    if planned.is_empty() {
        saved_events::say("there is no such event");
        return Ok(out.end(Exit::Failed));
    }
    let sums = ReplaySums::of(&planned);
    if !args.live || sums.deliveries == 0 {
        match args.format {
            OutputFormat::Text => {
                let next =
                    if args.live || sums.deliveries == 0 { "" } else { "; --live makes these deliveries" };
                out.line(&format!("{}; nothing was changed{next}", sums.text("would create")));
            }
            OutputFormat::Json => out.json(sums.json(None)),
        }
        return Ok(out.end(if sums.deliveries > 0 { Exit::Done } else { Exit::Failed }));
    }
    let question = format!("{}; append them?", sums.text("would create"));
    if !args.yes && !agreed_to(&question, NO_TERMINAL)? {
        saved_events::say("nothing was changed");
        return Ok(out.end(Exit::Failed));
    }
    let (appended, copies) = match daemon {
        Some(daemon) => daemon.append(&planned, args.keep_ids)?,
        None => {
            append(conf, &planned, ReplaySettings { keep_ids: args.keep_ids, ..ReplaySettings::default() })?
        }
    };
    match args.format {
        OutputFormat::Text => {
            let known = match copies {
                0 => String::new(),
                copies => format!(", {} were in the journal already", grouped(copies)),
            };
            let new = counted(appended - copies, "event", "events");
            out.line(&format!("{}; {new} appended to the journal{known}", sums.text("created")));
        }
        OutputFormat::Json => out.json(sums.json(Some((appended - copies, copies)))),
    }
    Ok(out.end(if appended > copies { Exit::Done } else { Exit::Failed }))
}

fn ready(conf: &Native, args: &ReplayArgs) -> Result<Option<ReplayDaemon>, SavedEventsRefusal> {
    let journal = saved_events::journal(conf)?;
    if !args.yes && !std::io::stdin().is_terminal() {
        return Err((Exit::Usage, NO_TERMINAL.to_owned()));
    }
    ReplayDaemon::of(conf, journal, args.patience.timeout)
}

fn sources(args: &ReplayArgs, conf: &Native) -> Result<Vec<(String, ReplayEvent)>, SavedEventsRefusal> {
    if args.file.is_empty() {
        let journal = saved_events::kept(conf)?;
        args.pick.has_names(Some(conf), &journal)?;
        let kept = args.pick.events(&journal, args.limit, false)?;
        return Ok(kept
            .into_iter()
            .map(|kept| (format!("event {}", kept.number), ReplayEvent::kept(kept)))
            .collect());
    }
    if args.pick.is_given() {
        let text =
            "filters choose events of the journal, and files were named; leave out one of them".to_owned();
        return Err((Exit::Usage, text));
    }
    let mut files = saved_events::files(&args.file)?;
    files.truncate(args.limit as usize);
    let budget = conf.budget();
    let id = |saved: &osnl::saved::RecordedEvent| {
        ExplainedEvent::saved(saved, &budget).notification()?.message_id.clone()
    };
    let ids: HashSet<String> = files.iter().filter_map(|(_, saved)| id(saved)).collect();
    let mut before = match &conf.journal {
        JournalConf::Sqlite(options) if options.path.exists() => {
            saved_events::kept(conf)?.deliveries_of(&ids).map_err(saved_events::unreadable)?
        }
        JournalConf::Sqlite(_) | JournalConf::Memory => Default::default(),
    };
    let with_before = files.into_iter().map(|(name, saved)| {
        let rows = id(&saved).and_then(|id| before.remove(&id)).unwrap_or_default();
        (format!("{name}:{}", saved.line), ReplayEvent::saved(saved, &budget, rows))
    });
    Ok(with_before.collect())
}

const AT_ONCE: usize = 256;

fn append(
    conf: &Native,
    planned: &[EventPlan],
    how: ReplaySettings,
) -> Result<(u64, u64), SavedEventsRefusal> {
    let options = match &conf.journal {
        JournalConf::Sqlite(options) => options,
        JournalConf::Memory => {
            let why = "[journal] connection is memory://, which keeps no events".to_owned();
            return Err((Exit::Config, why));
        }
    };
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
    firing: usize,
    deliveries: usize,
    delivered: usize,
    pending: usize,
}

impl ReplaySums {
    fn of(planned: &[EventPlan]) -> Self {
        let mut sums = Self { events: planned.len(), ..Self::default() };
        for plan in planned {
            let requests = plan.requests();
            sums.firing += usize::from(!requests.is_empty());
            sums.deliveries += requests.len();
            sums.delivered += requests.iter().filter(|request| request.was_delivered()).count();
            let is_pending =
                |request: &&RequestedDelivery| request.before.as_ref().is_some_and(|row| row.state.is_open());
            sums.pending += requests.iter().copied().filter(is_pending).count();
        }
        sums
    }

    fn text(&self, makes: &str) -> String {
        let Self { events, firing, deliveries, delivered, pending } = self;
        let pending =
            if *pending > 0 { format!(", {} pending now", grouped(*pending as u64)) } else { String::new() };
        format!(
            "{} of {} {makes} {} ({} delivered before{pending})",
            grouped(*firing as u64),
            counted(*events as u64, "event", "events"),
            counted(*deliveries as u64, "delivery", "deliveries"),
            grouped(*delivered as u64)
        )
    }

    fn json(&self, appended: Option<(u64, u64)>) -> Value {
        let Self { events, firing, deliveries, delivered, pending } = self;
        json!({"summary": {
            "events": events,
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

fn text(name: &str, plan: &EventPlan, is_live: bool) -> String {
    let described = if is_live { will } else { would };
    let mut text = about(name, &plan.source.subject);
    for rule in &plan.rules {
        text.push_str(&format!("\n  {}", verdict(&rule.verdict)));
        let Ruling::Fires(effects) = &rule.verdict.ruling else { continue };
        for effect in effects {
            let request = rule.requests.iter().find(|request| {
                request.delivery.action == effect.action && request.delivery.key == effect.key
            });
            let before = match request {
                Some(request) => before(request),
                None => "nothing is appended".to_owned(),
            };
            text.push_str(&format!("\n    {}\n      {}", described(effect), masked(&before)));
        }
    }
    text
}

fn before(request: &RequestedDelivery) -> String {
    let Some(row) = &request.before else { return "not delivered before".to_owned() };
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

fn object(name: &str, plan: &EventPlan) -> Value {
    let rules = plan.rules.iter().map(|rule| {
        let mut object = verdict_json(&rule.verdict);
        if let Ruling::Fires(effects) = &rule.verdict.ruling {
            let actions = effects.iter().map(|effect| {
                let mut object = would_json(effect);
                let same = |request: &&RequestedDelivery| {
                    request.delivery.action == effect.action && request.delivery.key == effect.key
                };
                let request = rule.requests.iter().find(same);
                object["left_out"] = json!(request.is_none());
                object["before"] =
                    request.and_then(|request| request.before.as_ref()).map(row).unwrap_or_default();
                object
            });
            object["actions"] = actions.collect();
        }
        object
    });
    json!({"event": about_json(name, &plan.source.subject), "rules": rules.collect::<Vec<_>>()})
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
