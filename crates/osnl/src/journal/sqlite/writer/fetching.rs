//! From the file into the short piece of claimable deliveries that is in memory.

use std::collections::HashSet;

use super::super::connection::closed;
use super::super::heads::PIECE;
use super::super::rows::delivery_id;
use super::super::{trouble, work};
use super::{Command, Writer};
use crate::journal::{Claimed, DeliveryId, Outcome};

impl Writer {
    /// Puts what has become claimable into memory, where there is place for it.
    pub(super) fn offer(&self, claimable: Vec<(String, DeliveryId)>) {
        let Some(connection) = &self.connection else { return };
        let heads = &self.shared.heads;
        for (action, id) in claimable {
            if heads.has_place(&action) {
                match work::load(connection, id) {
                    Ok(Some(Ok(claimed))) => heads.add(&action, claimed),
                    Ok(None) => {}
                    // Fetched later, where failures are dealt with.
                    Ok(Some(Err(_))) | Err(_) => heads.not_fetched(&action),
                }
            }
        }
        heads.claimable.notify_waiters();
    }

    pub(super) fn fetch(&mut self, action: &str) {
        let known = self.shared.heads.known(action);
        match self.load_ready(action, &known) {
            Ok((claimed, unusable, more)) => {
                self.shared.heads.fetched(action, claimed, more);
                self.shared.counters.dead.add(unusable.len() as u64);
                let dead = |(id, reason)| Command::Outcome(id, Outcome::Dead(reason), None);
                self.backlog.extend(unusable.into_iter().map(dead));
            }
            Err(error) => {
                self.failed(&trouble::reason(&error));
                self.shared.heads.not_fetched(action);
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "three lists that live for three lines")]
    pub(super) fn load_ready(
        &self,
        action: &str,
        known: &HashSet<DeliveryId>,
    ) -> rusqlite::Result<(Vec<Claimed>, Vec<(DeliveryId, String)>, bool)> {
        let Some(connection) = &self.connection else { return Err(closed()) };
        let most = known.len() + PIECE;
        let mut select = connection.prepare_cached(work::READY)?;
        let ids = select.query_map((action, i64::try_from(most).unwrap_or(i64::MAX)), |row| {
            row.get(0).map(delivery_id)
        })?;
        let ids = ids.collect::<rusqlite::Result<Vec<_>>>()?;
        let (mut claimed, mut unusable) = (Vec::new(), Vec::new());
        for id in ids.iter().filter(|id| !known.contains(id)).take(PIECE) {
            match work::load(connection, *id)? {
                Some(Ok(head)) => claimed.push(head),
                Some(Err(reason)) => unusable.push((*id, reason)),
                None => {}
            }
        }
        Ok((claimed, unusable, ids.len() == most))
    }
}
