//! Any member may delete a message; the number of deleted rows shows whether the message was there.

use osnl_core::epoch::millis;
use osnl_core::quarantine::{Extent, Glimpse, StoredBody};
use osnl_core::received::{MessageNotes, ReceivedMessage};
use osnl_journal::query::{Bodies, Unreadable, UnreadableFilter};
use osnl_model::BodyDigest;
use tokio_postgres::{Error, Row};

use super::JournalView;
use super::conditions::quoted;
use crate::load::head;
use crate::options::Options;
use crate::session::{Session, words};

pub(crate) const COLUMNS: &str = "id, reason, size, extent, message_id, publisher_id, event_type, received, redelivered, listener, queue, \
     exchange, routing_key, content_type, content_encoding, compression, digest";
/// A list shows no bodies; a message of an older osnl has no digest without its body.
const BODY_LEFT: &str = "CASE WHEN digest IS NULL THEN body ELSE ''::bytea END AS body";
const FORGET: &str = "DELETE FROM osnl_unreadable WHERE id = ANY($1)";

impl JournalView {
    pub(crate) async fn quarantined(
        &self,
        options: &Options,
        filter: &UnreadableFilter,
        (after, limit): (i64, u32),
        bodies: Bodies,
    ) -> Result<Vec<Unreadable>, String> {
        let conditions = conditions(filter);
        let body = if bodies == Bodies::Left { BODY_LEFT } else { "body" };
        let sql = format!(
            "SELECT {COLUMNS}, {body} FROM osnl_unreadable WHERE id > {after}{conditions} ORDER BY id LIMIT {limit}"
        );
        let rows = self.read(options, async |session: &mut Session| session.client.query(&sql, &[]).await);
        rows.await?.iter().map(|row| unreadable(row, bodies)).collect()
    }

    pub(crate) async fn numbers_quarantined(
        &self,
        options: &Options,
        filter: &UnreadableFilter,
    ) -> Result<Vec<i64>, String> {
        let conditions = conditions(filter);
        let sql = format!("SELECT id FROM osnl_unreadable WHERE true{conditions} ORDER BY id");
        let numbers = async |session: &mut Session| {
            let rows = session.client.query(&sql, &[]).await?;
            rows.iter().map(|row| row.try_get(0)).collect()
        };
        self.read(options, numbers).await
    }

    pub(crate) async fn forget_quarantined(&self, options: &Options, ids: &[i64]) -> Result<u64, String> {
        self.ask(options, "written", async |session: &mut Session| session.execute(FORGET, &[&ids]).await)
            .await
    }
}

/// Returns the numbers of messages with unreadable bytes, with one message in memory at a time.
pub(crate) async fn damaged(session: &mut Session) -> Result<Vec<i64>, Error> {
    const NEXT: &str = "SELECT id, extent, body FROM osnl_unreadable WHERE id > $1 ORDER BY id LIMIT 1";
    let (mut after, mut damaged) = (i64::MIN, Vec::new());
    while let [row] = &session.query(NEXT, &[&after]).await?[..] {
        after = row.try_get(0)?;
        let (extent, bytes) = (Extent::of(row.try_get(1)?), row.try_get(2)?);
        let is_readable = extent.is_some_and(|extent| StoredBody { extent, bytes }.read().is_ok());
        damaged.extend((!is_readable).then_some(after));
    }
    Ok(damaged)
}

fn conditions(filter: &UnreadableFilter) -> String {
    let UnreadableFilter { ids, queue, reason, since, until } = filter;
    let mut all: Vec<String> = Vec::new();
    all.extend(queue.as_ref().map(|queue| format!("queue = {}", quoted(queue))));
    all.extend(reason.as_ref().map(|reason| format!("strpos(reason, {}) > 0", quoted(reason))));
    all.extend(since.map(|at| format!("received >= {}", millis(at))));
    all.extend(until.map(|at| format!("received < {}", millis(at))));
    if !ids.is_empty() {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        all.push(format!("id IN ({})", ids.join(", ")));
    }
    all.iter().map(|condition| format!(" AND {condition}")).collect()
}

pub(crate) fn unreadable(row: &Row, bodies: Bodies) -> Result<Unreadable, String> {
    let stored = stored(row).map_err(|error| words(&error))?;
    let (mut found, extent, bytes, digest) = stored;
    let extent = Extent::of(extent).ok_or_else(|| {
        format!("message {} of the quarantine is kept in a form of a newer osnl: use that one", found.id)
    })?;
    found.extent = extent;
    if let (Bodies::Left, Some(digest)) = (bodies, &digest) {
        found.digest.clone_from(digest);
        return Ok(found);
    }
    let body = StoredBody { extent, bytes }.read();
    let body = body.map_err(|error| format!("message {} of the quarantine: {error}", found.id))?;
    found.digest = digest.unwrap_or_else(|| BodyDigest::of(&body).to_string());
    if bodies == Bodies::Read {
        found.received.body = body;
    }
    Ok(found)
}

fn stored(row: &Row) -> Result<(Unreadable, i64, Vec<u8>, Option<String>), Error> {
    let (origin, properties) = head(row, 7)?;
    let received =
        ReceivedMessage { origin, properties, body: Vec::new().into(), noted: MessageNotes::default() };
    let property = |n: usize| row.try_get::<_, Option<String>>(n);
    let glimpse = Glimpse { message_id: property(4)?, publisher_id: property(5)?, event_type: property(6)? };
    let size: i64 = row.try_get(2)?;
    let found = Unreadable {
        id: row.try_get(0)?,
        reason: row.try_get(1)?,
        size: size.unsigned_abs(),
        digest: String::new(),
        extent: Extent::Whole,
        glimpse,
        received,
    };
    Ok((found, row.try_get(3)?, row.try_get(17)?, property(16)?))
}
