//! Appends insert, and decide a turn only where the answer is certain: a delivery in a partition of this
//! member and in an empty lane is claimable at once.
//!
//! A message whose key exists attaches to the stored arrival. A message without an id is a copy only if the
//! broker reports a redelivery, and the stored message is open or was not settled.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use osnl_core::epoch::millis;
use osnl_core::quarantine::{Glimpse, StoredBody};
use osnl_journal::{Begin, DeliveryId, NewDelivery, UsedLimits};
use osnl_transport::Properties;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::{clean, clean_option, stored_name};
use crate::command::{NewEntry, NewUnreadable, PostgresCommand, SentBody};
use crate::delivery::{DeliveryRow, Promotion, delivery};
use crate::lane::{READY, WAITING, begins};
use crate::member::Member;
use crate::partition::{PartitionNumber, place};
use crate::reader::QueueReader;
use crate::results::{AppendResult, GroupResult};
use crate::transaction::{CommitFailure, Transaction};

const ARRIVAL: &str = "INSERT INTO osnl_arrival (id, identity, nameless, epoch, received, redelivered, deliveries, listener, \
     queue, exchange, routing_key, content_type, content_encoding, compression, message_id, unique_id, event_type, body, happened) \
     SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::boolean[], $7::bigint[], \
     $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], \
     $17::text[], $18::bytea[], $19::text[]) ON CONFLICT (identity) DO NOTHING RETURNING id";
const DELIVERY: &str = "INSERT INTO osnl_delivery (id, arrival, partition, lane, state, begins, rule, action, key, ordered, \
     resource, subject_id, subject_name, guarded, reason) \
     SELECT id, arrival, partition, lane, \
       CASE WHEN is_admitted AND NOT EXISTS ( \
         SELECT 1 FROM osnl_delivery o WHERE o.lane = new.lane AND o.state BETWEEN -1 AND 3) THEN 1 ELSE -1 END, \
       begins, rule, action, key, ordered, resource, subject_id, subject_name, begins = 2, reason \
     FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::smallint[], $6::text[], $7::text[], \
     $8::bytea[], $9::boolean[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::boolean[]) \
     AS new (id, arrival, partition, lane, begins, rule, action, key, ordered, resource, subject_id, subject_name, reason, \
       is_admitted) \
     WHERE EXISTS (SELECT 1 FROM osnl_arrival a WHERE a.id = new.arrival) \
     RETURNING id, partition, action, state";
const MOVE_PARTS: &str = "UPDATE osnl_arrival SET body = sent.body \
     FROM (SELECT string_agg(bytes, '' ORDER BY part) AS body FROM osnl_part WHERE transfer = $2) AS sent \
     WHERE id = $1 AND octet_length(sent.body)::bigint = $3";
const MOVE_UNREADABLE: &str = "UPDATE osnl_unreadable SET body = sent.body \
     FROM (SELECT string_agg(bytes, '' ORDER BY part) AS body FROM osnl_part WHERE transfer = $2) AS sent \
     WHERE id = $1 AND octet_length(sent.body)::bigint = $3";
const FORGET_PARTS: &str = "DELETE FROM osnl_part WHERE transfer = $1";
const TOLD: &str =
    "INSERT INTO osnl_enriched (delivery, found) SELECT * FROM unnest($1::bigint[], $2::text[])";
const NAMELESS: &str = "SELECT a.nameless, a.id FROM osnl_arrival a WHERE a.nameless = ANY($1) AND (a.id = ANY($2) OR EXISTS ( \
       SELECT 1 FROM osnl_delivery d WHERE d.id >= a.id << 16 AND d.id < (a.id + 1 + (a.deliveries >> 16)) << 16 \
       AND d.state BETWEEN -1 AND 2)) ORDER BY a.id";
const COPIES: &str = "UPDATE osnl_arrival a SET copies = a.copies + n.count \
     FROM (SELECT identity, count(*) AS count FROM unnest($1::bytea[]) AS u (identity) GROUP BY identity) AS n \
     WHERE a.identity = n.identity";
