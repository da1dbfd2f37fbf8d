//! `osnl explain`: the verdict of each rule on an event, and the effect of a match. Connects only to the daemon.

mod args;
mod counts;
mod events;

use osnl::control::grouped;
use osnl::explain::{Explainer, json, words};
use osnl::native::Native;

pub(crate) use self::args::ExplainArgs;
use super::saved_events::{self, SavedEventsRefusal, StandardOutput};
use crate::exit::Exit;
use crate::flags::OutputFormat;

pub(crate) fn run(args: &ExplainArgs) -> Exit {
    let listener = args.listener.as_deref();
    saved_events::with_configuration(&args.of, &args.rule, listener, |conf| match args.counts {
        true => counts::show(args, saved_events::journal(conf)?),
        false => explain(args, conf),
    })
}

fn explain(args: &ExplainArgs, conf: &Native) -> Result<Exit, SavedEventsRefusal> {
    let mut out = StandardOutput::for_traces(args.format);
    let (mut seen, mut matched, mut dead) = (0, 0, 0);
    let mut explainer = Explainer::new(conf).with_listener(args.listener.as_deref()).with_rules(&args.rule);
    events::each(args, conf, |event| {
        let trace = explainer.trace(event);
        seen += 1;
        matched += u64::from(trace.is_match());
        dead += trace.dead_letters() as u64;
        match args.format {
            OutputFormat::Text => out.line(&words::trace(&trace, words::would)),
            OutputFormat::Json => out.json(json::trace(&trace, json::effect)),
        }
    })?;
    if seen == 0 {
        saved_events::say("there is no such event");
    } else if args.format == OutputFormat::Text && seen > 1 {
        out.line(&format!("{} of {} events match a rule", grouped(matched), grouped(seen)));
    }
    match dead {
        0 => {}
        1 => saved_events::say("1 delivery would become a dead letter at its first attempt"),
        dead => saved_events::say(&format!(
            "{} deliveries would become dead letters at their first attempt",
            grouped(dead)
        )),
    }
    Ok(out.end(if matched > 0 && dead == 0 { Exit::Done } else { Exit::Failed }))
}
