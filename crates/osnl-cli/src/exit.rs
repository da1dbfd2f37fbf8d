use std::process::ExitCode;

use osnl::journal::sqlite::OpenError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    /// A refused configuration or login (under the legacy names), a passed drain deadline, or
    /// another failure.
    Failed,
    Critical,
    Unknown,
    /// A wrong command line that clap cannot detect; clap itself ends with 2 too.
    Usage,
    /// A broker refuses access, or another daemon has the journal; EX_UNAVAILABLE of sysexits.h.
    Unavailable,
    /// A wrong configuration; EX_CONFIG of sysexits.h. The legacy names fail with 1 instead.
    Config,
    /// A second SIGTERM or SIGINT aborted the drain; for `demo`, `send`, and questions, the first Ctrl-C.
    Interrupted,
}

impl From<&OpenError> for Exit {
    /// Maps a lock and a fault of the machine, which may pass by themselves, to `Unavailable`, and
    /// every wrong setting to `Config`.
    fn from(error: &OpenError) -> Self {
        match error {
            OpenError::InUse(_) | OpenError::Io(_) | OpenError::Sqlite(_) => Self::Unavailable,
            OpenError::NoFile
            | OpenError::Volatile(_)
            | OpenError::Open(_)
            | OpenError::NotAJournal(_)
            | OpenError::NothingToRead(_)
            | OpenError::Newer { .. }
            | OpenError::ForeignObject { .. }
            | OpenError::NotPut(_) => Self::Config,
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
