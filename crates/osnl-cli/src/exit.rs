//! How the program ends, as a number.

use std::process::ExitCode;

/// The exit statuses; scripts and units rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or drained after a signal.
    Done,
    /// Failed: a refused configuration or login (under the legacy names), or the drain deadline passed.
    Failed,
    /// A second SIGTERM or SIGINT cut the drain short; for `demo`, the first Ctrl-C.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::FAILURE,
            Exit::Interrupted => Self::from(130),
        }
    }
}
