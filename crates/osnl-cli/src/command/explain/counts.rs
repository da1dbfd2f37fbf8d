use std::cmp::Reverse;
use std::io::ErrorKind;
use std::path::Path;

use osnl::control::grouped;
use osnl::unmatched::{self, RuleMatches};
use serde_json::json;

use super::ExplainArgs;
use crate::command::saved_events::{SavedEventsRefusal, StandardOutput, masked, time};
use crate::exit::Exit;
use crate::flags::OutputFormat;

pub(super) fn show(args: &ExplainArgs, journal: &Path) -> Result<Exit, SavedEventsRefusal> {
    let (since, mut counts) = unmatched::counts(journal).map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            let text =
                "no rule has been counted yet: a running daemon writes its counts with its first messages";
            return (Exit::Unavailable, text.to_owned());
        }
        (Exit::Unavailable, format!("{}.rules: {error}; a running daemon writes it", journal.display()))
    })?;
    counts.retain(|counted| {
        (args.rule.is_empty() || args.rule.contains(&counted.rule))
            && args.listener.as_ref().is_none_or(|name| *name == counted.listener)
    });
    let mut out = StandardOutput::plain();
    if args.format == OutputFormat::Text {
        out.line(&format!("messages received since {}", time(since)));
    }
    for counted in &counts {
        match args.format {
            OutputFormat::Text => out.line(&masked(&text(counted))),
            OutputFormat::Json => out.json(json!({
                "since": time(since),
                "listener": counted.listener,
                "rule": counted.rule,
                "tested": counted.tested,
                "matched": counted.matched,
                "failed": counted.failed,
                "stopped": counted.stopped,
            })),
        }
    }
    Ok(out.end(Exit::Done))
}

fn text(counted: &RuleMatches) -> String {
    let RuleMatches { listener, rule, tested, matched, failed, stopped } = counted;
    let mut text = format!(
        "rule {rule} of listener {listener}: {} tested, {} matched",
        grouped(*tested),
        grouped(*matched)
    );
    // The sort is stable, so equal numbers stay in the order of names.
    let mut failed: Vec<(&String, &u64)> = failed.iter().collect();
    failed.sort_by_key(|(_, times)| Reverse(**times));
    for (condition, times) in failed {
        text.push_str(&format!(", {} did not match {condition}", grouped(*times)));
    }
    if *stopped > 0 {
        text.push_str(&format!(", {} skipped by stop of a rule before it", grouped(*stopped)));
    }
    text
}
