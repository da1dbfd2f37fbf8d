//! The flags of `osnl demo`.

use clap::{Args, ValueEnum};
use osnl_model::Secret;

use crate::flags::{OutputFormat, rate, secret};
use crate::terminal::Size;

/// The flags of `osnl demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  osnl demo\n  osnl demo --scenario k2hr3\n  \
                        osnl demo --format json | tail -n 1\n  \
                        osnl demo --transport-url rabbit://guest:guest@127.0.0.1:5672/")]
pub(crate) struct DemoArgs {
    /// webhook, k2hr3, or oss
    #[arg(
        long,
        value_enum,
        default_value_t = DemoScenario::Webhook,
        value_name = "SCENARIO",
        hide_possible_values = true
    )]
    pub(crate) scenario: DemoScenario,
    /// Number of events
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,
    /// Events per second [default: all within 5 s; without a terminal, each after the previous one]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Let every Nth request fail once; 0: let none fail
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) fail: u32,
    /// Seed of random numbers: the same seed gives the same events and failures
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub(crate) seed: u64,
    /// text: a live screen or lines; json: one object per line
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT")]
    pub(crate) format: OutputFormat,
    /// Use a real broker; queues created there are deleted at the end
    #[arg(long, value_name = "URL", value_parser = secret)]
    pub(crate) transport_url: Option<Secret>,
    /// Draw a live screen of this size even without a terminal
    #[arg(long, value_name = "COLUMNSxLINES", hide = true)]
    pub(crate) screen: Option<Size>,
}

/// The scenario of `osnl demo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemoScenario {
    Webhook,
    K2hr3,
    Oss,
}
