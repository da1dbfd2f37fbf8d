use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use osnl::journal::{ClaimLimits, Journal, Outcome};
use osnl_journal_postgresql::{ConnectionUrl, Options, PostgresJournal};
use tokio::time::interval;
use tokio_postgres::{Client, NoTls, Statement};

use crate::clock::print_span;
use crate::journal::{ACTION, append_all, entry, received};
use crate::messages::Messages;

const PIECE: usize = 10_000;
const PARTITIONS: i64 = 64;
const IN_FLIGHT: usize = 64;
const DONE: i16 = 4;

fn open(url: &str) -> Result<PostgresJournal> {
    let mut options = Options { migrate: true, ..Options::new(ConnectionUrl::parse(url)?, "bench") };
    options.bounds.allow_volatile = true;
    options.bounds.max_pending = u64::from(u32::MAX);
    Ok(PostgresJournal::open(options, Arc::default())?)
}

pub(crate) async fn whole(url: &str, count: u64, window: u64) -> Result<()> {
    let journal = open(url)?;
    let messages = Messages::new(0)?;
    let bodies: Vec<Vec<u8>> = (1..=count).map(|n| messages.matching(n)).collect();
    let entries = received(bodies).map(entry).collect::<Result<Vec<_>>>()?;
    let began = Instant::now();
    let (appended, ()) =
        tokio::join!(append_all(&journal, entries, usize::try_from(window)?), end_all(&journal, count));
    appended?;
    journal.close().await;
    print_span(began.elapsed());
    Ok(())
}

pub(crate) async fn claims(url: &str, pending: u64, count: u64) -> Result<()> {
    let journal = open(url)?;
    let messages = Messages::new(0)?;
    let mut n = 1;
    while n <= pending {
        let bodies = (n..=pending).take(PIECE).map(|n| messages.matching(n));
        let entries = received(bodies).map(entry).collect::<Result<Vec<_>>>()?;
        n += entries.len() as u64;
        append_all(&journal, entries, 500).await?;
    }
    let began = Instant::now();
    end_all(&journal, count).await;
    print_span(began.elapsed());
    Ok(())
}

/// Measures `count` commits of a row, `rate` each second, because an idle machine wakes up slowly. Prints the
/// nanoseconds of each commit.
pub(crate) async fn commits(url: &str, count: u64, rate: u64) -> Result<()> {
    open(url)?.close().await;
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let (times, connection) = tokio::join!(commit(client, count, rate), connection);
    connection?;
    println!("{}", times?);
    Ok(())
}

async fn commit(client: Client, count: u64, rate: u64) -> Result<String> {
    let update = client.prepare("UPDATE osnl_partition SET beat = beat + 1 WHERE id = 0").await?;
    let mut times = String::new();
    let mut pace = interval(Duration::from_secs(1).div_f64(rate as f64));
    for n in 0..count {
        pace.tick().await;
        let began = Instant::now();
        client.execute(&update, &[]).await?;
        times += &format!("{n}:{} ", began.elapsed().as_nanos());
    }
    Ok(times)
}

const LEASE: &str = "UPDATE osnl_partition SET beat = beat + 1";
const ARRIVALS: &str = "INSERT INTO osnl_arrival (id, identity, epoch, received, redelivered, deliveries, listener, queue, \
     exchange, routing_key, content_type, content_encoding, message_id, unique_id, event_type, body) \
     SELECT id, decode(key, 'escape'), 1, 1790000000000, false, 1, 'neutron', 'k2hr3_osnl', 'neutron', 'notifications.info', \
     'application/json', 'utf-8', key, key, 'port.delete.end', body FROM unnest($1::bigint[], $2::text[], $3::bytea[]) \
     AS n (id, key, body)";
const DELIVERIES: &str = "INSERT INTO osnl_delivery (id, arrival, partition, lane, state, begins, rule, action, key, ordered) \
     SELECT id << 16, id, (id % $3)::smallint, id, 1, 0, 'deleted', 'roles', decode(key, 'escape'), true \
     FROM unnest($1::bigint[], $2::text[]) AS n (id, key)";
const CLAIM: &str = "SELECT d.id, a.body FROM unnest($1::bigint[]) AS n (id) JOIN osnl_delivery d ON d.id = n.id \
     JOIN osnl_arrival a ON a.id = d.arrival";
const END: &str = "UPDATE osnl_delivery d SET state = $2, ended = 1790000000000, lane = NULL FROM unnest($1::bigint[]) AS n (id) \
     WHERE d.id = n.id";

struct BareClient {
    client: Client,
    lease: Statement,
    arrivals: Statement,
    deliveries: Statement,
    claim: Statement,
    end: Statement,
}

/// Measures a bare client. Each transaction inserts `batch` messages, and reads and ends the deliveries of the batch
/// before, with the rows of the leases.
pub(crate) async fn bare(url: &str, count: u64, batch: u64) -> Result<()> {
    open(url)?.close().await;
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let (written, connection) = tokio::join!(write(client, count, batch), connection);
    connection?;
    written
}

async fn write(client: Client, count: u64, batch: u64) -> Result<()> {
    let mut bare = BareClient {
        lease: client.prepare(LEASE).await?,
        arrivals: client.prepare(ARRIVALS).await?,
        deliveries: client.prepare(DELIVERIES).await?,
        claim: client.prepare(CLAIM).await?,
        end: client.prepare(END).await?,
        client,
    };
    let messages = Messages::new(0)?;
    let all: Vec<(i64, Vec<u8>)> =
        (1..=count).map(|n| Ok((i64::try_from(n)?, messages.matching(n)))).collect::<Result<_>>()?;
    let began = Instant::now();
    let mut before: Vec<i64> = Vec::new();
    for some in all.chunks(usize::try_from(batch)?) {
        before = bare.turn(some, &before).await?;
    }
    bare.turn(&[], &before).await?;
    print_span(began.elapsed());
    Ok(())
}

impl BareClient {
    async fn turn(&mut self, new: &[(i64, Vec<u8>)], before: &[i64]) -> Result<Vec<i64>> {
        let ids: Vec<i64> = new.iter().map(|(id, _)| *id).collect();
        let keys: Vec<String> = ids.iter().map(|id| format!("00000000-0000-4000-8000-{id:012x}")).collect();
        let bodies: Vec<&[u8]> = new.iter().map(|(_, body)| &body[..]).collect();
        let mut claimed: Vec<i64> = Vec::new();
        if !before.is_empty() {
            let read = self.client.query(&self.claim, &[&before]).await?;
            claimed.extend(read.iter().map(|row| row.get::<_, i64>(0)));
        }
        let transaction = self.client.transaction().await?;
        transaction.execute(&self.lease, &[]).await?;
        if !new.is_empty() {
            transaction.execute(&self.arrivals, &[&ids, &keys, &bodies]).await?;
            transaction.execute(&self.deliveries, &[&ids, &keys, &PARTITIONS]).await?;
        }
        if !claimed.is_empty() {
            transaction.execute(&self.end, &[&claimed, &DONE]).await?;
        }
        transaction.commit().await?;
        Ok(ids.iter().map(|id| id << 16).collect())
    }
}

async fn end_all(journal: &dyn Journal, count: u64) {
    let mut ended = 0;
    while ended < count {
        let left = usize::try_from(count - ended).unwrap_or(IN_FLIGHT);
        let claimed = journal.claim(ACTION, ClaimLimits::in_order(IN_FLIGHT.min(left))).await;
        ended += claimed.len() as u64;
        claimed.into_iter().for_each(|claimed| journal.end(claimed.id, Outcome::Delivered.into()));
    }
}
