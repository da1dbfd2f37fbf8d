//! `osnl explain`: the verdict of each rule on an event, and the effect of a match. The event is from a file, the
//! journal or the ring of unmatched messages. Connects only to the daemon.

mod args;
mod compare;
mod counts;

use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use osnl::control::grouped;
use osnl::explain::{EventsInOrder, ExplainedEvent, RuleVerdict, Ruling};
use osnl::native::Native;
use osnl::unmatched::{self, UnmatchedMessage};
use serde_json::{Value, json};

pub(crate) use self::args::ExplainArgs;
use super::saved_events::{
    self, SavedEventsRefusal, StandardOutput, about, about_json, masked, tint, verdict, verdict_json, would,
    would_json,
};
use crate::exit::Exit;
use crate::flags::OutputFormat;

pub(crate) fn run(args: &ExplainArgs) -> Exit {
    if let Some(rules) = &args.rules {
        return saved_events::with_configuration(&args.of, &[], args.listener.as_deref(), |conf| {
            compare::show(args, conf, rules)
        });
    }
    saved_events::with_configuration(&args.of, &args.rule, args.listener.as_deref(), |conf| {
        explain_events(args, conf)
    })
}

fn explain_events(args: &ExplainArgs, conf: &Native) -> Result<Exit, SavedEventsRefusal> {
    if args.counts {
        return counts::show(args, saved_events::journal(conf)?);
    }
    let mut out = if args.format == OutputFormat::Text {
        StandardOutput::tinted(tint)
    } else {
        StandardOutput::plain()
    };
    let (mut seen, mut fired, mut dead) = (0_u64, 0_u64, 0_usize);
    let mut events = EventsInOrder::default();
    for (name, subject) in subjects(args, conf)? {
        let mut verdicts = events.explain(conf, &subject, args.listener.as_deref());
        verdicts
            .retain(|verdict| args.rule.is_empty() || args.rule.iter().any(|name| *name == *verdict.rule));
        seen += 1;
        fired += u64::from(verdicts.iter().any(|verdict| verdict.ruling.fires()));
        dead += verdicts.iter().map(RuleVerdict::dead_letter_count).sum::<usize>();
        match args.format {
            OutputFormat::Text => out.line(&text(&name, &subject, &verdicts)),
            OutputFormat::Json => out.json(object(&name, &subject, &verdicts)),
        }
    }
    if seen == 0 {
        saved_events::say("there is no such event");
    } else if args.format == OutputFormat::Text && seen > 1 {
        out.line(&format!("{} of {} events match a rule", grouped(fired), grouped(seen)));
    }
    match dead {
        0 => {}
        1 => saved_events::say("1 delivery would become a dead letter at its first attempt"),
        dead => saved_events::say(&format!(
            "{} deliveries would become dead letters at their first attempt",
            grouped(dead as u64)
        )),
    }
    Ok(out.end(if fired > 0 && dead == 0 { Exit::Done } else { Exit::Failed }))
}

fn subjects(args: &ExplainArgs, conf: &Native) -> Result<Vec<(String, ExplainedEvent)>, SavedEventsRefusal> {
    if let Some(wanted) = &args.unmatched {
        let found = ring(conf)?;
        let mut found: Vec<_> =
            found.into_iter().filter(|unmatched| args.wants(unmatched, wanted.as_ref())).collect();
        let first = found.len().saturating_sub(args.limit() as usize);
        let last = found
            .drain(first..)
            .map(|unmatched| ("unmatched".to_owned(), ExplainedEvent::unmatched(&unmatched)));
        return Ok(last.collect());
    }
    if args.journal || args.pick.is_given() {
        let journal = saved_events::kept(conf)?;
        args.pick.has_names(Some(conf), &journal)?;
        let kept = args.pick.events(&journal, args.limit(), true)?;
        let named = kept.iter().map(|kept| {
            let asked = journal.asked_for(&kept.deliveries).map_err(saved_events::unreadable)?;
            Ok((format!("event {}", kept.number), ExplainedEvent::received(&kept.received).with_asked(asked)))
        });
        return named.collect();
    }
    let files = saved_events::files(&args.file)?;
    let budget = conf.budget();
    let subject = |saved| {
        let subject = ExplainedEvent::saved(saved, &budget);
        ExplainedEvent { read: subject.read.or_else(|| Some(SystemTime::now())), ..subject }
    };
    Ok(files.iter().map(|(name, saved)| (format!("{name}:{}", saved.line), subject(saved))).collect())
}

fn ring(conf: &Native) -> Result<Vec<UnmatchedMessage>, SavedEventsRefusal> {
    let journal = saved_events::journal(conf)?;
    unmatched::read(journal, usize::MAX).map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            return none_yet(conf, journal);
        }
        let file = masked(&journal.display().to_string());
        let text = format!("{file}.unmatched: {error}; a daemon with keep_unmatched above 0 writes it");
        (Exit::Unavailable, text)
    })
}

/// Explains the missing file: the daemon creates the file with the first unmatched message.
fn none_yet(conf: &Native, journal: &Path) -> SavedEventsRefusal {
    if conf.keep_unmatched.heads == 0 {
        let text = "unmatched events are not kept: keep_unmatched is 0 in the configuration";
        return (Exit::Unavailable, text.to_owned());
    }
    match unmatched::counts(journal) {
        Ok((since, _)) => {
            (Exit::Failed, format!("no unmatched event yet since {}", saved_events::time(since)))
        }
        Err(_) if journal.exists() => (Exit::Failed, "no unmatched event yet".to_owned()),
        Err(_) => {
            let file = masked(&journal.display().to_string());
            (Exit::Unavailable, format!("{file}: there is no journal yet; osnl run creates it"))
        }
    }
}

fn text(name: &str, subject: &ExplainedEvent, verdicts: &[RuleVerdict]) -> String {
    let mut text = about(name, subject);
    for found in verdicts {
        text.push_str(&format!("\n  {}", verdict(found)));
        if let Ruling::Fires(effects) = &found.ruling {
            for effect in effects {
                text.push_str(&format!("\n    {}", would(effect)));
            }
        }
    }
    text
}

fn object(name: &str, subject: &ExplainedEvent, verdicts: &[RuleVerdict]) -> Value {
    let rules = verdicts.iter().map(|verdict| {
        let mut object = verdict_json(verdict);
        if let Ruling::Fires(effects) = &verdict.ruling {
            object["actions"] = effects.iter().map(would_json).collect();
        }
        object
    });
    json!({"event": about_json(name, subject), "rules": rules.collect::<Vec<_>>()})
}
