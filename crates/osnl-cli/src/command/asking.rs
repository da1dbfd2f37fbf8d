//! Sends requests to a running daemon, or opens the journal of a stopped one, and prints the answer.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

pub(super) use osnl::control::span as age;
use osnl::control::{
    AskError, ConfiguredNames, ControlBackend, ControlClient, ControlHandler, ControlRequest, OnProgress,
    ReachError, RequestRefusal, Where, reach, socket_path,
};
use osnl::native::{self, JournalConf};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::sources;
use crate::app;
use crate::exit::Exit;
use crate::flags::{PatienceArgs, PlaceArgs, SourceArgs};
pub(super) use crate::output::{print, print_bytes, print_tinted};

#[derive(Debug)]
pub(super) struct NoAnswer {
    pub(super) exit: Exit,
    message: String,
    cause: NoAnswerCause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoAnswerCause {
    Nothing,
    Forbidden,
    Other,
}

impl NoAnswer {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), cause: NoAnswerCause::Other }
    }

    pub(super) fn is_forbidden(&self) -> bool {
        self.cause == NoAnswerCause::Forbidden
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn complain(&self) -> Exit {
        sources::complain(&self.message);
        self.exit
    }
}

impl From<RequestRefusal> for NoAnswer {
    fn from(refusal: RequestRefusal) -> Self {
        use osnl::control::Code;
        let exit = match refusal.code {
            Code::Unavailable | Code::OtherJournal | Code::Forbidden => Exit::Unavailable,
            Code::BadRequest => Exit::Usage,
            Code::NotFound | Code::Unsupported => Exit::Failed,
        };
        let cause =
            if refusal.code == Code::Forbidden { NoAnswerCause::Forbidden } else { NoAnswerCause::Other };
        Self { cause, ..Self::new(exit, refusal.message) }
    }
}

impl From<ReachError> for NoAnswer {
    fn from(error: ReachError) -> Self {
        let cause = match error {
            ReachError::Nothing { .. } => NoAnswerCause::Nothing,
            ReachError::Forbidden(_) => NoAnswerCause::Forbidden,
            ReachError::Silent { .. } | ReachError::Hung(_) | ReachError::Socket { .. } => {
                NoAnswerCause::Other
            }
        };
        Self { cause, ..Self::new(Exit::Unavailable, error.to_string()) }
    }
}

pub(super) enum Respondent {
    Daemon(Box<ControlClient>, Option<PathBuf>),
    File(Box<ControlHandler>),
}

impl Respondent {
    pub(super) fn for_place(place: &PlaceArgs) -> Result<Self, NoAnswer> {
        match locate(place) {
            Ok(found) => Self::at(&found, place.patience),
            // A daemon may still run with the configuration from before the broken one.
            Err(error) => match by_its_folder(place).map(|found| Self::at(&found, place.patience)) {
                Some(Ok(daemon @ Self::Daemon(..))) => Ok(daemon),
                Some(Ok(Self::File(_)) | Err(_)) | None => Err(error),
            },
        }
    }

    pub(super) fn for_daemon(place: &PlaceArgs) -> Result<Self, NoAnswer> {
        let found = locate(place);
        let at = match (&found, by_its_folder(place)) {
            (Ok(place), _) => Where { journal: None, any_journal: true, ..place.clone() },
            (Err(_), Some(place)) => place,
            (Err(_), None) => Where::default(),
        };
        let folder = match (&found, &at.state_dir) {
            (Ok(place), None) => place.journal.as_ref().and_then(|path| Some(path.parent()?.to_owned())),
            (_, folder) => folder.clone(),
        };
        match (Self::at(&Where { state_dir: folder.clone(), ..at }, place.patience), found) {
            (Ok(daemon @ Self::Daemon(..)), _) => Ok(daemon),
            (_, Err(error)) => Err(error),
            (Err(error), Ok(_)) if error.cause != NoAnswerCause::Nothing => Err(error),
            (Ok(Self::File(_)) | Err(_), Ok(_)) => {
                let socket = socket_path(&folder.unwrap_or_default());
                let message = format!(
                    "no daemon answers at {}; start the daemon (osnl run), or name it by its -c or --state-dir",
                    socket.display()
                );
                Err(NoAnswer::new(Exit::Unavailable, message))
            }
        }
    }

    fn at(place: &Where, patience: PatienceArgs) -> Result<Self, NoAnswer> {
        let reached = app::block_on(reach(place, patience.timeout))
            .map_err(|error| NoAnswer::new(Exit::Failed, error.to_string()))?;
        Ok(match reached? {
            ControlBackend::Daemon(client, journal) => Self::Daemon(Box::new(client), journal),
            ControlBackend::File(handler) => Self::File(Box::new(handler)),
        })
    }

