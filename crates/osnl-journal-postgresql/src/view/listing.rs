use std::time::{Duration, SystemTime};

use osnl_core::epoch::from_millis;
use osnl_journal::DeliveryId;
use osnl_journal::query::{
    AttemptRow, BoundedCount, DeliveryDetails, DeliveryListRow, Filter, ListPage, Phase, PhaseCount,
    RowOrder, RowState,
};
use tokio_postgres::{Error, Row as Found};

use super::{JournalView, conditions};
use crate::delivery::delivery;
use crate::lane::ARRIVED;
use crate::load::{MESSAGES, received};
use crate::options::Options;
use crate::session::Session;

const BEHIND: i64 = 10;
const OTHERS: u32 = 20;

pub(super) const FROM: &str = "FROM osnl_delivery d JOIN osnl_arrival a ON a.id = d.arrival WHERE true";
/// The holder of a lane: the delivery whose turn it is, a held delivery, or a dead letter.
const COLUMNS: &str = "d.id, d.rule, d.action, d.key, d.state, d.attempts, d.tries, d.ended, d.reason, a.received, a.queue, \
     a.event_type, a.message_id, d.resource, d.subject_id, d.subject_name, d.due, d.guarded, \
     CASE WHEN d.state = 0 THEN coalesce( \
     (SELECT min(o.id) FROM osnl_delivery o WHERE o.lane = d.lane AND o.state = 1), \
     (SELECT min(o.id) FROM osnl_delivery o WHERE o.lane = d.lane AND o.state = 2), \
     (SELECT min(o.id) FROM osnl_delivery o WHERE o.lane = d.lane AND o.state = 3)) END, d.took, a.copies";
pub(super) const LAST_ANSWER: &str = "CASE WHEN d.state <= 2 AND d.tries > 0 THEN \
     (SELECT t.answer FROM osnl_attempt t WHERE t.delivery = d.id ORDER BY t.at DESC, t.slot DESC LIMIT 1) END";
const TRIES: &str =
    "SELECT at, answer, request, took FROM osnl_attempt WHERE delivery = $1 ORDER BY at, slot";
const LANE: &str = "SELECT arrival, lane FROM osnl_delivery WHERE id = $1";
const AHEAD: &str =
    "SELECT count(*) FROM osnl_delivery WHERE lane = $1 AND state BETWEEN -1 AND 2 AND id < $2";
const COUNT_BEHIND: &str =
    "SELECT count(*) FROM osnl_delivery WHERE lane = $1 AND state BETWEEN -1 AND 2 AND id > $2";
const FIRST_BEHIND: &str = "SELECT id FROM osnl_delivery WHERE lane = $1 AND state BETWEEN -1 AND 2 AND id > $2 \
     ORDER BY id LIMIT $3";

impl JournalView {
    pub(crate) async fn list(
        &self,
        options: &Options,
        filter: &Filter,
        page: &ListPage,
        most: u64,
    ) -> Result<(Vec<DeliveryListRow>, BoundedCount), String> {
        let both = async |session: &mut Session| {
            let rows = list(session, filter, page).await?;
            Ok((rows, count(session, filter, most).await?))
        };
        self.read(options, both).await
    }

    pub(crate) async fn show(
        &self,
        options: &Options,
        id: DeliveryId,
    ) -> Result<Option<DeliveryDetails>, String> {
        self.read(options, async |session: &mut Session| show(session, id).await).await
    }
}

pub(super) async fn list(
    session: &mut Session,
    filter: &Filter,
    page: &ListPage,
) -> Result<Vec<DeliveryListRow>, Error> {
    let conditions = conditions::of(filter);
    let (order, than) = match page.order {
        RowOrder::Oldest => ("ASC", ">"),
        RowOrder::Newest => ("DESC", "<"),
    };
    let behind = page.after.map_or(String::new(), |after| format!(" AND d.id {than} {}", after.row()));
    let sql = format!(
        "SELECT {COLUMNS}, {LAST_ANSWER} {FROM}{conditions}{behind} ORDER BY d.id {order} LIMIT {}",
        page.limit
    );
    session.client.query(&sql, &[]).await?.iter().map(row).collect()
}

