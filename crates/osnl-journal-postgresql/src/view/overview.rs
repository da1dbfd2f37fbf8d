use std::collections::BTreeMap;
use std::time::SystemTime;

use osnl_core::epoch::from_millis;
use osnl_journal::PausedActions;
use osnl_journal::query::{FailingKey, JournalNumbers, Overview, RowState, Tally};
use osnl_journal::shared::OwnShare;
use tokio_postgres::Error;

use super::groups::held_causes;
use super::listing::state;
use super::{JournalView, PAUSED};
use crate::bounds::OF_QUARANTINE;
use crate::delivery::delivery;
use crate::leases::LeaseToken;
use crate::options::Options;
use crate::session::Session;

const SCAN_LIMIT: i64 = 1000;

/// The last number is that of a member's own partitions, here and below.
const TALLY: &str = "SELECT t.action, t.state, sum(t.count)::bigint, \
       coalesce(sum(t.count) FILTER (WHERE p.token = $1), 0)::bigint \
     FROM osnl_tally t LEFT JOIN osnl_partition p ON p.id = t.partition GROUP BY t.action, t.state";
const ARRIVED: &str = "SELECT d.action, d.begins, count(*), count(*) FILTER (WHERE p.token = $1), min(a.received) \
     FROM osnl_delivery d JOIN osnl_arrival a ON a.id = d.arrival LEFT JOIN osnl_partition p ON p.id = d.partition \
     WHERE d.state = -1 GROUP BY d.action, d.begins";
const OWNER: &str = "SELECT 1 FROM osnl_partition WHERE id = $1 AND token = $2";
const OLDEST: &str = "SELECT received FROM osnl_arrival WHERE id = (SELECT arrival FROM osnl_delivery WHERE id = ( \
       SELECT min(id) FROM (SELECT min(id) AS id FROM osnl_delivery WHERE action = $1 AND state = 1 AND due = 0 \
       UNION ALL SELECT min(id) FROM osnl_delivery WHERE action = $1 AND state = 1 AND due > 0) AS firsts))";
const FAILING_KEYS: &str = "SELECT d.id, coalesce(d.subject_name, d.subject_id, encode(d.key, 'escape')), d.tries, t.since, l.at, l.answer \
     FROM (SELECT * FROM osnl_delivery WHERE action = $1 AND state = 1 AND due > 0 ORDER BY due LIMIT $2) AS d \
     CROSS JOIN LATERAL (SELECT min(at) AS since FROM osnl_attempt WHERE delivery = d.id) AS t \
     CROSS JOIN LATERAL (SELECT at, answer FROM osnl_attempt WHERE delivery = d.id ORDER BY at DESC, slot DESC LIMIT 1) AS l \
     WHERE d.tries >= 2 ORDER BY t.since, d.id";
const DEAD: &str =
    "SELECT reason FROM osnl_delivery WHERE action = $1 AND state = 3 ORDER BY ended DESC LIMIT 1";
const COUNTS: &str = "SELECT (SELECT count(*) FROM osnl_arrival), (SELECT count(*) FROM osnl_unreadable), \
     (SELECT received FROM osnl_arrival ORDER BY id LIMIT 1)";

impl JournalView {
    pub(crate) async fn numbers(
        &self,
        options: &Options,
        token: &LeaseToken,
    ) -> Result<JournalNumbers, String> {
        self.read(options, async |session: &mut Session| numbers(session, token).await).await
    }
}

type StateCounts = BTreeMap<(String, RowState), [i64; 2]>;

fn tally(counts: &StateCounts, of: usize) -> Vec<Tally> {
    let some = counts.iter().filter(|(_, numbers)| numbers[of] > 0);
    some.map(|((action, state), numbers)| {
        let count = numbers[of].unsigned_abs();
        Tally { action: action.clone(), state: *state, count }
    })
    .collect()
}

async fn numbers(session: &mut Session, token: &LeaseToken) -> Result<JournalNumbers, Error> {
    let mut found = JournalNumbers::default();
    let mut counts = StateCounts::new();
    for row in session.query(TALLY, &[token]).await? {
        counts.insert((row.try_get(0)?, state(row.try_get(1)?)), [row.try_get(2)?, row.try_get(3)?]);
    }
    // Arrived deliveries count as waiting, since live ones wait for their lane.
    for row in session.query(ARRIVED, &[token]).await? {
        let action: String = row.try_get(0)?;
        let begins = state(row.try_get(1)?);
        let numbers = counts.entry((action.clone(), begins)).or_default();
        numbers[0] += row.try_get::<_, i64>(2)?;
        numbers[1] += row.try_get::<_, i64>(3)?;
        if begins == RowState::Waiting {
            earlier(&mut found.oldest, action, from_millis(row.try_get(4)?));
        }
    }
    found.tally = tally(&counts, 0);
    let reports_sums = !session.query(OWNER, &[&OF_QUARANTINE, token]).await?.is_empty();
    found.own = Some(OwnShare { tally: tally(&counts, 1), reports_sums });
    for of in &found.tally {
        let action = &of.action;
        if of.state == RowState::Ready {
            for row in session.query(OLDEST, &[action]).await? {
                earlier(&mut found.oldest, action.clone(), from_millis(row.try_get(0)?));
            }
            found.failing.insert(action.clone(), failing_keys(session, action).await?);
        }
        if of.state == RowState::Dead
            && let Some(row) = session.query(DEAD, &[action]).await?.first()
            && let Some(reason) = row.try_get(0)?
        {
            found.dead_reasons.insert(action.clone(), reason);
        }
    }
    found.held = held_causes(session).await?;
    let (mut paused, mut paused_by) = (PausedActions::new(), BTreeMap::new());
    for row in session.query(PAUSED, &[]).await? {
        paused.insert(row.try_get(0)?, from_millis(row.try_get(1)?));
        paused_by.insert(row.try_get(0)?, row.try_get(2)?);
    }
    found.paused.clone_from(&paused);
    for row in session.query(COUNTS, &[]).await? {
        found.overview = Some(Overview {
            events: row.try_get::<_, i64>(0)?.unsigned_abs(),
            unreadable: row.try_get::<_, i64>(1)?.unsigned_abs(),
            oldest: row.try_get::<_, Option<i64>>(2)?.map(from_millis),
            suspects: 0,
            paused: paused.clone(),
            paused_by: paused_by.clone(),
        });
    }
    Ok(found)
}

async fn failing_keys(session: &mut Session, action: &str) -> Result<Vec<FailingKey>, Error> {
    let mut failing = Vec::new();
    for row in session.query(FAILING_KEYS, &[&action, &SCAN_LIMIT]).await? {
        failing.push(FailingKey {
            id: delivery(row.try_get(0)?),
            resource: row.try_get(1)?,
            tries: u32::try_from(row.try_get::<_, i64>(2)?).unwrap_or(u32::MAX),
            since: from_millis(row.try_get(3)?),
            at: from_millis(row.try_get(4)?),
            answer: row.try_get(5)?,
        });
    }
    Ok(failing)
}

fn earlier(oldest: &mut BTreeMap<String, SystemTime>, action: String, at: SystemTime) {
    let first = oldest.entry(action).or_insert(at);
    *first = at.min(*first);
}