    pub(super) fn ask_with_progress<T: DeserializeOwned>(
        &self,
        request: &ControlRequest,
        told: OnProgress<'_>,
    ) -> Result<T, NoAnswer> {
        let failed = |error: &dyn std::fmt::Display| NoAnswer::new(Exit::Failed, error.to_string());
        let asked = app::block_on(async {
            match self {
                Self::Daemon(client, journal) => {
                    client.ask_with_progress(request, journal.as_deref(), told).await.map_err(no_answer)
                }
                Self::File(handler) => {
                    handler.answer_with_progress(request, told).await.map_err(NoAnswer::from)
                }
            }
        });
        let answer = asked.map_err(|error| failed(&error))??;
        serde_json::from_value(answer).map_err(|error| match self {
            Self::Daemon(..) => no_answer(error.into()),
            Self::File(_) => failed(&error),
        })
    }

    pub(super) fn ask<T: DeserializeOwned>(&self, request: &ControlRequest) -> Result<T, NoAnswer> {
        self.ask_with_progress(request, &|_| {})
    }
}

fn no_answer(error: AskError) -> NoAnswer {
    match error {
        AskError::Refused(refusal) => refusal.into(),
        AskError::Silent(_) | AskError::Io(_) | AskError::NotUnderstood(_) => {
            NoAnswer::new(Exit::Unavailable, error.to_string())
        }
    }
}

/// Returns the socket of a daemon whose configuration is broken, from the state directory that the
/// files still show.
fn by_its_folder(place: &PlaceArgs) -> Option<Where> {
    let PlaceArgs { config_file, config_dir, state_dir, journal, .. } = place;
    if state_dir.is_some() || journal.is_some() {
        return None;
    }
    let (config_file, config_dir) = (config_file.clone(), config_dir.clone());
    let state_dir = native::state_folder_of(&sources::from_args(&SourceArgs { config_file, config_dir }))?;
    Some(Where { state_dir: Some(state_dir), any_journal: true, ..Where::default() })
}

/// Returns the file of the journal, if the flags or the configuration name one.
pub(super) fn journal_of(place: &PlaceArgs) -> Option<PathBuf> {
    locate(place).ok()?.journal
}

fn locate(place: &PlaceArgs) -> Result<Where, NoAnswer> {
    let PlaceArgs { config_file, config_dir, state_dir, journal, .. } = place;
    match (state_dir, journal) {
        (state_dir, Some(journal)) => {
            return Ok(Where {
                state_dir: state_dir.clone(),
                journal: Some(std::path::absolute(journal).unwrap_or_else(|_| journal.clone())),
                ..Where::default()
            });
        }
        (Some(state_dir), None) => {
            return Ok(Where {
                journal: Some(state_dir.join("journal.db")),
                state_dir: Some(state_dir.clone()),
                any_journal: true,
                ..Where::default()
            });
        }
        (None, None) => {}
    }
    let sources =
        sources::from_args(&SourceArgs { config_file: config_file.clone(), config_dir: config_dir.clone() });
    let conf = match native::load(&sources) {
        Ok(loaded) => loaded.conf,
        Err(errors) => return Err(NoAnswer::new(Exit::Config, errors.to_string())),
    };
    Ok(Where {
        state_dir: conf.state_folder(),
        journal: match &conf.journal {
            JournalConf::Memory => None,
            JournalConf::Sqlite(options) => Some(options.path.clone()),
        },
        dead_letters: Arc::new(conf.dead_letter_queues()),
        any_journal: false,
        names: Some(Arc::new(ConfiguredNames::new(&conf))),
    })
}

pub(super) fn print_json(value: &impl Serialize) -> Exit {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print_bytes((crate::clean::json(text) + "\n").as_bytes()),
        Err(_) => Exit::Failed,
    }
}

pub(super) fn clean(text: &str) -> Cow<'_, str> {
    crate::clean::text(text)
}

pub(super) fn short(text: &str, most: usize) -> String {
    let clean = clean(text);
    if clean.chars().count() <= most {
        return clean.into_owned();
    }
    let mut cut: String = clean.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_texts_are_short() {
        for (seconds, expected) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (200_000, "2 d")]
        {
            assert_eq!(age(seconds), expected);
        }
        assert_eq!(short("a\x1b[2J", 20), "a\\x1b[2J");
        assert_eq!(short("abcdef", 4), "abc…");
    }
}
