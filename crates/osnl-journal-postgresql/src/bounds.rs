//! The bounds of dead letters and of the quarantine.
//!
//! Each owner reads the same rows and removes those of its own partitions. Dead letters leave first from the action
//! and cause with the most of them, so that one tenant's flood keeps the letters of other tenants. Dead letters that
//! hold their lane stay. The quarantine is in no partition: the owner of partition 0 keeps its bounds, from the queue
//! with the most messages.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;

use osnl_journal::query::Bodies;
use osnl_journal::sqlite::archive::{self, Archive};
use osnl_journal::store::shares::{QuarantineBounds, QueueShare};
use serde_json::Value;
use tokio_postgres::{Error, Row};

use crate::delivery::delivery;
use crate::lane::DEAD;
use crate::load::received;
use crate::partition::PartitionNumber;
use crate::session::Session;
use crate::transaction::{CommitFailure, Transaction};
use crate::view::quarantine::{COLUMNS, unreadable};

const BATCH_ROWS: i64 = 250;
const MESSAGES: i64 = 20;
/// Nothing else is done while bodies are written. The limit counts bytes as received; a single larger body is
/// still written.
const MESSAGE_BYTES: i64 = 16 << 20;
pub(crate) const OF_QUARANTINE: PartitionNumber = 0;

const COUNT: &str = "SELECT coalesce(sum(count), 0)::bigint FROM osnl_tally WHERE state = 3";
const BY_CAUSE: &str = "SELECT action, cause, count(*) FROM osnl_delivery WHERE state = 3 AND lane IS NULL GROUP BY action, cause";
const OLDEST: &str = "SELECT id, partition FROM osnl_delivery WHERE state = 3 AND lane IS NULL AND action = $1 \
     AND cause IS NOT DISTINCT FROM $2 ORDER BY ended, id LIMIT $3";
const LETTER: &str = "SELECT a.id, a.received, a.redelivered, a.listener, a.queue, a.exchange, a.routing_key, a.content_type, \
       a.content_encoding, a.compression, a.body, a.happened, d.id, d.rule, d.action, d.key, coalesce(d.reason, '') \
     FROM osnl_delivery d JOIN osnl_arrival a ON a.id = d.arrival WHERE d.id = $1 AND d.state = 3";
const BURY: &str = "DELETE FROM osnl_delivery WHERE id = ANY($1) AND state = 3 AND lane IS NULL AND partition = ANY($2) \
     RETURNING id, arrival, partition, action";
const SHARES: &str = "SELECT listener, queue, count(*), sum(octet_length(body))::bigint FROM osnl_unreadable GROUP BY listener, queue \
     ORDER BY listener, queue";
const OLDEST_OF_QUEUES: &str = "SELECT id, listener, queue, stored, size FROM (SELECT id, listener, queue, octet_length(body)::bigint AS stored, \
     size, row_number() OVER (PARTITION BY listener, queue ORDER BY id) AS place FROM osnl_unreadable) AS m \
     WHERE place <= $1 ORDER BY id DESC";
const UNLOAD: &str = "DELETE FROM osnl_unreadable WHERE id = ANY($1)";

pub(crate) async fn beyond(
    session: &mut Session,
    own: &[PartitionNumber],
    max_dead: u64,
) -> Result<Vec<i64>, Error> {
    let most = i64::try_from(max_dead).unwrap_or(i64::MAX);
    if count(session).await? <= most {
        return Ok(Vec::new());
    }
    // Without a snapshot, a letter that another owner removes would be counted but not listed, and too many
    // would leave.
    session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let leave = oldest(session, own, most).await?;
    session.batch("COMMIT").await?;
    Ok(leave)
}

async fn count(session: &mut Session) -> Result<i64, Error> {
    let counted = session.query(COUNT, &[]).await?;
    counted.first().map_or(Ok(0), |row| row.try_get(0))
}

async fn oldest(session: &mut Session, own: &[PartitionNumber], most: i64) -> Result<Vec<i64>, Error> {
    let dead = count(session).await?;
    let mut groups: Vec<(String, Option<String>, i64, i64)> = Vec::new();
    for row in session.query(BY_CAUSE, &[]).await? {
        groups.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, 0));
    }
    groups.sort_unstable();
    for _ in 0..(dead - most).min(BATCH_ROWS) {
        if let Some((.., left, leave)) =
            groups.iter_mut().max_by_key(|(.., left, _)| *left).filter(|(.., left, _)| *left > 0)
        {
            (*left, *leave) = (*left - 1, *leave + 1);
        }
    }
    let mut ids = Vec::new();
    for (action, cause, _, leave) in groups.iter().filter(|(.., leave)| *leave > 0) {
        for row in session.query(OLDEST, &[action, cause, leave]).await? {
            if own.contains(&row.try_get(1)?) {
                ids.push(row.try_get(0)?);
            }
        }
    }
    Ok(ids)
}

