use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use osnl::journal::sqlite::{SqliteJournal, SqliteOptions};
use osnl::journal::store::digest::message_number;
use rusqlite::{Connection, TransactionBehavior, params};

const DEAD: i64 = 3;
const DELIVERED: i64 = 4;
/// Resources of the events, in turn, so that most dead letters have a later event.
const KEYS: u64 = 100_000;

pub(crate) fn run(file: &str, count: u64, dead: u64) -> Result<()> {
    ensure!(dead <= count, "more dead letters than deliveries");
    let options = || SqliteOptions::new(PathBuf::from(file)).bounded(|bounds| bounds.allow_volatile = true);
    drop(SqliteJournal::open(options(), Default::default()).with_context(|| file.to_owned())?);
    let mut connection = Connection::open(Path::new(file))?;
    connection.pragma_update(None, "synchronous", "off")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (each, mut written) = (count / dead.max(1), 0);
    {
        let mut event = transaction.prepare(
            "INSERT INTO event (id, identity, received, redelivered, deliveries, listener, queue, exchange, routing_key, \
             content_type, content_encoding, message_id, event_type, body) VALUES (?1, ?2, ?3, 0, 1, 'neutron', \
             'k2hr3_osnl', 'neutron', 'notifications.info', 'application/json', 'utf-8', ?4, 'port.delete.end', ?5)",
        )?;
        let mut delivery = transaction.prepare(
            "INSERT INTO delivery (id, rule, action, key, state, ended, reason, message, resource_id) \
             VALUES (?1, 'deleted', 'earlier', ?2, ?3, ?4, ?5, ?6, ?2)",
        )?;
        let body = br#"{"event_type": "port.delete.end", "publisher_id": "network.vm", "payload": {}}"#;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
        let now = i64::try_from(now)?;
        for n in 1..=i64::try_from(count)? {
            let key = format!("00000000-0000-4000-8000-{:012x}", n.unsigned_abs() % KEYS);
            let is_dead = written < dead && n.unsigned_abs() % each.max(1) == 0;
            written += u64::from(is_dead);
            let (state, reason) = if is_dead { (DEAD, "status 404") } else { (DELIVERED, "DELETE") };
            let message = format!("m{n}");
            event.execute(params![n, n.wrapping_mul(0x1e37_79b9_7f4a_7c15), now, message, body])?;
            delivery.execute(params![n << 16, key, state, now, reason, message_number(&message)])?;
        }
        let mut tally = transaction
            .prepare("INSERT OR REPLACE INTO tally (action, state, count) VALUES ('earlier', ?1, ?2)")?;
        tally.execute(params![DEAD, i64::try_from(written)?])?;
        tally.execute(params![DELIVERED, i64::try_from(count - written)?])?;
        transaction.execute(
            "INSERT OR REPLACE INTO meta (name, value) VALUES ('next_event', ?1)",
            [i64::try_from(count + 1)?],
        )?;
    }
    transaction.commit()?;
    // The journal adds the contents of its blocks of events itself, as for a file of an older program.
    connection.execute_batch(
        "DROP TABLE block; DROP TABLE block_names; DROP INDEX delivery_dead_newest; DROP INDEX delivery_retrying; PRAGMA user_version = 9",
    )?;
    drop(connection);
    let begun = Instant::now();
    drop(SqliteJournal::open(options(), Default::default())?);
    println!("tables of version 9 became those of today in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}
