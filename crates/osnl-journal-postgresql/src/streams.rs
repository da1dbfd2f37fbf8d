//! Streams with an expectation: fewer messages than expected, over all members.
//!
//! A member tells how many messages it has received since it told last, with each renewal of its leases, in a transaction of its
//! own number: a COMMIT without an answer counts once. The rows are of the stream, not of the member, so that what a member has
//! told counts also when it is gone. Each member judges once a second, from the rows alone: all come to the same verdict.
//!
//! # Time
//!
//! Rows have the time of the database. A member tells the *age* of its latest message, so that clocks of members are not
//! compared. The counts of a stream lie in slots of a 32nd of its time, each with the time of its latest message: at most 33
//! that count, and a stream of several messages is called silent at most that part later. An expectation of one message needs
//! none of them: the row of the stream has its latest.
//!
//! A message that a member has received and not told yet must not be missed: the verdict waits for a lease in addition.
//!
//! While no member has told for longer than a lease, none has worked: the database was away, or all were stopped. No
//! messages could be taken from the broker, so that the time says nothing. The first one that tells begins anew (`since`), and
//! until then no member judges. A clock that is set forward by more than a lease has the same effect.

use std::time::Duration;

use osnl_core::metrics::{Streams, UntoldMessages};
use osnl_core::moment::millis;
use osnl_journal::store::clock::whole_millis;
use tokio_postgres::Error;

use crate::reader::key;
use crate::session::Session;
use crate::transaction::{CommitFailure, Transaction};

/// Parts of the time of an expectation.
const SLOTS: i64 = 32;
/// Longer than any expectation, in milliseconds.
const FORGOTTEN: i64 = 8 * 24 * 3600 * 1000;

/// The time of the database.
macro_rules! now {
    () => {
        "floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint"
    };
}

const SEEN: &str = concat!(
    "INSERT INTO osnl_stream AS s (name, since, seen, last) SELECT n.name, ",
    now!(),
    ", ",
    now!(),
    ", ",
    now!(),
    " - n.age FROM unnest($1::bytea[], $2::bigint[]) AS n (name, age) ORDER BY n.name \
     ON CONFLICT (name) DO UPDATE SET since = CASE WHEN excluded.seen - s.seen > $3 THEN excluded.seen ELSE s.since END, \
       seen = greatest(s.seen, excluded.seen), last = greatest(s.last, excluded.last)"
);
const COUNT: &str = concat!(
    "INSERT INTO osnl_stream_slot AS o (name, slot, count, last) \
     SELECT n.name, n.last / n.width, n.count, n.last FROM (SELECT name, width, count, ",
    now!(),
    " - age AS last FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[]) AS u (name, width, count, age)) AS n \
     ORDER BY n.name \
     ON CONFLICT (name, slot) DO UPDATE SET count = o.count + excluded.count, last = greatest(o.last, excluded.last)"
);
/// Those beyond two times of their stream, and those of streams that are not watched any more.
const FORGET_SLOTS: &str = concat!(
    "DELETE FROM osnl_stream_slot o USING unnest($1::bytea[], $2::bigint[]) AS n (name, within) \
     WHERE o.name = n.name AND o.last < ",
    now!(),
    " - 2 * n.within - $3"
);
const FORGET_OTHERS: &str = concat!("DELETE FROM osnl_stream_slot WHERE last < ", now!(), " - $1::bigint");
const FORGET_STREAMS: &str = concat!("DELETE FROM osnl_stream WHERE seen < ", now!(), " - $1::bigint");
const LOOK: &str = concat!(
    "SELECT n.place, t.now - s.last, t.now - s.since, t.now - s.seen, \
       coalesce((SELECT sum(o.count) FROM osnl_stream_slot o WHERE o.name = s.name AND o.last >= t.now - n.within - $3), 0)::bigint \
     FROM unnest($1::bytea[], $2::bigint[]) WITH ORDINALITY AS n (name, within, place) \
     JOIN osnl_stream s ON s.name = n.name CROSS JOIN (SELECT ",
    now!(),
    " AS now) AS t"
);

/// A stream as all members have seen it; times are ages in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SeenStream {
    last: Option<i64>,
    since: i64,
    seen: i64,
    /// Messages within the time of the expectation and a lease.
    messages: i64,
}