/// Writes one line at a time, so that one message is in memory.
pub(crate) async fn write_letters(
    session: &mut Session,
    file: &Path,
    ids: &[i64],
) -> Result<io::Result<()>, Error> {
    if ids.is_empty() {
        return Ok(Ok(()));
    }
    let mut archive = match Archive::of_dead(file) {
        Ok(archive) => archive,
        Err(error) => return Ok(Err(error)),
    };
    for id in ids {
        for row in session.query(LETTER, &[id]).await? {
            if let Err(error) = archive.add(&letter(&row)?) {
                return Ok(Err(error));
            }
        }
    }
    Ok(archive.finish())
}

fn letter(row: &Row) -> Result<Value, Error> {
    let key: Option<Vec<u8>> = row.try_get(15)?;
    let key = key.map(|key| String::from_utf8_lossy(&key).into_owned());
    let (id, rule, action): (i64, String, String) = (row.try_get(12)?, row.try_get(13)?, row.try_get(14)?);
    let reason: String = row.try_get(16)?;
    Ok(archive::dead(delivery(id), &rule, &action, key.as_deref(), &reason, &received(row)?))
}

pub(crate) async fn unloaded(session: &mut Session, max_dead: u64) -> Result<Vec<i64>, Error> {
    let bounds = QuarantineBounds::of(max_dead);
    let mut shares = Vec::new();
    for row in session.query(SHARES, &[]).await? {
        let (listener, queue): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (messages, bytes) = (row.try_get(2)?, row.try_get(3)?);
        shares.push(QueueShare { listener: listener.into(), queue: queue.into(), messages, bytes });
    }
    if bounds.leaves(&shares).is_none() {
        return Ok(Vec::new());
    }
    let mut oldest: HashMap<(String, String), Vec<StoredSize>> = HashMap::new();
    for row in session.query(OLDEST_OF_QUEUES, &[&MESSAGES]).await? {
        let size = StoredSize { id: row.try_get(0)?, stored: row.try_get(3)?, received: row.try_get(4)? };
        oldest.entry((row.try_get(1)?, row.try_get(2)?)).or_default().push(size);
    }
    Ok(leaving(&bounds, &mut shares, oldest))
}

/// Writes one line at a time, so that one body is in memory. Returns the numbers of the messages that are
/// written, and the error of the others.
pub(crate) async fn write_messages(
    session: &mut Session,
    file: &Path,
    ids: Vec<i64>,
) -> Result<(Vec<i64>, Result<(), String>), Error> {
    let sql = format!("SELECT {COLUMNS}, body FROM osnl_unreadable WHERE id = $1");
    let (mut written, mut problem) = (Vec::with_capacity(ids.len()), Ok(()));
    for id in ids {
        for row in session.query(&sql, &[&id]).await? {
            match unreadable(&row, Bodies::Read) {
                Ok(message) => match archive::write_quarantined(file, &message) {
                    Ok(()) => written.push(id),
                    Err(error) => return Ok((written, Err(error.to_string()))),
                },
                Err(error) => problem = Err(error),
            }
        }
    }
    Ok((written, problem))
}

pub(crate) struct StoredSize {
    pub(crate) id: i64,
    pub(crate) stored: i64,
    pub(crate) received: i64,
}

pub(crate) fn leaving(
    bounds: &QuarantineBounds,
    shares: &mut [QueueShare],
    mut oldest: HashMap<(String, String), Vec<StoredSize>>,
) -> Vec<i64> {
    let (mut ids, mut bytes) = (Vec::new(), 0);
    while let Some(index) = bounds.leaves(shares) {
        let share = &mut shares[index];
        let of_queue = oldest.get_mut(&(share.listener.to_string(), share.queue.to_string()));
        let Some(message) = of_queue.and_then(Vec::pop) else { break };
        bytes += message.received;
        if ids.len() as i64 == MESSAGES || !ids.is_empty() && bytes > MESSAGE_BYTES {
            break;
        }
        share.lose(message.stored);
        ids.push(message.id);
    }
    ids
}

impl Transaction<'_> {
    pub(crate) async fn bury(&mut self, ids: &[i64]) -> Result<(), CommitFailure> {
        let own = self.member.leases.partitions();
        let (mut gone, mut arrivals, mut partitions) = (Vec::new(), Vec::new(), BTreeSet::new());
        for row in self.query(BURY, &[&ids, &own]).await? {
            let (partition, action): (PartitionNumber, String) = (row.try_get(2)?, row.try_get(3)?);
            gone.push(row.try_get::<_, i64>(0)?);
            arrivals.push(row.try_get::<_, i64>(1)?);
            partitions.insert(partition);
            self.count(partition, &action, DEAD, -1);
        }
        self.own(partitions).await?;
        self.leave(&gone, &arrivals, i64::MAX).await
    }

    pub(crate) async fn unload(&mut self, ids: &[i64]) -> Result<(), CommitFailure> {
        self.own([OF_QUARANTINE]).await?;
        self.execute(UNLOAD, &[&ids]).await?;
        Ok(())
    }
}
