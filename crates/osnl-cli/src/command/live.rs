//! `--live`, with which a command appends events to the journal, and the question before.

use std::io::{self, IsTerminal as _};

use clap::Args;

use super::confirm::agreed_to;
use super::saved_events::{SavedEventsRefusal, say};
use crate::exit::Exit;

const NO_TERMINAL: &str = "--live asks for confirmation, but stdin is not a terminal; add --yes";

/// The flags of a command that changes nothing without `--live`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct LiveArgs {
    /// Append the events to the journal, so that the daemon makes the calls
    #[arg(long)]
    live: bool,
    /// Do not ask. Without a terminal, --live requires it (else exit status 2)
    #[arg(long, short = 'y', requires = "live")]
    yes: bool,
}

impl LiveArgs {
    pub(super) fn is_live(self) -> bool {
        self.live
    }

    /// Whether the operator's consent was given with the command.
    pub(super) fn is_agreed(self) -> bool {
        self.yes
    }

    /// Refuses a question that no terminal can answer, before the command begins its work.
    pub(super) fn check_terminal(self) -> Result<(), SavedEventsRefusal> {
        match self.live && !self.yes && !io::stdin().is_terminal() {
            true => Err((Exit::Usage, NO_TERMINAL.to_owned())),
            false => Ok(()),
        }
    }

    /// Asks before anything is appended, unless that was answered; says so if the answer is no.
    pub(super) fn agrees(self, question: &str) -> Result<bool, SavedEventsRefusal> {
        let is_agreed = !self.live || self.yes || agreed_to(question, NO_TERMINAL)?;
        if !is_agreed {
            say("nothing was changed");
        }
        Ok(is_agreed)
    }
}
