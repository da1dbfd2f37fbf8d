//! Probes whether a start could use the state directory and the journal's file, without creating either.

use std::path::Path;

use osnl_brokers::Driver;
use osnl_config::in_words;
use osnl_config::size;
use osnl_journal::files::{LockHolder, may_write_in};
use osnl_journal::state_lock::StateLock;

use super::OwnDaemon;
use crate::action::driver::{Probe, ProbeVerdict};
use crate::actions::file::free;
use crate::journal::JournalBounds;
use crate::journal::sqlite::{self, SqliteOptions};
use crate::native::{JournalConf, ListenerConf, Native};
use crate::numbers::grouped;

const OF_ANOTHER: &str =
    "expected if that is the daemon of this configuration; otherwise stop it, or choose another file";

impl Native {
    /// Probes the journal's file, and the state directory if faulty. A look with connections checks the owning process
    /// and the free space, because this configuration's daemon may be running.
    #[must_use]
    pub fn places(&self, daemon: Option<&OwnDaemon>) -> Vec<Probe> {
        let journal = match &self.journal {
            JournalConf::Sqlite(options) => Some(file(options, daemon)),
            JournalConf::Memory => Some(Probe::new("journal", "memory").fine("keeps nothing")),
        };
        journal.into_iter().chain(self.state(daemon)).collect()
    }

    fn state(&self, daemon: Option<&OwnDaemon>) -> Option<Probe> {
        let folder = self.state_folder()?;
        let probe = Probe::new("DEFAULT", format!("state_dir {}", folder.display()));
        if let Err(error) = crate::state_dir::judge_for_any(&folder) {
            return Some(probe.failed(error.to_string(), None));
        }
        if let Err(error) = may_write_in(&folder) {
            let advice = "name another folder with state_dir, or give this user write access";
            let keeps_groups = |conf: &ListenerConf| conf.driver() == Driver::Kafka;
            let found = in_words(&format!("cannot be written: {error}"));
            return Some(match self.listeners.iter().any(keeps_groups) {
                true => probe.failed(found, Some(advice)),
                false => probe.warning(found, advice),
            });
        }
        let probe = in_use(probe, daemon?, StateLock::holder(&folder)?);
        (probe.verdict != ProbeVerdict::Fine).then_some(probe)
    }
}

fn in_use(probe: Probe, daemon: &OwnDaemon, holder: LockHolder) -> Probe {
    match daemon {
        OwnDaemon::Runs { pid, .. } if holder == LockHolder::Process(*pid) => {
            probe.fine(format!("in use by {holder}: the daemon of this configuration"))
        }
        OwnDaemon::Runs { .. } | OwnDaemon::Stopped | OwnDaemon::Unknown(_) => {
            probe.warning(format!("in use by {holder}"), OF_ANOTHER)
        }
    }
}

fn file(options: &SqliteOptions, daemon: Option<&OwnDaemon>) -> Probe {
    let probe = Probe::new("journal", format!("file {}", options.path.display()));
    match (sqlite::inspect(options), daemon) {
        (Ok(place), Some(daemon)) => match (place.holder, place.exists) {
            (Some(holder), _) => in_use(probe, daemon, holder),
            (None, true) => with_room(probe.fine("exists, is writable, and is not in use"), options),
            (None, false) => with_room(probe.fine("does not exist yet, and can be created"), options),
        },
        (Ok(_), None) => probe.fine("can be used"),
        (Err(error), _) => probe.failed(in_words(&error.to_string()), None),
    }
}

fn with_room(probe: Probe, options: &SqliteOptions) -> Probe {
    let folder = options.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // The folder may not exist yet.
    let folder = folder.into_iter().flat_map(Path::ancestors).find(|folder| folder.is_dir());
    let Some(free) = folder.and_then(free) else { return probe };
    let taken = std::fs::metadata(&options.path).map_or(0, |file| file.len());
    let room = free.saturating_add(taken);
    let shown = |bytes: u64| format!("{} MiB", grouped(bytes >> 20));
    let least = size::parse(JournalBounds::LEAST_SIZE).unwrap_or_default();
    if room < least {
        let found = format!("{}, but its disk has {} left", probe.found, shown(free));
        let advice =
            format!("a journal takes {} at least: make room, or name a file on another disk", shown(least));
        return probe.failed(found, Some(&advice));
    }
    match options.bounds.max_size.map(|most| most.0).filter(|most| *most > room) {
        Some(most) => {
            let found = format!(
                "{}, but its disk has {} left, and max_size is {}",
                probe.found,
                shown(free),
                shown(most)
            );
            probe.warning(found, "make room, or lower max_size: a full disk stops the intake")
        }
        None => {
            let found = format!("{}, {} free", probe.found, shown(free));
            probe.fine(found)
        }
    }
}
