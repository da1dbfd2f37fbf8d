use std::collections::{HashMap, HashSet};

use osnl::explain::AskedFor;
use osnl::journal::DeliveryId;
use osnl::journal::query::{DeliveryListRow, Filter, KeptEvent};
use osnl::journal::shared::SharedOptions;
use osnl::journal::sqlite::SqliteReader;
use osnl::native::{JournalConf, Native};

use super::{SavedEventsRefusal, journal, reader, unreadable};
use crate::app;
use crate::exit::Exit;

pub(in crate::command) enum KeptEvents {
    File(SqliteReader),
    Shared(SharedOptions),
}

impl KeptEvents {
    pub(in crate::command) fn of(conf: &Native) -> Result<Self, SavedEventsRefusal> {
        match &conf.journal {
            JournalConf::Shared(options) => Ok(Self::Shared(options.clone())),
            JournalConf::Sqlite(_) | JournalConf::Memory => reader(journal(conf)?).map(Self::File),
        }
    }

    pub(super) fn find(
        &self,
        filter: &Filter,
        limit: u32,
        last: bool,
    ) -> Result<Vec<KeptEvent>, SavedEventsRefusal> {
        match self {
            Self::File(reader) => {
                let numbers = reader.event_numbers(filter, limit, last).map_err(unreadable)?;
                let mut kept = Vec::with_capacity(numbers.len());
                for number in numbers {
                    // The event may have been pruned since its number was read.
                    kept.extend(reader.event(number).map_err(unreadable)?);
                }
                Ok(kept)
            }
            Self::Shared(options) => asked(options.database.events(options, filter.clone(), limit, last)),
        }
    }

    pub(in crate::command) fn asked_for(
        &self,
        events: &[KeptEvent],
    ) -> Result<Vec<Vec<AskedFor>>, SavedEventsRefusal> {
        match self {
            Self::File(reader) => {
                let found = events.iter().map(|kept| reader.asked_for(&kept.deliveries).map_err(unreadable));
                found.collect()
            }
            Self::Shared(options) => {
                let deliveries = events.iter().map(|kept| kept.deliveries.clone()).collect();
                asked(options.database.asked_for(options, deliveries))
            }
        }
    }

    pub(in crate::command) fn member_names(&self) -> Result<Vec<String>, SavedEventsRefusal> {
        match self {
            Self::File(_) => Ok(Vec::new()),
            Self::Shared(options) => asked(options.database.member_names(options)),
        }
    }

    pub(in crate::command) fn deliveries_of(
        &self,
        message_ids: &HashSet<String>,
    ) -> Result<HashMap<String, Vec<DeliveryListRow>>, SavedEventsRefusal> {
        match self {
            Self::File(reader) => reader.deliveries_of(message_ids).map_err(unreadable),
            Self::Shared(options) => asked(options.database.deliveries_of(options, message_ids.clone())),
        }
    }
}

pub(super) fn behind(last: &KeptEvent) -> Option<DeliveryId> {
    last.deliveries.iter().map(|row| row.id).max()
}

fn asked<T>(asking: impl Future<Output = Result<T, String>>) -> Result<T, SavedEventsRefusal> {
    match app::block_on(asking) {
        Ok(answer) => answer.map_err(|why| (Exit::Unavailable, why)),
        Err(error) => Err((Exit::Failed, error.to_string())),
    }
}