const NAMELESS_COPIES: &str = "UPDATE osnl_arrival a SET copies = a.copies + n.count \
     FROM (SELECT id, count(*) AS count FROM unnest($1::bigint[]) AS u (id) GROUP BY id) AS n WHERE a.id = n.id";
const UNREADABLE: &str = "INSERT INTO osnl_unreadable (id, identity, received, redelivered, listener, queue, exchange, \
     routing_key, content_type, content_encoding, compression, reason, size, extent, message_id, publisher_id, event_type, body, digest) \
     SELECT $1::bigint, $2::bytea, $3::bigint, $4::boolean, $5::text, $6::text, $7::text, $8::text, $9::text, $10::text, \
     $11::text, $12::text, $13::bigint, $14::bigint, $15::text, $16::text, $17::text, $18::bytea, $19::text \
     WHERE NOT $4 OR NOT EXISTS (SELECT 1 FROM osnl_unreadable WHERE identity = $2)";

/// Returns the deliveries that are claimable at once if their lanes are empty: each is the first of its lane
/// here, in a partition of this member.
fn are_admitted<'a>(
    member: &Member,
    all: impl Iterator<Item = (&'a NewDelivery, (Option<i64>, PartitionNumber))>,
) -> Vec<bool> {
    let mut lanes = HashSet::new();
    all.map(|(new, (lane, partition))| {
        let is_first = lane.is_none_or(|lane| lanes.insert(lane));
        is_first && begins(&new.begin) == WAITING && member.leases.held.contains_key(&partition)
    })
    .collect()
}

type AppendColumn<'a> = Box<dyn ToSql + Sync + Send + 'a>;

fn values<'a>(columns: &'a [AppendColumn<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    columns.iter().map(|column| &**column as &(dyn ToSql + Sync)).collect()
}

fn arrival_columns<'a>(member: &Member, entries: &[(usize, &'a NewEntry)]) -> Vec<AppendColumn<'a>> {
    let all = || entries.iter().map(|(_, new)| *new);
    let origins = || all().map(|new| &new.entry.received.origin);
    let properties = || all().map(|new| &new.entry.received.properties);
    let texts = |found: &dyn Fn(&NewEntry) -> Option<&str>| -> AppendColumn<'a> {
        Box::new(all().map(|new| clean_option(found(new))).collect::<Vec<Option<String>>>())
    };
    let epoch = |new: &NewEntry| member.reading.get(&new.reader).map_or(0, |reading| reading.epoch);
    // A body that was sent in parts is moved into the row after the insert.
    let body = |new: &'a NewEntry| if new.sent.is_some() { &[][..] } else { &new.entry.received.body[..] };
    let deliveries: Vec<i64> = all().map(|new| new.entry.deliveries.len() as i64).collect();
    let compression = |found: &Properties| clean_option(found.compression.as_deref());
    vec![
        Box::new(all().map(|new| new.id).collect::<Vec<i64>>()),
        Box::new(all().map(NewEntry::unique_key).collect::<Vec<Vec<u8>>>()),
        Box::new(all().map(NewEntry::nameless_key).collect::<Vec<Option<Vec<u8>>>>()),
        Box::new(all().map(epoch).collect::<Vec<i64>>()),
        Box::new(origins().map(|origin| millis(origin.received)).collect::<Vec<i64>>()),
        Box::new(origins().map(|origin| origin.redelivered).collect::<Vec<bool>>()),
        Box::new(deliveries),
        Box::new(origins().map(|origin| clean(&origin.listener)).collect::<Vec<String>>()),
        Box::new(origins().map(|origin| clean(&origin.queue)).collect::<Vec<String>>()),
        Box::new(origins().map(|origin| clean(&origin.exchange)).collect::<Vec<String>>()),
        Box::new(origins().map(|origin| clean(&origin.routing_key)).collect::<Vec<String>>()),
        texts(&|new| new.entry.received.properties.content_type.as_deref()),
        texts(&|new| new.entry.received.properties.content_encoding.as_deref()),
        Box::new(properties().map(compression).collect::<Vec<Option<String>>>()),
        texts(&|new| new.entry.notification.message_id.as_deref()),
        texts(&|new| new.entry.notification.unique_id.as_deref()),
        texts(&|new| new.entry.notification.event_type.as_deref()),
        Box::new(all().map(body).collect::<Vec<&[u8]>>()),
        texts(&|new| new.entry.received.noted.happened.as_deref()),
    ]
}

