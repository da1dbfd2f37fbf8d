use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::flags::CheckArgs;

/// The flags of `osnl test`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 0 if all tests pass, 1 if one fails, 78 if a file cannot be read.\n\n\
                        Examples:\n  osnl test -c /etc/osnl/osnl.conf\n  \
                        osnl test --new port.delete.end > /etc/osnl/tests/new.test\n  \
                        osnl test --format junit > report.xml")]
pub(crate) struct TestArgs {
    /// Test files or folders [default: tests/ beside the configuration]
    #[arg(value_name = "FILE", conflicts_with = "new")]
    pub(super) file: Vec<PathBuf>,
    /// Print a new test of this event, for you to edit
    #[arg(long, value_name = "EVENT")]
    pub(super) new: Option<String>,
    /// text, json, or junit (XML for CI)
    #[arg(long, value_enum, default_value_t = TestFormat::Text, value_name = "FORMAT", hide_possible_values = true)]
    pub(super) format: TestFormat,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(super) of: CheckArgs,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TestFormat {
    Text,
    Json,
    Junit,
}
