use std::sync::Arc;

use super::error::BuildError;
use crate::control::Store;
use crate::daemon::Daemon;
use crate::journal::memory::{MemoryJournal, MemoryLimits};
use crate::journal::sqlite::{SqliteJournal, SqliteOptions};
use crate::journal::{ActionTerms, Journal};
use crate::metrics::Counters;
use crate::native::JournalConf;

/// The journal of a configuration, and the ways to ask it.
#[derive(Clone)]
pub struct OpenedJournal {
    pub journal: Arc<dyn Journal>,
    pub store: Store,
    pub sqlite: Option<Arc<SqliteJournal>>,
    pub memory: Option<Arc<MemoryJournal>>,
}

impl OpenedJournal {
    fn new(journal: Arc<dyn Journal>, store: Store) -> Self {
        Self { journal, store, sqlite: None, memory: None }
    }

    pub(super) fn accompany(&self, mut daemon: Daemon) -> Daemon {
        if let Some(journal) = &self.sqlite {
            daemon = daemon.watching(journal.ends());
        }
        if let Some(memory) = &self.store.memory {
            let keep = memory.dead_letters.clone().keep(memory.journal.clone());
            daemon = daemon.serving("dead letter queues", keep);
        }
        daemon
    }
}

impl JournalConf {
    pub fn open(
        &self,
        prefetch: u16,
        terms: ActionTerms,
        counters: &Arc<Counters>,
    ) -> Result<OpenedJournal, BuildError> {
        match self {
            Self::Memory => {
                let limits = MemoryLimits::for_prefetch(prefetch);
                let journal = Arc::new(MemoryJournal::new(limits, counters.clone()));
                let store = Store::for_memory(journal.clone(), Arc::default());
                Ok(OpenedJournal { memory: Some(journal.clone()), ..OpenedJournal::new(journal, store) })
            }
            Self::Sqlite(options) => {
                let options = SqliteOptions { terms, ..options.clone() };
                let path = options.path.clone();
                match SqliteJournal::open(options, counters.clone()) {
                    Ok(journal) => {
                        let journal = Arc::new(journal);
                        let store = Store::for_sqlite(journal.clone());
                        Ok(OpenedJournal {
                            sqlite: Some(journal.clone()),
                            ..OpenedJournal::new(journal, store)
                        })
                    }
                    Err(error) => Err(BuildError::Journal { path, error }),
                }
            }
        }
    }
}
