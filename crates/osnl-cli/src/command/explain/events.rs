//! The events of `osnl explain`: of files, of the journal, and of the ring of unmatched messages.

use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use osnl::explain::ExplainedEvent;
use osnl::native::Native;
use osnl::unmatched::{self, UnmatchedMessage};

use super::ExplainArgs;
use crate::command::saved_events::{self, SavedEventsRefusal, masked};
use crate::exit::Exit;

pub(super) fn each(
    args: &ExplainArgs,
    conf: &Native,
    mut what: impl FnMut(ExplainedEvent),
) -> Result<(), SavedEventsRefusal> {
    if !args.file.is_empty() {
        let now = SystemTime::now();
        let files = saved_events::files(&args.file, &conf.budget())?;
        let first = args.limit.map_or(0, |limit| files.len().saturating_sub(limit as usize));
        files
            .into_iter()
            .skip(first)
            .for_each(|(_, event)| what(ExplainedEvent { read: event.read.or(Some(now)), ..event }));
        return Ok(());
    }
    if args.journal || args.unmatched.is_none() {
        return read_journal(args, conf, &mut what);
    }
    let mut found = ring(conf)?;
    found.retain(|unmatched| args.wants(unmatched));
    let first = found.len().saturating_sub(args.limit() as usize);
    found[first..].iter().for_each(|unmatched| what(ExplainedEvent::from_unmatched(unmatched)));
    Ok(())
}

fn read_journal(
    args: &ExplainArgs,
    conf: &Native,
    what: &mut impl FnMut(ExplainedEvent),
) -> Result<(), SavedEventsRefusal> {
    let journal = saved_events::kept(conf)?;
    args.pick.has_names(Some(conf), &journal)?;
    let numbers = args.pick.numbers(&journal, args.limit(), true)?;
    for kept in saved_events::events(&journal, &numbers)? {
        let asked = journal.asked_for(&kept.deliveries).map_err(saved_events::unreadable)?;
        let event = ExplainedEvent::from_received(format!("event {}", kept.number), &kept.received);
        what(event.with_asked(asked));
    }
    Ok(())
}

fn ring(conf: &Native) -> Result<Vec<UnmatchedMessage>, SavedEventsRefusal> {
    let journal = saved_events::journal(conf)?;
    unmatched::read(journal, usize::MAX).map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            return none_yet(conf, journal);
        }
        let file = masked(&journal.display().to_string());
        let text = format!("{file}.unmatched: {error}; a daemon with keep_unmatched above 0 writes it");
        (Exit::Unavailable, text)
    })
}

/// Explains the missing file: the daemon creates the file with the first unmatched message.
fn none_yet(conf: &Native, journal: &Path) -> SavedEventsRefusal {
    if conf.keep_unmatched.heads == 0 {
        let text = "unmatched events are not kept: keep_unmatched is 0 in the configuration";
        return (Exit::Unavailable, text.to_owned());
    }
    match unmatched::counts(journal) {
        Ok((since, _)) => {
            (Exit::Failed, format!("no unmatched event yet since {}", saved_events::time(since)))
        }
        Err(_) if journal.exists() => (Exit::Failed, "no unmatched event yet".to_owned()),
        Err(_) => saved_events::no_journal(journal),
    }
}
