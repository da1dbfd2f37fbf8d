//! The view on a terminal: a moving list of events, an opened event, and rates by type.
//!
//! The thread draws after a key at once, else at most each 100 ms. [`kept`] bounds the events in memory, so the
//! header shows the total.

mod detail;
mod frame;
mod help;
mod kept;
mod list;
mod rules;
mod search;
mod state;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use osnl::native::Native;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::Event;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

use self::kept::KeptEntry;
pub(super) use self::rules::Rules;
use self::state::{Act, ViewState};
use super::event::EventFilter;
use super::save::Save;
use super::voice::TapVoice;
use super::writer::{Arrivals, WriterTotals};
use crate::terminal;

const FRAME: Duration = Duration::from_millis(100);
/// The pause between two frames without events; clock and rates still change.
const IDLE: Duration = Duration::from_secs(1);
const KEYS: usize = 1024;

pub(super) struct TapView {
    pub(super) wanted: EventFilter,
    pub(super) colour: bool,
    pub(super) rates: bool,
    pub(super) save: Option<Save>,
    pub(super) rules: Option<Rules>,
}

impl TapView {
    pub(super) fn run(mut self, mut batches: Receiver<Arrivals>, voice: &TapVoice) -> WriterTotals {
        let mut written = WriterTotals::default();
        let mut state = ViewState::new(self.rates, Timestamp::now());
        match terminal::open() {
            Ok(mut terminal) => {
                let shown = self.show((&mut terminal, voice), &mut state, &mut batches, &mut written);
                written.failure = shown.err();
                terminal::close(terminal);
            }
            Err(error) => written.failure = Some(format!("terminal: {error}")),
        }
        written.undecided = self.wanted.undecided.get();
        // The closed channel tells the sender that no more events are taken.
        drop(batches);
        if let Some(save) = &mut self.save
            && let Err(error) = save.flush()
        {
            written.failure.get_or_insert(format!("--save {}: {error}", save.path().display()));
        }
        voice.repeat();
        written
    }

    fn show(
        &mut self,
        (terminal, voice): (&mut DefaultTerminal, &TapVoice),
        state: &mut ViewState,
        batches: &mut Receiver<Arrivals>,
        written: &mut WriterTotals,
    ) -> Result<(), String> {
        let (sender, events) = sync_channel(KEYS);
        terminal::read_events(move |event| sender.send(event).is_ok())
            .map_err(|error| format!("no thread reads the keys: {error}"))?;
        let (mut drawn, mut changed) = (None::<Instant>, false);
        loop {
            let is_due = drawn.is_none_or(|drawn| drawn.elapsed() >= if changed { FRAME } else { IDLE });
            let mut patience = if is_due { Duration::ZERO } else { FRAME };
            match batches.try_recv() {
                Ok(batch) => {
                    (patience, changed) = (Duration::ZERO, true);
                    self.take(state, &batch, written)?;
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
            if is_due {
                state.tick(Timestamp::now());
            }
            let event = match events.recv_timeout(patience) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) if is_due => None,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            // An error means that the terminal is gone.
            if !self.answer((terminal, voice), state, event).unwrap_or(false) {
                return Ok(());
            }
            (drawn, changed) = (Some(Instant::now()), false);
        }
    }

    fn take(
        &mut self,
        state: &mut ViewState,
        batch: &Arrivals,
        written: &mut WriterTotals,
    ) -> Result<(), String> {
        for message in &batch.messages {
            written.seen += 1;
            let Some(read) = self.wanted.read(message) else { continue };
            written.shown += 1;
            written.unreadable += u64::from(read.is_err());
            if let Some(save) = &mut self.save {
                let saved = save.write(message, batch.at);
                saved.map_err(|error| format!("--save {}: {error}", save.path().display()))?;
            }
            state.add(KeptEntry::new(message, &read, batch.at));
        }
        if let Some(save) = &mut self.save {
            save.flush().map_err(|error| format!("--save {}: {error}", save.path().display()))?;
        }
        Ok(())
    }

    fn answer(
        &self,
        (terminal, voice): (&mut DefaultTerminal, &TapVoice),
        state: &mut ViewState,
        event: Option<Event>,
    ) -> io::Result<bool> {
        if let Some(Event::Key(key)) = event
            && !terminal::act(terminal, key)?
        {
            match state.key(key, self.rules.as_ref()) {
                Act::Nothing => {}
                Act::Leave => return Ok(false),
                Act::Save(path) => {
                    let conf = self.rules.as_ref().map(|rules| &*rules.conf);
                    let said = save_one(state, Path::new(&path), conf);
                    state.note(said);
                }
            }
        }
        let standing = voice.standing().clone();
        terminal::draw(terminal, |frame| frame::draw(frame, state, &standing, self.colour))?;
        Ok(true)
    }
}

fn save_one(state: &ViewState, path: &Path, conf: Option<&Native>) -> String {
    let Some(kept) = state.selected() else { return "nothing is selected".to_owned() };
    if kept.message.cut.is_some() {
        return "not saved: only the beginning of it was kept".to_owned();
    }
    let done = Save::open(path, conf).and_then(|mut save| {
        save.write(&kept.message, kept.received)?;
        Ok(save.flush()?)
    });
    match done {
        Ok(()) => format!("saved to {} as received, secrets included", path.display()),
        Err(error) => format!("{error:#}"),
    }
}
