//! Appends: they insert, and decide about whose turn it is only where nothing else can be: a delivery in a partition of this
//! member, in a lane that is empty, is claimable at once.
//!
//! A message whose key is there attaches to the stored arrival. One without an id is the same only if the broker says that it
//! has delivered it before, and the stored one is open or was not settled.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use osnl_core::moment::millis;
use osnl_core::quarantine::{Glimpse, StoredBody};
use osnl_core::recall::RecalledMeaning;
use osnl_journal::{Begin, DeliveryId, NewDelivery};
use tokio_postgres::types::ToSql;

use super::{clean, clean_option, stored_name};
use crate::command::{Command, NewEntry, NewUnreadable};
use crate::lane::{Promotion, READY, WAITING, begins, delivery};
use crate::member::Member;
use crate::partition::{Partition, place};
use crate::reader::Reader;
use crate::results::{AppendResult, GroupResult};
use crate::seen::Reports;
use crate::transaction::{Transaction, Trouble, Value};

const ARRIVAL: &str = "INSERT INTO osnl_arrival (id, identity, nameless, epoch, received, redelivered, deliveries, listener, \
     queue, exchange, routing_key, content_type, content_encoding, compression, message_id, unique_id, event_type, body, happened) \
     SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::boolean[], $7::bigint[], \
     $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], \
     $17::text[], $18::bytea[], $19::text[]) ON CONFLICT (identity) DO NOTHING RETURNING id";
const DELIVERY: &str = "INSERT INTO osnl_delivery (id, arrival, partition, lane, state, begins, rule, action, key, ordered, \
     resource, subject_id, subject_name, guarded, reason, unguarded) \
     SELECT id, arrival, partition, lane, \
       CASE WHEN is_admitted AND NOT EXISTS ( \
         SELECT 1 FROM osnl_delivery o WHERE o.lane = new.lane AND o.state BETWEEN -1 AND 3) THEN 1 ELSE -1 END, \
       begins, rule, action, key, ordered, resource, subject_id, subject_name, begins = 2, reason, unguarded \
     FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::smallint[], $6::text[], $7::text[], \
     $8::bytea[], $9::boolean[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::boolean[], $15::boolean[]) \
     AS new (id, arrival, partition, lane, begins, rule, action, key, ordered, resource, subject_id, subject_name, reason, \
       unguarded, is_admitted) \
     RETURNING id, partition, action, state";
const TOLD: &str =
    "INSERT INTO osnl_enriched (delivery, found) SELECT * FROM unnest($1::bigint[], $2::text[])";
/// Arrivals of messages without an id that may be meant: those that are open, and those that were not settled.
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

/// Returns which deliveries may be claimable at once, if their lanes are empty: those in partitions of this member that are
/// the first of their lane here, and that no guard judges.
fn are_admitted<'a>(
    member: &Member,
    all: impl Iterator<Item = (&'a NewDelivery, (Option<i64>, Partition))>,
) -> Vec<bool> {
    let guards = &member.limits.guards;
    let mut lanes = HashSet::new();
    all.map(|(new, (lane, partition))| {
        let is_first = lane.is_none_or(|lane| lanes.insert(lane));
        is_first
            && begins(&new.begin) == WAITING
            && member.leases.held.contains_key(&partition)
            && !guards.rules.contains_key(&new.rule)
            && !guards.actions.contains_key(&new.action)
    })
    .collect()
}

/// Returns the key of a delivery: that of its resource which was noted, or its own.
fn key_of<'a>(new: &'a NewDelivery, meaning: Option<&'a RecalledMeaning>) -> Option<&'a str> {
    let noted = meaning.filter(|_| new.is_keyed_by_note).and_then(|meaning| {
        // Of several the last one, as in the process.
        meaning.keys.iter().rev().find(|(resource, _)| *resource == new.resource)
    });
    noted.map(|(_, key)| &**key).or(new.key.as_deref())
}

