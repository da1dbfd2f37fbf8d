use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use osnl_core::event::Event;
use rusqlite::{OptionalExtension as _, Params};

use super::super::connection::closed;
use super::super::load;
use super::super::rows::delivery_id;
use super::{JournalWriter, SqliteCommand};
use crate::store::claimable::{BETWEEN, ClaimableKind, FetchKinds, NEWEST, PIECE};
use crate::store::weight::{bytes_of, bytes_of_values};
use crate::{ClaimedDelivery, DeliveryId, Outcome};

/// Deliveries read from the file for memory.
#[derive(Debug, Default)]
struct LoadedPiece {
    claimed: Vec<(i64, ClaimedDelivery)>,
    /// Deliveries whose message cannot be read, each with the reason.
    unusable: Vec<(DeliveryId, String)>,
    /// Whether the file may have further ones.
    more: bool,
    bytes: usize,
}

impl JournalWriter {
    pub(super) fn offer(&self, promoted: Vec<(String, DeliveryId)>) {
        let Some(connection) = &self.connection else { return };
        let claimable = &self.shared.claimable;
        for (action, id) in promoted {
            if claimable.has_place(&action, id) {
                match load::load(connection, &self.shared.decoded, id) {
                    Ok(Some((0, Ok(claimed)))) => claimable.add(&action, claimed),
                    Ok(Some((due, Ok(_)))) => claimable.waits_until(&action, due),
                    Ok(None) => {}
                    // The next fetch handles failures.
                    Ok(Some((_, Err(_)))) | Err(_) => claimable.not_fetched(&action),
                }
            }
        }
        claimable.changed.notify_waiters();
    }

    pub(super) fn fetch(&mut self, action: &str, ask: FetchKinds, now: i64) {
        match self.load(action, ask, now) {
            Ok(unusable) => {
                let dead = |(id, reason)| SqliteCommand::End(id, Outcome::Dead(reason).into());
                self.backlog.extend(unusable.into_iter().map(dead));
            }
            Err(error) => {
                let reason = self.storage_error(&error);
                self.failed(&reason);
                self.shared.claimable.not_fetched(action);
            }
        }
    }

    fn load(&self, action: &str, ask: FetchKinds, now: i64) -> rusqlite::Result<Vec<(DeliveryId, String)>> {
        let Some(connection) = &self.connection else { return Err(closed()) };
        let claimable = &self.shared.claimable;
        let mut unusable = Vec::new();
        if ask.newest {
            let known = claimable.known(action);
            let (most, room) = (rows_for(NEWEST, &known), claimable.room(action, ClaimableKind::Newest));
            let mut newest = self.load_each(load::READY_NEWEST, (action, most), NEWEST, &known, room)?;
            unusable.append(&mut newest.unusable);
            if newest.more {
                let mut between = self.load_between(action, &known, room.saturating_sub(newest.bytes))?;
                unusable.append(&mut between.unusable);
                newest.claimed.append(&mut between.claimed);
            }
            claimable.fetched_newest(action, newest.claimed, newest.more);
        }
        if ask.fresh {
            let known = claimable.known(action);
            let (most, room) = (rows_for(PIECE, &known), claimable.room(action, ClaimableKind::Fresh));
            let mut oldest = self.load_each(load::READY, (action, most), PIECE, &known, room)?;
            unusable.append(&mut oldest.unusable);
            claimable.fetched(action, oldest.claimed, oldest.more);
        }
        if ask.due {
            let known = claimable.known(action);
            let (most, room) = (rows_for(PIECE, &known), claimable.room(action, ClaimableKind::Due));
            let mut due = self.load_each(load::DUE, (action, now, most), PIECE, &known, room)?;
            let mut next = connection.prepare_cached(load::NEXT_DUE)?;
            let next = next.query_row((action, now), |row| row.get(0)).optional()?;
            unusable.append(&mut due.unusable);
            claimable.fetched_due(action, due.claimed, if due.more { Some(now) } else { next });
        }
        Ok(unusable)
    }

    fn load_each(
        &self,
        sql: &str,
        parameters: impl Params,
        piece: usize,
        known: &HashSet<DeliveryId>,
        room: usize,
    ) -> rusqlite::Result<LoadedPiece> {
        let Some(connection) = &self.connection else { return Err(closed()) };
        let mut select = connection.prepare_cached(sql)?;
        let ids = select.query_map(parameters, |row| row.get(0).map(delivery_id))?;
        let ids: Vec<DeliveryId> = ids.collect::<rusqlite::Result<_>>()?;
        let found = ids.len();
        let unknown: Vec<DeliveryId> = ids.into_iter().filter(|id| !known.contains(id)).take(piece).collect();
        // Known deliveries need not be among the found rows.
        let more = found == known.len() + piece || unknown.len() == piece;
        let loaded = self.load_these(unknown, room)?;
        Ok(LoadedPiece { more: more || loaded.more, ..loaded })
    }

    fn load_between(
        &self,
        action: &str,
        known: &HashSet<DeliveryId>,
        room: usize,
    ) -> rusqlite::Result<LoadedPiece> {
        let Some(connection) = &self.connection else { return Err(closed()) };
        let end = |sql| -> rusqlite::Result<Option<i64>> {
            connection.prepare_cached(sql)?.query_row((action, 1), |row| row.get(0)).optional()
        };
        let (Some(first), Some(last)) = (end(load::READY)?, end(load::READY_NEWEST)?) else {
            return Ok(LoadedPiece::default());
        };
        let mut select = connection.prepare_cached(load::READY_FROM)?;
        let mut ids = BTreeSet::new();
        for _ in 0..BETWEEN {
            let from = fastrand::i64(first..=last);
            let found = select.query_row((action, from), |row| row.get(0).map(delivery_id)).optional()?;
            ids.extend(found.filter(|id| !known.contains(id)));
        }
        self.load_these(ids, room)
    }

    fn load_these(
        &self,
        ids: impl IntoIterator<Item = DeliveryId>,
        room: usize,
    ) -> rusqlite::Result<LoadedPiece> {
        let Some(connection) = &self.connection else { return Err(closed()) };
        let (mut loaded, mut weighed) = (LoadedPiece::default(), HashSet::new());
        for id in ids {
            if loaded.bytes >= room {
                loaded.more = true;
                break;
            }
            match load::load(connection, &self.shared.decoded, id)? {
                Some((due, Ok(claimed))) => {
                    let Event { received, notification, enriched, .. } = &claimed.event;
                    loaded.bytes += bytes_of_values(enriched.as_deref());
                    if weighed.insert(Arc::as_ptr(notification)) {
                        loaded.bytes += bytes_of(received, notification);
                    }
                    loaded.claimed.push((due, claimed));
                }
                Some((_, Err(reason))) => loaded.unusable.push((id, reason)),
                None => {}
            }
        }
        Ok(loaded)
    }
}

fn rows_for(piece: usize, known: &HashSet<DeliveryId>) -> i64 {
    i64::try_from(known.len() + piece).unwrap_or(i64::MAX)
}