/// Whether fewer messages came than are expected; `None` if that is not known.
fn verdict(seen: SeenStream, (messages, within): (i64, i64), lease: i64) -> Option<bool> {
    if seen.seen > lease {
        return None;
    }
    let is_awaited = |age: i64| age <= within + lease;
    Some(
        !is_awaited(seen.since)
            && match messages {
                1 => !seen.last.is_some_and(is_awaited),
                _ => seen.messages < messages,
            },
    )
}

/// Returns the key of a stream and its time; those with another time are another stream.
fn stream(of: &UntoldMessages) -> (Vec<u8>, i64) {
    let within = whole_millis(of.expect.within);
    (key(b"stream", &[of.kind.name().as_bytes(), of.name.as_bytes(), &within.to_be_bytes()]), within)
}

impl Transaction<'_> {
    /// Tells the other members what this one has received, and that it watches.
    pub(crate) async fn tell_streams(
        &mut self,
        untold: &[UntoldMessages],
        lease: Duration,
    ) -> Result<(), CommitFailure> {
        let (names, times): (Vec<Vec<u8>>, Vec<i64>) = untold.iter().map(stream).unzip();
        let now = self.now;
        let age = |of: &UntoldMessages| of.last.map(|last| (now - millis(last)).max(0));
        let ages: Vec<Option<i64>> = untold.iter().map(age).collect();
        let lease = whole_millis(lease);
        self.execute(SEEN, &[&names, &ages, &lease]).await?;
        let (mut new, mut widths, mut counts, mut of_new) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for ((untold, name), (within, age)) in untold.iter().zip(&names).zip(times.iter().zip(&ages)) {
            if let Some(age) = age {
                new.push(name);
                widths.push((within / SLOTS).max(1));
                counts.push(i64::try_from(untold.messages).unwrap_or(i64::MAX));
                of_new.push(*age);
            }
        }
        if !new.is_empty() {
            self.execute(COUNT, &[&new, &widths, &counts, &of_new]).await?;
        }
        self.execute(FORGET_SLOTS, &[&names, &times, &lease]).await?;
        self.execute(FORGET_OTHERS, &[&FORGOTTEN]).await?;
        self.execute(FORGET_STREAMS, &[&FORGOTTEN]).await?;
        Ok(())
    }
}

/// Judges all streams by what the members have told; what is not known stays as it was.
pub(crate) async fn judge(session: &mut Session, streams: &Streams, lease: Duration) -> Result<(), Error> {
    let expected = streams.untold();
    if expected.is_empty() {
        return Ok(());
    }
    let (names, times): (Vec<Vec<u8>>, Vec<i64>) = expected.iter().map(stream).unzip();
    let lease = whole_millis(lease);
    for row in session.query(LOOK, &[&names, &times, &lease]).await? {
        let place: i64 = row.try_get(0)?;
        let (last, since, seen): (Option<i64>, i64, i64) =
            (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        let seen = SeenStream { last, since, seen, messages: row.try_get(4)? };
        let found =
            usize::try_from(place - 1).ok().and_then(|place| Some((expected.get(place)?, times.get(place)?)));
        let Some((of, within)) = found else { continue };
        if let Some(is_silent) = verdict(seen, (of.expect.keys.into(), *within), lease) {
            let age = |last: i64| Duration::from_millis(last.max(0).unsigned_abs());
            let last = last.and_then(|last| std::time::SystemTime::now().checked_sub(age(last)));
            streams.judge(of, last, is_silent);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_waits_for_what_is_not_told_yet_and_for_a_member_that_works() {
        const LEASE: i64 = 15;
        let check = |expect, last: Option<i64>, messages, since, seen, expected| {
            let found = SeenStream { last, since, seen, messages };
            assert_eq!(verdict(found, expect, LEASE), expected, "{found:?}");
        };
        for (last, since, expected) in [
            (None, 615, false),
            (None, 616, true),
            (Some(615), 9999, false),
            (Some(616), 9999, true),
            // No member worked for a while, and it is watched anew.
            (Some(5000), 100, false),
        ] {
            check((1, 600), last, 0, since, 5, Some(expected));
        }
        check((3, 600), Some(1), 2, 9999, 5, Some(true));
        check((3, 600), Some(1), 3, 9999, 5, Some(false));
        check((1, 600), None, 0, 9999, 16, None);
    }
}
