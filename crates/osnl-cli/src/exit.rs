//! The exit status of the program.

use std::process::ExitCode;

use osnl::journal::sqlite::OpenError;

/// The exit statuses; scripts and units rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or drained after a signal.
    Done,
    /// Failed: a refused configuration or login (under the legacy names), or the drain deadline passed.
    Failed,
    /// Something urgent needs attention, of `status --format nagios`.
    Critical,
    /// The status is unknown, of `status --format nagios`.
    Unknown,
    /// A wrong command line that clap could not see: its own 2.
    Usage,
    /// A broker refuses access, or another daemon has the journal; EX_UNAVAILABLE of sysexits.h.
    Unavailable,
    /// A wrong configuration; EX_CONFIG of sysexits.h. The legacy names fail with 1 instead.
    Config,
    /// A second SIGTERM or SIGINT cut the drain short; for `demo` and `send`, the first Ctrl-C.
    Interrupted,
}

impl From<&OpenError> for Exit {
    /// A journal that another process or a fault of the machine keeps closed may open later; all else is configured.
    fn from(error: &OpenError) -> Self {
        match error {
            OpenError::InUse(_) | OpenError::Io(_) | OpenError::Sqlite(_) => Self::Unavailable,
            OpenError::NoFile
            | OpenError::Volatile(_)
            | OpenError::Open(_)
            | OpenError::NotAJournal(_)
            | OpenError::Newer { .. } => Self::Config,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::FAILURE,
            Exit::Usage | Exit::Critical => Self::from(2),
            Exit::Unknown => Self::from(3),
            Exit::Unavailable => Self::from(69),
            Exit::Config => Self::from(78),
            Exit::Interrupted => Self::from(130),
        }
    }
}
