//! Reads deliveries from the tables into the short piece of claimable deliveries in memory.
//!
//! Only committed deliveries of this member's partitions are read. A delivery with a lane gets its fence here: a lane
//! has at most one claimable delivery, so the fence is larger than those of all claims before.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use osnl_core::epoch::from_millis;
use osnl_core::event::Event;
use osnl_core::received::{MessageNotes, Origin, ReceivedMessage};
use osnl_journal::store::claimable::{BETWEEN, Claimable, ClaimableKind, FetchKinds, NEWEST, PIECE};
use osnl_journal::store::messages::Message;
use osnl_journal::store::weight::{bytes_of, bytes_of_values};
use osnl_journal::{ClaimedDelivery, DeliveryId};
use osnl_transport::Properties;
use tokio_postgres::{Error, Row};

use crate::delivery::{DeliveryRow, Promotion, delivery};
use crate::group::stored_name;
use crate::member::{DeliveryInMemory, Member};
use crate::session::{LARGE, Session};

/// One statement reads at most this many bytes of bodies or enrichments, because statements have a time limit;
/// a single one may be larger.
pub(crate) const BODIES: usize = 1 << 20;

#[derive(Debug, Default)]
struct LoadedPiece {
    claimed: Vec<(i64, ClaimedDelivery)>,
    more: bool,
    bytes: usize,
    unusable: UnusableDeliveries,
}

#[derive(Debug, Default)]
struct LoadedMessages {
    /// Each arrival's message with its size; the error is that of an unreadable body.
    by_arrival: HashMap<i64, Result<(Message, usize), String>>,
    is_cut: bool,
}

pub(crate) type UnusableDeliveries = Vec<(DeliveryId, String)>;

const READY: &str = "SELECT id FROM osnl_delivery WHERE action = $1 AND state = 1 AND due = 0 AND partition = ANY($2) \
     AND id <> ALL($3) ORDER BY id LIMIT $4";
const READY_NEWEST: &str = "SELECT id FROM osnl_delivery WHERE action = $1 AND state = 1 AND due = 0 AND partition = ANY($2) \
     AND id <> ALL($3) ORDER BY id DESC LIMIT $4";
const READY_FROM: &str = "SELECT id FROM osnl_delivery WHERE action = $1 AND state = 1 AND due = 0 AND partition = ANY($2) \
     AND id <> ALL($3) AND id >= $4 ORDER BY id LIMIT 1";
const DUE: &str = "SELECT id FROM osnl_delivery WHERE action = $1 AND state = 1 AND due > 0 AND due <= $5 \
     AND partition = ANY($2) AND id <> ALL($3) ORDER BY due, id LIMIT $4";
const NEXT_DUE: &str = "SELECT due FROM osnl_delivery WHERE action = $1 AND state = 1 AND due > $2 AND partition = ANY($3) \
     ORDER BY due LIMIT 1";
/// The last column is false behind $3 bytes of enrichments. The sum in the condition keeps the planner from an
/// index of states: without statistics it would scan the whole index for each number.
const LOAD: &str = "SELECT id, arrival, partition, rule, action, key, resource, attempts, aged, tries, \
       due, CASE WHEN fits THEN found END, has_lane, fits \
     FROM (SELECT d.*, d.lane IS NOT NULL AS has_lane, e.found, \
       coalesce(sum(octet_length(e.found)) OVER (ORDER BY array_position($1::bigint[], d.id) \
         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) < $3::bigint AS fits \
       FROM osnl_delivery d LEFT JOIN osnl_enriched e ON e.delivery = d.id \
       WHERE d.id = ANY($1::bigint[]) AND d.state + 0 = 1 AND d.partition = ANY($2)) AS d";
pub(crate) const MESSAGES: &str = "SELECT id, received, redelivered, listener, queue, exchange, routing_key, content_type, \
       content_encoding, compression, body, happened FROM osnl_arrival WHERE id = ANY($1)";
/// One row per number, in their order; PostgreSQL knows the length of a stored body without reading it.
const SIZES: &str = "SELECT coalesce(octet_length(a.body), 0)::bigint FROM unnest($1::bigint[]) WITH ORDINALITY AS u (id, n) \
     LEFT JOIN osnl_arrival a ON a.id = u.id ORDER BY u.n";
/// The columns of [`MESSAGES`] without the body, which was read in parts.
const HEADS: &str = "SELECT id, received, redelivered, listener, queue, exchange, routing_key, content_type, \
       content_encoding, compression, ''::bytea, happened FROM osnl_arrival WHERE id = $1";