#[derive(Debug)]
struct PlacedDelivery<'a> {
    arrival: i64,
    id: DeliveryId,
    key: Option<String>,
    new: &'a NewDelivery,
    partition: PartitionNumber,
    lane: Option<i64>,
    admitted: bool,
}

impl PlacedDelivery<'_> {
    fn row(&self) -> DeliveryRow {
        DeliveryRow {
            arrival: self.arrival,
            partition: self.partition,
            rule: clean(&self.new.rule),
            action: clean(&self.new.action),
            key: self.key.clone(),
            resource: self.new.resource,
            used: UsedLimits::default(),
            due: 0,
            enriched: None,
            ordered: self.lane.is_some(),
        }
    }
}

#[derive(Debug, Default)]
struct NewDeliveries<'a> {
    all: Vec<PlacedDelivery<'a>>,
}

impl<'a> NewDeliveries<'a> {
    fn of(member: &Member, entries: &[(usize, &'a NewEntry)]) -> Self {
        let numbered = entries.iter().flat_map(|(_, entry)| {
            let deliveries = entry.entry.deliveries.iter().enumerate();
            deliveries.map(move |(number, new)| (entry.id, DeliveryId::of(entry.id, number), new))
        });
        let mut all: Vec<PlacedDelivery<'a>> = numbered
            .map(|(arrival, id, new)| {
                let key = new.key.as_deref().map(|key| stored_name(key).into_owned());
                let (lane, partition) = place(&new.action, key.as_deref(), new.ordered, id);
                PlacedDelivery { arrival, id, key, new, partition, lane, admitted: false }
            })
            .collect();
        let admitted =
            are_admitted(member, all.iter().map(|placed| (placed.new, (placed.lane, placed.partition))));
        for (placed, admitted) in all.iter_mut().zip(admitted) {
            placed.admitted = admitted;
        }
        Self { all }
    }

    fn claimable_partitions(&self) -> Vec<PartitionNumber> {
        self.all.iter().filter(|placed| placed.admitted).map(|placed| placed.partition).collect()
    }

    fn columns(&self) -> Vec<AppendColumn<'_>> {
        let all = || self.all.iter();
        let new = || all().map(|placed| placed.new);
        let reason = |new: &NewDelivery| match &new.begin {
            Begin::Held(why) | Begin::Dead(why) | Begin::TooOld(why) => Some(clean(why)),
            Begin::Live | Begin::Shadow => None,
        };
        vec![
            Box::new(all().map(|placed| placed.id.row()).collect::<Vec<i64>>()),
            Box::new(all().map(|placed| placed.arrival).collect::<Vec<i64>>()),
            Box::new(all().map(|placed| placed.partition).collect::<Vec<i16>>()),
            Box::new(all().map(|placed| placed.lane).collect::<Vec<Option<i64>>>()),
            Box::new(new().map(|new| begins(&new.begin)).collect::<Vec<i16>>()),
            Box::new(new().map(|new| clean(&new.rule)).collect::<Vec<String>>()),
            Box::new(new().map(|new| clean(&new.action)).collect::<Vec<String>>()),
            Box::new(all().map(|placed| placed.key.as_deref().map(str::as_bytes)).collect::<Vec<_>>()),
            Box::new(new().map(|new| new.ordered).collect::<Vec<bool>>()),
            Box::new(new().map(|new| new.resource.map(i64::from)).collect::<Vec<Option<i64>>>()),
            Box::new(new().map(|new| clean_option(new.subject.id.as_deref())).collect::<Vec<_>>()),
            Box::new(new().map(|new| clean_option(new.subject.name.as_deref())).collect::<Vec<_>>()),
            Box::new(new().map(reason).collect::<Vec<Option<String>>>()),
            Box::new(all().map(|placed| placed.admitted).collect::<Vec<bool>>()),
        ]
    }
}

impl Transaction<'_> {
    pub(super) async fn append(
        &mut self,
        batch: &[PostgresCommand],
        done: &mut GroupResult,
    ) -> Result<(), CommitFailure> {
        let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
        for (n, command) in batch.iter().enumerate() {
            let Some(reader) = command.reader() else { continue };
            if !self.member.reading.contains_key(reader) {
                done.appended.insert(n, AppendResult::Refused);
            } else if let PostgresCommand::Append(new, _) = command {
                entries.push((n, &**new));
            } else if let PostgresCommand::SetAside(new, _) = command {
                unreadable.push((n, &**new));
            }
        }
        let readers = entries.iter().map(|(_, new)| &new.reader);
        let readers: BTreeSet<QueueReader> =
            readers.chain(unreadable.iter().map(|(_, new)| &new.reader)).cloned().collect();
        self.read(readers).await?;
        let copies = self.nameless_copies(&entries, done).await?;
        entries.retain(|(n, _)| !copies.contains(n));
        let deliveries = NewDeliveries::of(self.member, &entries);
        let (new, rows) = self.insert(&entries, &deliveries).await?;
        for (_, entry) in &entries {
            if let Some(sent) = &entry.sent {
                self.move_parts(new.contains(&entry.id).then_some(MOVE_PARTS), entry.id, sent).await?;
            }
        }
        let mut known = Vec::new();
        for (n, entry) in &entries {
            let appended = match new.contains(&entry.id) {
                true => AppendResult::New,
                false => AppendResult::Copy,
            };
            done.appended.insert(*n, appended);
            known.extend((appended == AppendResult::Copy).then(|| entry.unique_key()));
        }
        if !known.is_empty() {
            self.execute(COPIES, &[&known]).await?;
        }
        done.promoted = self.promoted(&deliveries, &rows)?;
        self.record_enriched(&deliveries, &new).await?;
        for (n, new) in unreadable {
            let appended = if self.set_aside(new).await? { AppendResult::New } else { AppendResult::Copy };
            done.appended.insert(n, appended);
        }
        Ok(())
    }

