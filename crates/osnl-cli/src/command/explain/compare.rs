//! `osnl explain --rules FILE`: the rules of a file compared with the configured rules.

use std::path::Path;
use std::time::{Duration, Instant};

use osnl::control::grouped;
use osnl::explain::{EventSample, RuleComparison, RuleSetComparison};
use osnl::native::{self, Native};
use serde_json::json;

use super::{ExplainArgs, events};
use crate::command::saved_events::{self, SavedEventsRefusal, StandardOutput, masked};
use crate::command::sources;
use crate::command::table::table;
use crate::exit::Exit;
use crate::flags::OutputFormat;

const SHOWN: Duration = Duration::from_secs(1);

const NONE: &str = "-";

pub(super) fn show(args: &ExplainArgs, conf: &Native, file: &Path) -> Result<Exit, SavedEventsRefusal> {
    let tried = tried(args, file)?;
    for rule in &args.rule {
        let names = conf.rules.iter().chain(&tried.rules).map(|rule| &*rule.rule.name);
        saved_events::known("rule", rule, names)?;
    }
    let begin = Instant::now();
    let mut comparison = RuleSetComparison::new(conf, &tried, args.listener.as_deref());
    events::each(args, conf, |event| comparison.add(&event))?;
    let rules = comparison.rules.iter();
    let rules: Vec<&RuleComparison> =
        rules.filter(|found| args.rule.is_empty() || args.rule.contains(&found.rule)).collect();
    let mut out = StandardOutput::plain();
    match args.format {
        OutputFormat::Text => out.line(&text(&comparison, &rules, file, begin.elapsed())),
        OutputFormat::Json => {
            rules.iter().for_each(|found| out.json(json!(found)));
            let RuleSetComparison { events, firing_now, would_fire, .. } = comparison;
            out.json(
                json!({"summary": {"events": events, "firing_now": firing_now, "would_fire": would_fire,
                    "seconds": begin.elapsed().as_secs_f64()}}),
            );
        }
    }
    if comparison.events == 0 {
        saved_events::say("there is no such event");
    }
    Ok(out.end(if rules.iter().any(|found| found.would_fire > 0) { Exit::Done } else { Exit::Failed }))
}

fn tried(args: &ExplainArgs, file: &Path) -> Result<Native, SavedEventsRefusal> {
    let mut sources = sources::from_args(&args.of.sources);
    sources.rules = Some(file.to_owned());
    let loaded = native::load(&sources).map_err(|errors| (Exit::Config, errors.to_string()))?;
    let file = file.display().to_string();
    for warning in loaded.warnings.iter().filter(|warning| warning.0.file == file) {
        saved_events::say(&format!("warning: {warning}"));
    }
    Ok(loaded.conf)
}

fn text(
    comparison: &RuleSetComparison<'_>,
    rules: &[&RuleComparison],
    file: &Path,
    took: Duration,
) -> String {
    let took =
        if took >= SHOWN { format!(", looked at in {:.1} s", took.as_secs_f64()) } else { String::new() };
    let mut text = format!(
        "{} events: {} match at least one rule now, {} with {}{took}\n",
        grouped(comparison.events),
        grouped(comparison.firing_now),
        grouped(comparison.would_fire),
        masked(&file.display().to_string())
    );
    let name = file.file_name().unwrap_or(file.as_os_str());
    let with = format!("with {}", masked(&name.display().to_string()));
    let heading = ["rule", "matches now", &with, "added", "removed", "not stored", "undecided"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(rules.iter().map(|found| row(found)));
    text.push_str(&table(&rows));
    for (is_shown, meaning) in [
        (
            rows.iter().flatten().any(|cell| cell == NONE),
            "-: only one of the two configurations has this rule",
        ),
        (rules.iter().any(|found| found.unknown > 0), "not stored: may match; the payload was not kept"),
        (rules.iter().any(|found| found.undecided > 0), "undecided: a condition could not be evaluated"),
    ] {
        if is_shown {
            text.push_str(&format!("{meaning}\n"));
        }
    }
    for found in rules {
        for (word, change) in [("would also match", &found.more), ("would no longer match", &found.no_longer)]
        {
            if change.count > 0 {
                let events = if change.count == 1 { "event" } else { "events" };
                text.push_str(&masked(&format!("rule {} {word} {events} {}", found.rule, named(change))));
                text.push('\n');
            }
        }
    }
    text.truncate(text.trim_end().len());
    text
}

fn row(found: &RuleComparison) -> Vec<String> {
    let number = |known: bool, number: u64| if known { grouped(number) } else { NONE.to_owned() };
    vec![
        masked(&found.rule),
        number(found.is_now, found.fires_now),
        number(found.is_tried, found.would_fire),
        number(found.is_tried, found.more.count),
        number(found.is_now, found.no_longer.count),
        number(found.is_tried, found.unknown),
        number(found.is_tried, found.undecided),
    ]
}

fn named(change: &EventSample) -> String {
    let more = change.count.saturating_sub(change.named.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", change.named.join(", "))
}