const PART: &str = "SELECT substring(body FROM $2::integer FOR $3::integer) FROM osnl_arrival WHERE id = $1";
const KNOWN: &str = "SELECT body FROM osnl_object WHERE name = $1";

async fn sized(session: &mut Session, arrivals: Vec<i64>) -> Result<VecDeque<(i64, usize)>, Error> {
    if arrivals.is_empty() {
        return Ok(VecDeque::new());
    }
    let rows = session.query(SIZES, &[&arrivals]).await?;
    let sizes = rows.iter().map(|row| Ok(usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0)));
    let sizes: Result<Vec<usize>, Error> = sizes.collect();
    Ok(arrivals.into_iter().zip(sizes?).collect())
}

/// Takes at least one, and as many as have bodies within the room. A body takes less room than its decoded message.
fn first_of(missing: &mut VecDeque<(i64, usize)>, room: usize) -> Vec<i64> {
    let (mut some, mut bytes) = (Vec::new(), 0);
    while bytes < room.min(BODIES)
        && let Some((arrival, size)) = missing.pop_front()
    {
        some.push(arrival);
        bytes += size;
    }
    some
}

impl Member {
    pub(crate) async fn offer(
        &mut self,
        session: &mut Session,
        claimable: &Claimable,
        promoted: Vec<Promotion>,
    ) -> Result<UnusableDeliveries, Error> {
        let wanted = promoted.into_iter().filter(|new| claimable.has_place(&new.action, new.id));
        let (mut ids, mut known, mut actions) = (Vec::new(), HashMap::new(), BTreeSet::new());
        for Promotion { id, action, row } in wanted {
            ids.push(id);
            known.extend(row.map(|row| (id, Arc::unwrap_or_clone(row))));
            actions.insert(action);
        }
        // Under a limit, the newer ones are left for later.
        ids.sort_unstable();
        let room = actions.iter().map(|action| claimable.room(action, ClaimableKind::Fresh)).min();
        let loaded = self.load(session, &ids, known, room.unwrap_or(0)).await?;
        for (due, claimed) in loaded.claimed {
            let action = claimed.event.action.clone();
            if due == 0 { claimable.add(&action, claimed) } else { claimable.waits_until(&action, due) }
        }
        if loaded.more {
            actions.iter().for_each(|action| claimable.is_beyond(action));
        }
        Ok(loaded.unusable)
    }

    pub(crate) async fn fetch(
        &mut self,
        session: &mut Session,
        claimable: &Claimable,
        (action, ask, now): (&str, FetchKinds, i64),
    ) -> Result<UnusableDeliveries, Error> {
        let own = self.leases.partitions();
        let mut unusable = Vec::new();
        let known = |claimable: &Claimable| -> Vec<i64> {
            claimable.known(action).iter().map(|id| id.row()).collect()
        };
        if ask.newest {
            let (rows, room) = (known(claimable), claimable.room(action, ClaimableKind::Newest));
            let most = limit(NEWEST);
            let found = session.query(READY_NEWEST, &[&action, &own, &rows, &most]).await?;
            let mut newest = self.load_piece(session, found, (NEWEST, room), &mut unusable).await?;
            if let (true, Some((_, oldest))) = (newest.more, newest.claimed.first()) {
                let mut ids = HashSet::new();
                let first = session.query(READY, &[&action, &own, &rows, &1_i64]).await?;
                let first: i64 = first.first().map_or(Ok(1), |row| row.try_get(0))?;
                for _ in 0..BETWEEN {
                    let from = fastrand::i64(first.min(oldest.id.row())..=oldest.id.row());
                    for row in session.query(READY_FROM, &[&action, &own, &rows, &from]).await? {
                        ids.insert(delivery(row.try_get(0)?));
                    }
                }
                newest.claimed.iter().for_each(|(_, claimed)| _ = ids.remove(&claimed.id));
                let ids: Vec<DeliveryId> = ids.into_iter().collect();
                let mut between =
                    self.load(session, &ids, HashMap::new(), room.saturating_sub(newest.bytes)).await?;
                newest.claimed.append(&mut between.claimed);
                unusable.append(&mut between.unusable);
            }
            claimable.fetched_newest(action, newest.claimed, newest.more);
        }
        if ask.fresh {
            let (rows, room) = (known(claimable), claimable.room(action, ClaimableKind::Fresh));
            let found = session.query(READY, &[&action, &own, &rows, &limit(PIECE)]).await?;
            let oldest = self.load_piece(session, found, (PIECE, room), &mut unusable).await?;
            claimable.fetched(action, oldest.claimed, oldest.more);
        }
        if ask.due {
            let (rows, room) = (known(claimable), claimable.room(action, ClaimableKind::Due));
            let found = session.query(DUE, &[&action, &own, &rows, &limit(PIECE), &now]).await?;
            let due = self.load_piece(session, found, (PIECE, room), &mut unusable).await?;
            let next = session.query(NEXT_DUE, &[&action, &now, &own]).await?;
            let next = next.first().map(|row| row.try_get(0)).transpose()?;
            claimable.fetched_due(action, due.claimed, if due.more { Some(now) } else { next });
        }
        Ok(unusable)
    }