    async fn move_parts(
        &mut self,
        sql: Option<&'static str>,
        id: i64,
        SentBody { transfer, bytes }: &SentBody,
    ) -> Result<(), CommitFailure> {
        if let Some(sql) = sql {
            self.move_all(sql, vec![Box::new(id), Box::new(transfer.clone()), Box::new(*bytes)]).await?;
        }
        self.later(FORGET_PARTS, vec![Box::new(transfer.clone())]).await
    }

    async fn nameless_copies(
        &mut self,
        entries: &[(usize, &NewEntry)],
        done: &mut GroupResult,
    ) -> Result<HashSet<usize>, CommitFailure> {
        let (mut copies, mut copied) = (HashSet::new(), Vec::new());
        let keys: Vec<Vec<u8>> = entries
            .iter()
            .filter(|(_, new)| new.entry.received.origin.redelivered)
            .filter_map(|(_, new)| new.nameless_key())
            .collect();
        if keys.is_empty() {
            return Ok(copies);
        }
        let unsettled: Vec<i64> = self.member.unsettled.iter().copied().collect();
        let mut known: HashMap<Vec<u8>, Vec<i64>> = HashMap::new();
        for row in self.query(NAMELESS, &[&keys, &unsettled]).await? {
            known.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
        }
        for (n, new) in entries {
            let Some(key) = new.nameless_key() else { continue };
            let there = known.entry(key).or_default();
            // An unsettled message is redelivered once; an open one may be redelivered many times.
            if new.entry.received.origin.redelivered
                && let Some(id) = there.first().copied()
            {
                copies.insert(*n);
                copied.push(id);
                done.appended.insert(*n, AppendResult::Copy);
                if self.member.unsettled.contains(&id) {
                    done.adopted.push(id);
                    there.remove(0);
                }
            } else if new.entry.deliveries.iter().any(|new| new.begin.is_open()) {
                there.push(new.id);
            }
        }
        if !copied.is_empty() {
            self.execute(NAMELESS_COPIES, &[&copied]).await?;
        }
        Ok(copies)
    }

