//! From the file into the short piece of claimable deliveries that is in memory.

use std::collections::HashSet;

use rusqlite::OptionalExtension as _;

use super::super::claimable::{Ask, PIECE};
use super::super::connection::closed;
use super::super::rows::delivery_id;
use super::super::{trouble, work};
use super::{Command, Writer};
use crate::journal::{Claimed, DeliveryId, Outcome};

/// What was read for an action.
#[derive(Debug, Default)]
struct Loaded {
    /// Each with its due time.
    claimed: Vec<(i64, Claimed)>,
    /// Those whose message cannot be read, and why.
    unusable: Vec<(DeliveryId, String)>,
    /// There may be others.
    more: bool,
}

impl Writer {
    /// Puts what has become claimable into memory, where there is place for it.
    pub(super) fn offer(&self, promoted: Vec<(String, DeliveryId)>) {
        let Some(connection) = &self.connection else { return };
        let claimable = &self.shared.claimable;
        for (action, id) in promoted {
            if claimable.has_place(&action) {
                match work::load(connection, &self.shared.decoded, id) {
                    Ok(Some((0, Ok(claimed)))) => claimable.add(&action, claimed),
                    Ok(Some((due, Ok(_)))) => claimable.waits_until(&action, due),
                    Ok(None) => {}
                    // Fetched later, where failures are dealt with.
                    Ok(Some((_, Err(_)))) | Err(_) => claimable.not_fetched(&action),
                }
            }
        }
        claimable.changed.notify_waiters();
    }

    pub(super) fn fetch(&mut self, action: &str, ask: Ask, now: i64) {
        let known = self.shared.claimable.known(action);
        let fetched = self.load(action, &known, ask, now);
        match fetched {
            Ok((fresh, due)) => {
                let mut unusable = Vec::new();
                if let Some(fresh) = fresh {
                    let claimed = fresh.claimed.into_iter().map(|(_, claimed)| claimed).collect();
                    self.shared.claimable.fetched(action, claimed, fresh.more);
                    unusable.extend(fresh.unusable);
                }
                if let Some((due, next)) = due {
                    let next = if due.more { Some(now) } else { next };
                    self.shared.claimable.fetched_due(action, due.claimed, next);
                    unusable.extend(due.unusable);
                }
                let dead = |(id, reason)| Command::End(id, Outcome::Dead(reason).into());
                self.backlog.extend(unusable.into_iter().map(dead));
            }
            Err(error) => {
                self.failed(&trouble::reason(&error));
                self.shared.claimable.not_fetched(action);
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "what was asked for, for three lines")]
    fn load(
        &self,
        action: &str,
        known: &HashSet<DeliveryId>,
        ask: Ask,
        now: i64,
    ) -> rusqlite::Result<(Option<Loaded>, Option<(Loaded, Option<i64>)>)> {
        let Some(connection) = &self.connection else { return Err(closed()) };
        let most = i64::try_from(known.len() + PIECE).unwrap_or(i64::MAX);
        let fresh = if ask.fresh {
            let mut select = connection.prepare_cached(work::READY)?;
            let ids = select.query_map((action, most), |row| row.get(0).map(delivery_id))?;
            Some(self.load_each(ids.collect::<rusqlite::Result<_>>()?, known)?)
        } else {
            None
        };
        let due = if ask.due {
            let mut select = connection.prepare_cached(work::DUE)?;
            let ids = select.query_map((action, now, most), |row| row.get(0).map(delivery_id))?;
            let loaded = self.load_each(ids.collect::<rusqlite::Result<_>>()?, known)?;
            let mut next = connection.prepare_cached(work::NEXT_DUE)?;
            Some((loaded, next.query_row((action, now), |row| row.get(0)).optional()?))
        } else {
            None
        };
        Ok((fresh, due))
    }

    fn load_each(&self, ids: Vec<DeliveryId>, known: &HashSet<DeliveryId>) -> rusqlite::Result<Loaded> {
        let Some(connection) = &self.connection else { return Err(closed()) };
        let mut loaded = Loaded { more: ids.len() == known.len() + PIECE, ..Loaded::default() };
        let mut taken = 0;
        for id in ids.into_iter().filter(|id| !known.contains(id)).take(PIECE) {
            taken += 1;
            match work::load(connection, &self.shared.decoded, id)? {
                Some((due, Ok(claimed))) => loaded.claimed.push((due, claimed)),
                Some((_, Err(reason))) => loaded.unusable.push((id, reason)),
                None => {}
            }
        }
        // What is known need not be among what was found.
        loaded.more |= taken == PIECE;
        Ok(loaded)
    }
}