    async fn load_piece(
        &mut self,
        session: &mut Session,
        found: Vec<Row>,
        (piece, room): (usize, usize),
        unusable: &mut UnusableDeliveries,
    ) -> Result<LoadedPiece, Error> {
        let more = found.len() > piece;
        let ids: Result<Vec<DeliveryId>, Error> =
            found.iter().take(piece).map(|row| row.try_get(0).map(delivery)).collect();
        let mut loaded = self.load(session, &ids?, HashMap::new(), room).await?;
        unusable.append(&mut loaded.unusable);
        Ok(LoadedPiece { more: more || loaded.more, ..loaded })
    }

    /// Loads claimable deliveries in this order until they fill the room; some rows are known. Returns them
    /// in the order of their numbers.
    async fn load(
        &mut self,
        session: &mut Session,
        ids: &[DeliveryId],
        mut rows: HashMap<DeliveryId, DeliveryRow>,
        room: usize,
    ) -> Result<LoadedPiece, Error> {
        let mut loaded = LoadedPiece::default();
        // A strong reference keeps the messages in memory meanwhile.
        let _held: Vec<Message> = rows.values().filter_map(|row| self.messages.get(&row.arrival)).collect();
        let unread: Vec<i64> = ids.iter().filter(|id| !rows.contains_key(id)).map(|id| id.row()).collect();
        let mut left = HashSet::new();
        if !unread.is_empty() {
            let most = BODIES as i64;
            for row in session.query(LOAD, &[&unread, &self.leases.partitions(), &most]).await? {
                let id = delivery(row.try_get(0)?);
                if row.try_get(13)? {
                    rows.insert(id, DeliveryRow::try_from(&row)?);
                } else {
                    left.insert(id);
                }
            }
        }
        loaded.more = !left.is_empty();
        let read = ids.iter().take_while(|id| !left.contains(id));
        let rows: Vec<(DeliveryId, DeliveryRow)> = read.filter_map(|id| rows.remove_entry(id)).collect();
        let messages = self.messages(session, &rows, room).await?;
        let mut weighed = HashSet::new();
        for (id, row) in rows {
            if loaded.bytes >= room {
                loaded.more = true;
                break;
            }
            let DeliveryRow { arrival, partition, rule, action, key, resource, used, due, enriched, ordered } =
                row;
            let message = messages.by_arrival.get(&arrival);
            if message.is_none() && messages.is_cut {
                loaded.more = true;
                if self.wanted.contains(&arrival) {
                    self.wanted_by.insert(action.into());
                }
                continue;
            }
            let Some(held) = self.leases.held.get_mut(&partition) else { continue };
            // A target would refuse unordered deliveries that are not late.
            let fence = ordered.then(|| held.next_fence());
            let place = DeliveryInMemory { partition, epoch: held.epoch, action: action.as_str().into() };
            self.places.insert(id, place);
            let ((received, notification), bytes) = match message {
                Some(Ok(message)) => message.clone(),
                Some(Err(why)) => {
                    loaded.unusable.push((id, why.clone()));
                    continue;
                }
                None => {
                    loaded.unusable.push((id, "the journal has lost the message".to_owned()));
                    continue;
                }
            };
            if weighed.insert(arrival) {
                loaded.bytes += bytes;
            }
            loaded.bytes += bytes_of_values(enriched.as_deref());
            let event =
                Event { resource, enriched, fence, ..Event::new(received, notification, rule, action) };
            loaded.claimed.push((due, ClaimedDelivery { id, key, event, used, newest: false }));
        }
        loaded.claimed.sort_by_key(|(_, claimed)| claimed.id);
        Ok(loaded)
    }