    async fn insert(
        &mut self,
        entries: &[(usize, &NewEntry)],
        deliveries: &NewDeliveries<'_>,
    ) -> Result<(HashSet<i64>, Vec<Row>), CommitFailure> {
        if entries.is_empty() && deliveries.all.is_empty() {
            return Ok((HashSet::new(), Vec::new()));
        }
        self.own(deliveries.claimable_partitions()).await?;
        let (arrivals, deliveries) = (arrival_columns(self.member, entries), deliveries.columns());
        let (arrivals, deliveries) = (values(&arrivals), values(&deliveries));
        let [arrivals, rows] = self.queries([(ARRIVAL, &arrivals), (DELIVERY, &deliveries)]).await?;
        let new = arrivals.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        Ok((new, rows))
    }

    fn promoted(&mut self, all: &NewDeliveries<'_>, rows: &[Row]) -> Result<Vec<Promotion>, CommitFailure> {
        let by_id: HashMap<DeliveryId, &PlacedDelivery<'_>> =
            all.all.iter().map(|new| (new.id, new)).collect();
        let mut promoted = Vec::new();
        for row in rows {
            let (partition, action, state): (PartitionNumber, String, i16) =
                (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            if state == READY {
                self.count(partition, &action, READY, 1);
                let id = delivery(row.try_get(0)?);
                // A fallback receives the values in their stored form.
                let new = by_id.get(&id).filter(|placed| placed.new.told.is_none());
                promoted.push(Promotion { id, action, row: new.map(|placed| Arc::new(placed.row())) });
            }
        }
        Ok(promoted)
    }

    async fn record_enriched(
        &mut self,
        all: &NewDeliveries<'_>,
        new: &HashSet<i64>,
    ) -> Result<(), CommitFailure> {
        let told = all.all.iter().filter(|placed| new.contains(&placed.arrival));
        let told = told.filter_map(|placed| Some((placed.id.row(), placed.new.told.as_ref()?)));
        let (ids, found): (Vec<i64>, Vec<String>) = told
            // Keys are strings, and every number is one that JSON has.
            .map(|(id, told)| (id, serde_json::to_string(&**told).unwrap_or_default()))
            .unzip();
        if !ids.is_empty() {
            self.later(TOLD, vec![Box::new(ids), Box::new(found)]).await?;
        }
        Ok(())
    }

    async fn set_aside(&mut self, new: &NewUnreadable) -> Result<bool, CommitFailure> {
        let (origin, properties) = (&new.received.origin, &new.received.properties);
        let StoredBody { extent, bytes } = StoredBody::of_received(&new.received);
        let bytes = if new.sent.is_some() { Vec::new() } else { bytes };
        let glimpse = Glimpse::of(&new.received.body);
        let size = i64::try_from(new.received.bytes()).unwrap_or(i64::MAX);
        let kept = self
            .execute(
                UNREADABLE,
                &[
                    &new.id,
                    &new.key(),
                    &millis(origin.received),
                    &origin.redelivered,
                    &clean(&origin.listener),
                    &clean(&origin.queue),
                    &clean(&origin.exchange),
                    &clean(&origin.routing_key),
                    &clean_option(properties.content_type.as_deref()),
                    &clean_option(properties.content_encoding.as_deref()),
                    &clean_option(properties.compression.as_deref()),
                    &clean(&new.reason),
                    &size,
                    &extent.number(),
                    &clean_option(glimpse.message_id.as_deref()),
                    &clean_option(glimpse.publisher_id.as_deref()),
                    &clean_option(glimpse.event_type.as_deref()),
                    &bytes,
                    &new.received.digest().to_string(),
                ],
            )
            .await?;
        if let Some(sent) = &new.sent {
            self.move_parts((kept == 1).then_some(MOVE_UNREADABLE), new.id, sent).await?;
        }
        Ok(kept == 1)
    }
}
