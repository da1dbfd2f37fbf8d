use std::path::PathBuf;

use clap::{ArgGroup, Args};
use osnl::unmatched::UnmatchedMessage;
use osnl_model::Pattern;

use crate::command::saved_events::PickArgs;
use crate::flags::{CheckArgs, GROUPS, OutputFormat, pattern};

/// The flags of `osnl explain`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").multiple(true).required(true).args(
    ["file", "journal", "unmatched", "counts", "id", "event_type", "fired", "action", "resource", "state", "since", "until"]
))]
#[command(override_usage = "osnl explain [OPTIONS] FILE... | --journal | --unmatched | --id ID | ...")]
#[command(
    after_help = "Exits with 0 if a rule matches, 1 if none matches or a template renders no valid request, 69 if it needs a journal and there is none, 78 for a wrong configuration.\n\n\
    Examples:\n  osnl tap -n 1 --save seen.jsonl rabbit://; osnl explain seen.jsonl\n  \
    osnl explain --unmatched '^port\\.' --since 10m --rule forget-ports"
)]
#[command(after_long_help = format!(
    "\
    For a rule that matches, it prints what each action would do, with secrets masked. For a rule that does \
    not, it prints the first condition that did not match, and the value. It contacts no other system. \
    `--unmatched` reads the messages that matched no rule; the daemon stores the latest ones beside its \
    journal (keep_unmatched).\n{GROUPS}"
))]
pub(crate) struct ExplainArgs {
    /// JSON events: plain, in oslo's envelope, or saved by osnl tap; - is stdin
    #[arg(value_name = "FILE", conflicts_with_all = ["journal", "unmatched", "counts"])]
    pub(super) file: Vec<PathBuf>,
    /// Use recent events of the journal; implied by journal filters
    #[arg(long, conflicts_with_all = ["unmatched", "counts"])]
    pub(super) journal: bool,
    /// Use recent unmatched messages; PATTERN selects their event types
    #[arg(long, value_name = "PATTERN", num_args = 0..=1, value_parser = pattern, conflicts_with = "counts")]
    #[expect(clippy::option_option, reason = "how clap tells a flag from a flag with a value")]
    pub(super) unmatched: Option<Option<Pattern>>,
    /// Count the matches of each rule, and the failures of each condition
    #[arg(long)]
    pub(super) counts: bool,
    /// Evaluate only this rule; may be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    pub(super) rule: Vec<String>,
    /// Evaluate as if this listener had received the event
    #[arg(long, value_name = "NAME")]
    pub(super) listener: Option<String>,
    /// Show at most N events, the last ones [default: 20, of files all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: Option<u32>,
    /// text for people; json: one object per line
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT", hide_possible_values = true)]
    pub(super) format: OutputFormat,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(super) of: CheckArgs,
    #[command(flatten, next_help_heading = "Journal filters")]
    pub(super) pick: PickArgs,
}

impl ExplainArgs {
    pub(super) fn limit(&self) -> u32 {
        self.limit.unwrap_or(20)
    }

    pub(super) fn wants(&self, unmatched: &UnmatchedMessage) -> bool {
        let event_type = unmatched.event_type.as_deref();
        let pattern = self.unmatched.as_ref().and_then(Option::as_ref);
        pattern.is_none_or(|pattern| event_type.is_some_and(|text| pattern.is_match(text)))
            && self.pick.event_type.as_deref().is_none_or(|wanted| event_type == Some(wanted))
            && self.pick.since.is_none_or(|since| unmatched.received.is_some_and(|at| at >= since))
            && self.pick.until.is_none_or(|until| unmatched.received.is_some_and(|at| at < until))
    }
}
