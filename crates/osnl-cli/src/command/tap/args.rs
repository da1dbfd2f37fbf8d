//! The flags of `osnl tap`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use osnl_model::{Pattern, Secret};

use super::condition::Condition;
use crate::flags::{Format, SourceArgs, max_body, pattern, secret};

/// The flags of `osnl tap`.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 when something was shown, 1 when nothing was, 69 when the broker let nobody in.\n\n\
    Examples:\n  osnl tap rabbit://openstack:secret@mq1:5672/ -e nova --priority info --body\n  \
    osnl tap -c osnl.conf --listener neutron  # Enter: which rules an event fires"
)]
pub(crate) struct TapArgs {
    /// rabbit://..., or file:///PATH of a file with it [default: rabbit://]
    #[arg(value_name = "URL", value_parser = secret, conflicts_with_all = ["transport_url", "listener"])]
    pub(crate) url: Option<Secret>,
    /// The same as URL
    #[arg(long, value_name = "URL", value_parser = secret, conflicts_with = "listener")]
    pub(crate) transport_url: Option<Secret>,
    /// Broker, exchange, topics, priorities as of this listener
    #[arg(long, value_name = "NAME")]
    pub(crate) listener: Option<String>,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// Exchanges, by comma [default: those of the known services]
    #[arg(short = 'e', long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) exchange: Vec<String>,
    /// Topics [default: those of the known services]
    #[arg(short = 't', long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) topic: Vec<String>,
    /// Priorities [default: all, unknown ones too]
    #[arg(short = 'p', long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) priority: Vec<String>,
    /// Routing keys instead of topics, bound as they are, such as '#'
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Vec<String>,

    /// Types that match, as Python's re.match; repeated: any
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) event_type: Vec<Pattern>,
    /// Publishers that match, in the same way
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) publisher: Vec<Pattern>,
    /// Only this project, by id or name
    #[arg(long, value_name = "PROJECT")]
    pub(crate) project: Vec<String>,
    /// About this resource, by id or name
    #[arg(long, value_name = "RESOURCE")]
    pub(crate) resource: Vec<String>,
    /// As in a rule: payload.port.name=^web-; repeated: all
    #[arg(long, value_name = "NAME=PATTERN", value_parser = Condition::parse)]
    pub(crate) filter: Vec<Condition>,
    /// The same with an expression: 'resource.kind == "port"'
    #[arg(long, value_name = "EXPRESSION", value_parser = Condition::when)]
    pub(crate) when: Vec<Condition>,

    /// text: a line an event, or json: an object a line
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) format: Format,
    /// The largest body to read [default: the listener's, or 4MiB]
    #[arg(long, value_name = "SIZE", value_parser = max_body)]
    pub(crate) max_body: Option<usize>,
    /// Lines on a terminal too; so do -n, --body, --raw and json
    #[arg(long)]
    pub(crate) lines: bool,
    /// Also context and payload, secrets masked
    #[arg(long, conflicts_with = "raw")]
    pub(crate) body: bool,
    /// Also bodies as received, passwords and tokens too
    #[arg(long)]
    pub(crate) raw: bool,
    /// Also append them to a file as received, secrets and all; mode 0600
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// End after so many events
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this time, such as 30s or 5m
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,

    /// Instead: events per second by type, on a terminal live
    #[arg(long, conflicts_with_all = ["body", "raw"])]
    pub(crate) rates: bool,
    /// Instead: check login, exchanges, bindings, and what comes
    #[arg(long, conflicts_with_all = ["body", "raw", "save", "rates"])]
    pub(crate) check: bool,
    /// At most so many wait; older ones are dropped
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) queue_limit: u32,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = osnl_config::duration::parse(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "a number with a unit: 500ms, 30s, 5m, 24h, 7d".to_owned())
}