impl Transaction<'_> {
    /// Appends what is new.
    pub(super) async fn append(&mut self, batch: &[Command], done: &mut GroupResult) -> Result<(), Trouble> {
        let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
        for (n, command) in batch.iter().enumerate() {
            let Some(reader) = command.reader() else { continue };
            if !self.member.reading.contains_key(reader) {
                done.appended.insert(n, AppendResult::Refused);
            } else if let Command::Append(new, _) = command {
                entries.push((n, &**new));
            } else if let Command::SetAside(new, _) = command {
                unreadable.push((n, &**new));
            }
        }
        let readers = entries.iter().map(|(_, new)| &new.reader);
        let readers: BTreeSet<Reader> =
            readers.chain(unreadable.iter().map(|(_, new)| &new.reader)).cloned().collect();
        self.read(readers).await?;
        let copies = self.nameless_copies(&entries, done).await?;
        entries.retain(|(n, _)| !copies.contains(n));
        let kept: Vec<_> =
            entries.iter().filter(|(_, new)| !new.entry.deliveries.is_empty()).copied().collect();
        let new = self.append_arrivals(&kept).await?;
        let mut known = Vec::new();
        for (n, entry) in &entries {
            let appended = match new.contains(&entry.id) {
                true => AppendResult::New,
                false if entry.entry.deliveries.is_empty() => AppendResult::Noted,
                false => AppendResult::Copy,
            };
            done.appended.insert(*n, appended);
            known.extend((appended == AppendResult::Copy).then(|| entry.unique_key()));
        }
        if !known.is_empty() {
            self.execute(COPIES, &[&known]).await?;
        }
        entries.retain(|(n, _)| done.appended.get(n) != Some(&AppendResult::Copy));
        let meanings = self.note(&entries, batch, done).await?;
        entries.retain(|(_, entry)| new.contains(&entry.id));
        done.promoted = self.append_deliveries(&entries, &meanings).await?;
        for (n, new) in unreadable {
            let appended = if self.set_aside(new).await? { AppendResult::New } else { AppendResult::Copy };
            done.appended.insert(n, appended);
        }
        Ok(())
    }

    /// Notes what new messages mean, and the facts that deliveries have found.
    async fn note(
        &mut self,
        entries: &[(usize, &NewEntry)],
        batch: &[Command],
        done: &mut GroupResult,
    ) -> Result<BTreeMap<usize, RecalledMeaning>, Trouble> {
        let member = self.member;
        let is_own = |command: &Command| command.claim().is_some_and(|id| member.place(id).is_some());
        let meanings = self.recall(&Reports::of(entries, batch, is_own)).await?;
        let mut kept = Vec::new();
        for (n, new) in entries {
            let Some(happened) = meanings.get(n).and_then(|meaning| meaning.happened.as_ref()) else {
                continue;
            };
            kept.push((new.id, &**happened));
            done.happened.insert(*n, happened.clone());
        }
        self.keep_meanings(&kept).await?;
        Ok(meanings)
    }

    /// Returns the places of messages without an id that are copies.
    async fn nameless_copies(
        &mut self,
        entries: &[(usize, &NewEntry)],
        done: &mut GroupResult,
    ) -> Result<HashSet<usize>, Trouble> {
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
            // One that was not settled is met once; one that is open, as often as it comes.
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

    /// Inserts arrivals; returns the numbers of those whose key was not there.
    async fn append_arrivals(&mut self, entries: &[(usize, &NewEntry)]) -> Result<HashSet<i64>, Trouble> {
        if entries.is_empty() {
            return Ok(HashSet::new());
        }
        let all = || entries.iter().map(|(_, new)| *new);
        let origins = || all().map(|new| &new.entry.received.origin);
        let properties = || all().map(|new| &new.entry.received.properties);
        let texts = |found: &dyn Fn(&NewEntry) -> Option<&str>| -> Vec<Option<String>> {
            all().map(|new| clean_option(found(new))).collect()
        };
        let ids: Vec<i64> = all().map(|new| new.id).collect();
        let identities: Vec<Vec<u8>> = all().map(NewEntry::unique_key).collect();
        let nameless: Vec<Option<Vec<u8>>> = all().map(NewEntry::nameless_key).collect();
        let epoch = |new: &NewEntry| self.member.reading.get(&new.reader).map_or(0, |reading| reading.epoch);
        let epochs: Vec<i64> = all().map(epoch).collect();
        let received: Vec<i64> = origins().map(|origin| millis(origin.received)).collect();
        let redelivered: Vec<bool> = origins().map(|origin| origin.redelivered).collect();
        let deliveries: Vec<i64> = all().map(|new| new.entry.deliveries.len() as i64).collect();
        let listeners: Vec<String> = origins().map(|origin| clean(&origin.listener)).collect();
        let queues: Vec<String> = origins().map(|origin| clean(&origin.queue)).collect();
        let exchanges: Vec<String> = origins().map(|origin| clean(&origin.exchange)).collect();
        let routing_keys: Vec<String> = origins().map(|origin| clean(&origin.routing_key)).collect();
        let types: Vec<_> = properties().map(|found| clean_option(found.content_type.as_deref())).collect();
        let encodings: Vec<_> =
            properties().map(|found| clean_option(found.content_encoding.as_deref())).collect();
        let compressions: Vec<_> =
            properties().map(|found| clean_option(found.compression.as_deref())).collect();
        let message_ids = texts(&|new| new.entry.notification.message_id.as_deref());
        let unique_ids = texts(&|new| new.entry.notification.unique_id.as_deref());
        let event_types = texts(&|new| new.entry.notification.event_type.as_deref());
        let bodies: Vec<&[u8]> = all().map(|new| &new.entry.received.body[..]).collect();
        let happened = texts(&|new| new.entry.received.noted.happened.as_deref());
        let rows = self
            .query(
                ARRIVAL,
                &[
                    &ids,
                    &identities,
                    &nameless,
                    &epochs,
                    &received,
                    &redelivered,
                    &deliveries,
                    &listeners,
                    &queues,
                    &exchanges,
                    &routing_keys,
                    &types,
                    &encodings,
                    &compressions,
                    &message_ids,
                    &unique_ids,
                    &event_types,
                    &bodies,
                    &happened,
                ],
            )
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Inserts the deliveries of arrivals; returns those that are claimable at once.
    async fn append_deliveries(
        &mut self,
        entries: &[(usize, &NewEntry)],
        meanings: &BTreeMap<usize, RecalledMeaning>,
    ) -> Result<Vec<Promotion>, Trouble> {
        let all: Vec<_> = entries
            .iter()
            .flat_map(|(place, entry)| {
                let numbered = entry.entry.deliveries.iter().enumerate();
                numbered.map(|(n, new)| {
                    let key = key_of(new, meanings.get(place)).map(stored_name);
                    (entry.id, DeliveryId::of(entry.id, n), key, new)
                })
            })
            .collect();
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let places = all.iter().map(|(_, id, key, new)| place(&new.action, key.as_deref(), new.ordered, *id));
        let (lanes, partitions): (Vec<Option<i64>>, Vec<i16>) = places.unzip();
        let at = lanes.iter().copied().zip(partitions.iter().copied());
        let admitted = are_admitted(self.member, all.iter().map(|(.., new)| *new).zip(at));
        let own = partitions.iter().zip(&admitted).filter(|(_, is_admitted)| **is_admitted);
        self.own(own.map(|(partition, _)| *partition)).await?;
        let ids: Vec<i64> = all.iter().map(|(_, id, ..)| id.row()).collect();
        let arrivals: Vec<i64> = all.iter().map(|(arrival, ..)| *arrival).collect();
        let beginnings: Vec<i16> = all.iter().map(|(.., new)| begins(&new.begin)).collect();
        let rules: Vec<String> = all.iter().map(|(.., new)| clean(&new.rule)).collect();
        let actions: Vec<String> = all.iter().map(|(.., new)| clean(&new.action)).collect();
        let keys: Vec<Option<Vec<u8>>> =
            all.iter().map(|(.., key, _)| key.as_ref().map(|key| key.as_bytes().to_vec())).collect();
        let ordered: Vec<bool> = all.iter().map(|(.., new)| new.ordered).collect();
        let resources: Vec<Option<i64>> = all.iter().map(|(.., new)| new.resource.map(i64::from)).collect();
        let subject_ids: Vec<_> =
            all.iter().map(|(.., new)| clean_option(new.subject.id.as_deref())).collect();
        let names: Vec<_> = all.iter().map(|(.., new)| clean_option(new.subject.name.as_deref())).collect();
        let reasons: Vec<_> = all
            .iter()
            .map(|(.., new)| match &new.begin {
                Begin::Held(why) | Begin::Dead(why) => Some(clean(why)),
                Begin::Live | Begin::Shadow => None,
            })
            .collect();
        let fallbacks: Vec<bool> = all.iter().map(|(.., new)| new.told.is_some()).collect();
        let values: Vec<Value> = vec![
            Box::new(ids),
            Box::new(arrivals),
            Box::new(partitions),
            Box::new(lanes),
            Box::new(beginnings),
            Box::new(rules),
            Box::new(actions),
            Box::new(keys),
            Box::new(ordered),
            Box::new(resources),
            Box::new(subject_ids),
            Box::new(names),
            Box::new(reasons),
            Box::new(fallbacks),
            Box::new(admitted),
        ];
        let promoted = self.insert_deliveries(&values).await?;
        let told = all.iter().filter_map(|(_, id, _, new)| Some((id.row(), new.told.as_ref()?)));
        let (told_ids, found): (Vec<i64>, Vec<String>) = told
            // Texts as keys, and no number that JSON does not have.
            .map(|(id, told)| (id, serde_json::to_string(&**told).unwrap_or_default()))
            .unzip();
        if !told_ids.is_empty() {
            self.later(TOLD, vec![Box::new(told_ids), Box::new(found)]).await?;
        }
        Ok(promoted)
    }

    /// Inserts deliveries with these values; returns and counts those that are claimable at once.
    async fn insert_deliveries(&mut self, values: &[Value]) -> Result<Vec<Promotion>, Trouble> {
        let values: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
        let mut promoted = Vec::new();
        for row in self.query(DELIVERY, &values).await? {
            let (partition, action, state): (Partition, String, i16) =
                (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            if state == READY {
                self.count(partition, &action, READY, 1);
                promoted.push(Promotion { id: delivery(row.try_get(0)?), action });
            }
        }
        Ok(promoted)
    }

    /// Answers whether it is kept; a copy that the broker delivers again is there already.
    async fn set_aside(&mut self, new: &NewUnreadable) -> Result<bool, Trouble> {
        let (origin, properties) = (&new.received.origin, &new.received.properties);
        let StoredBody { extent, bytes } = StoredBody::of_received(&new.received);
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
        Ok(kept == 1)
    }
}