pub(super) async fn count(session: &mut Session, filter: &Filter, most: u64) -> Result<BoundedCount, Error> {
    let conditions = conditions::of(filter);
    let phase_sql = conditions::phase(&filter.context);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT state, phase, count(*) FROM (SELECT d.state AS state, {phase_sql} AS phase {FROM}{conditions} \
         ORDER BY d.id DESC LIMIT {most}) AS newest GROUP BY state, phase"
    );
    let (mut counts, mut sum): (Vec<PhaseCount>, i64) = (Vec::new(), 0);
    for found in session.client.query(&sql, &[]).await? {
        let count: i64 = found.try_get(2)?;
        sum += count;
        counts.push((state(found.try_get(0)?), phase(found.try_get(1)?), count.unsigned_abs()));
    }
    let more = format!("SELECT 1 {FROM}{conditions} LIMIT 1 OFFSET {most}");
    let has_more = sum == most && !session.client.query(&more, &[]).await?.is_empty();
    Ok((counts, has_more))
}

async fn show(session: &mut Session, id: DeliveryId) -> Result<Option<DeliveryDetails>, Error> {
    let filter = Filter { ids: vec![id], ..Filter::default() };
    let Some(row) = list(session, &filter, &ListPage::default()).await?.pop() else { return Ok(None) };
    let mut tries = Vec::new();
    for found in session.query(TRIES, &[&id.row()]).await? {
        tries.push(AttemptRow {
            at: from_millis(found.try_get(0)?),
            answer: found.try_get(1)?,
            request: found.try_get(2)?,
            took: found.try_get::<_, Option<i64>>(3)?.map(duration),
        });
    }
    let found = session.query(LANE, &[&id.row()]).await?;
    let Some(place) = found.first() else { return Ok(None) };
    let (arrival, lane): (i64, Option<i64>) = (place.try_get(0)?, place.try_get(1)?);
    let messages = session.query(MESSAGES, &[&vec![arrival]]).await?;
    let Some(message) = messages.first() else { return Ok(None) };
    let count = |rows: Vec<Found>| rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0));
    let ahead = count(session.query(AHEAD, &[&lane, &id.row()]).await?)?.unsigned_abs();
    let behind = count(session.query(COUNT_BEHIND, &[&lane, &id.row()]).await?)?.unsigned_abs();
    let mut first = Vec::new();
    for found in session.query(FIRST_BEHIND, &[&lane, &id.row(), &BEHIND]).await? {
        first.push(delivery(found.try_get(0)?));
    }
    let filter = Filter { event: Some(arrival.unsigned_abs()), ..Filter::default() };
    let page = ListPage { limit: OTHERS + 1, ..ListPage::default() };
    let mut others = list(session, &filter, &page).await?;
    others.retain(|other| other.id != id);
    others.truncate(OTHERS as usize);
    let more = behind.saturating_sub(first.len() as u64);
    let received = received(message)?;
    Ok(Some(DeliveryDetails { row, tries, received, ahead, behind: (first, more), others }))
}

pub(super) fn state(number: i16) -> RowState {
    RowState::ALL.into_iter().find(|state| *state as i16 == number).unwrap_or(RowState::Waiting)
}

pub(super) fn phase(number: i32) -> Phase {
    Phase::ALL.into_iter().find(|known| *known as i32 == number).unwrap_or(Phase::Shadow)
}

fn row(found: &Found) -> Result<DeliveryListRow, Error> {
    let at = |column: usize| found.try_get::<_, Option<i64>>(column);
    let number =
        |column: usize| found.try_get::<_, i64>(column).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let key: Option<Vec<u8>> = found.try_get(3)?;
    let numbered: i16 = found.try_get(4)?;
    let when = |at: Option<i64>| -> Option<SystemTime> { at.map(from_millis) };
    Ok(DeliveryListRow {
        id: delivery(found.try_get(0)?),
        rule: found.try_get(1)?,
        action: found.try_get(2)?,
        key: key.map(|key| String::from_utf8_lossy(&key).into_owned()),
        state: state(numbered),
        is_arrived: numbered == ARRIVED,
        attempts: number(5)?,
        tries: number(6)?,
        ended: when(at(7)?),
        reason: found.try_get(8)?,
        received: from_millis(found.try_get(9)?),
        queue: found.try_get(10)?,
        event_type: found.try_get(11)?,
        message_id: found.try_get(12)?,
        copies: found.try_get::<_, i64>(20)?.unsigned_abs(),
        resource: at(13)?.and_then(|resource| u32::try_from(resource).ok()),
        resource_id: found.try_get(14)?,
        resource_name: found.try_get(15)?,
        due: when(at(16)?.filter(|due| *due > 0)),
        is_guarded: found.try_get(17)?,
        waits_for: at(18)?.map(delivery),
        took: at(19)?.map(duration),
        last_answer: found.try_get(21)?,
    })
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}