    async fn messages(
        &mut self,
        session: &mut Session,
        rows: &[(DeliveryId, DeliveryRow)],
        room: usize,
    ) -> Result<LoadedMessages, Error> {
        let (mut loaded, mut bytes) = (LoadedMessages::default(), 0);
        let (mut arrivals, mut seen) = (Vec::new(), HashSet::new());
        for (_, row) in rows {
            if seen.insert(row.arrival) {
                arrivals.push(row.arrival);
            }
        }
        // A strong reference keeps the messages in memory.
        let known: HashMap<i64, Message> =
            arrivals.iter().filter_map(|arrival| Some((*arrival, self.messages.get(arrival)?))).collect();
        let missing: Vec<i64> = arrivals
            .iter()
            .copied()
            .filter(|arrival| !known.contains_key(arrival) && !self.large.contains_key(arrival))
            .collect();
        let mut missing = sized(session, missing).await?;
        let mut wanted = bytes;
        missing.retain(|(arrival, size)| {
            let is_large = *size > LARGE;
            // The fetch is repeated when the body is there.
            loaded.is_cut |= is_large;
            if is_large && wanted < room {
                wanted += size;
                self.wanted.insert(*arrival);
            }
            !is_large
        });
        let mut read = HashMap::new();
        for arrival in arrivals {
            if bytes >= room {
                loaded.is_cut = true;
                break;
            }
            if missing.front().is_some_and(|(first, _)| *first == arrival) {
                let some = first_of(&mut missing, room - bytes);
                for row in session.query(MESSAGES, &[&some]).await? {
                    read.insert(row.try_get::<_, i64>(0)?, row);
                }
            }
            let message = match (known.get(&arrival), read.remove(&arrival)) {
                (Some(message), _) => Ok(message.clone()),
                (None, None) if let Some(large) = self.large.remove(&arrival) => large,
                (None, Some(row)) => self.decoded(arrival, received(&row)?),
                (None, None) => continue,
            };
            let message = message.map(|message| {
                let own = bytes_of(&message.0, &message.1);
                bytes += own;
                (message, own)
            });
            loaded.by_arrival.insert(arrival, message);
        }
        Ok(loaded)
    }

    pub(crate) fn read_large(&mut self, arrival: i64, message: Option<ReceivedMessage>) {
        let message = match message {
            Some(received) => self.decoded(arrival, received),
            None => Err("the journal has lost the message".to_owned()),
        };
        self.large.insert(arrival, message);
    }

    fn decoded(&mut self, arrival: i64, received: ReceivedMessage) -> Result<Message, String> {
        match received.decode() {
            Ok(notification) => {
                let message = (Arc::new(received), Arc::new(notification));
                self.messages.insert(arrival, &message);
                Ok(message)
            }
            Err(error) => Err(format!("the journal's copy of the message cannot be read: {error}")),
        }
    }
}

fn limit(piece: usize) -> i64 {
    piece as i64 + 1
}

pub(crate) fn received(row: &Row) -> Result<ReceivedMessage, Error> {
    let (origin, properties) = head(row, 1)?;
    let happened: Option<String> = row.try_get(11)?;
    Ok(ReceivedMessage {
        origin,
        properties,
        body: row.try_get::<_, Vec<u8>>(10)?.into(),
        noted: MessageNotes { happened: happened.map(Into::into), ..MessageNotes::default() },
    })
}

pub(crate) fn head(row: &Row, first: usize) -> Result<(Origin, Properties), Error> {
    let text = |n: usize| row.try_get::<_, String>(first + n);
    let property = |n: usize| row.try_get::<_, Option<String>>(first + n);
    let origin = Origin {
        received: from_millis(row.try_get(first)?),
        redelivered: row.try_get(first + 1)?,
        listener: text(2)?.into(),
        queue: text(3)?.into(),
        exchange: text(4)?,
        routing_key: text(5)?,
    };
    let properties = Properties {
        content_type: property(6)?.map(Into::into),
        content_encoding: property(7)?.map(Into::into),
        compression: property(8)?,
    };
    Ok((origin, properties))
}

/// Returns the next bytes of a stored body: fewer at its end, none if the message has left.
pub(crate) async fn part(
    session: &mut Session,
    arrival: i64,
    (known, size): (usize, usize),
) -> Result<Vec<u8>, Error> {
    let number = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
    let (from, length) = (number(known + 1), number(size));
    let rows = session.query(PART, &[&arrival, &from, &length]).await?;
    rows.first().map_or(Ok(Vec::new()), |row| row.try_get(0))
}

pub(crate) async fn large(
    session: &mut Session,
    arrival: i64,
    body: Vec<u8>,
) -> Result<Option<ReceivedMessage>, Error> {
    let rows = session.query(HEADS, &[&arrival]).await?;
    let found = rows.first().map(received).transpose()?;
    Ok(found.map(|found| ReceivedMessage { body: body.into(), ..found }))
}

pub(crate) async fn known(session: &mut Session, object: &str) -> Result<Option<String>, Error> {
    let rows = session.query(KNOWN, &[&stored_name(object).as_bytes()]).await?;
    rows.first().map(|row| row.try_get(0)).transpose()
}
