use osnl_core::epoch::from_millis;
use osnl_journal::query::{
    BoundedCount, CauseGroup, CauseTally, ComparedRow, Filter, GroupOrder, HeldCause, ListPage, RowOrder,
    RowState, Tally,
};
use tokio_postgres::Error;

use super::listing::{FROM, LAST_ANSWER, count, list, phase, state};
use super::{JournalView, conditions};
use crate::delivery::delivery;
use crate::lane::ARRIVED;
use crate::options::Options;
use crate::session::Session;

const KEPT: &str =
    "SELECT action, state, sum(count)::bigint FROM osnl_tally WHERE state <= 3 GROUP BY action, state";
const HELD: &str = "SELECT h.action, h.reason, h.count, d.guarded, a.received FROM \
     (SELECT action, reason, count(*) AS count, min(id) AS first FROM osnl_delivery WHERE state = 2 \
     GROUP BY action, reason) h JOIN osnl_delivery d ON d.id = h.first JOIN osnl_arrival a ON a.id = d.arrival \
     ORDER BY d.id";

impl JournalView {
    /// Returns the groups of matching deliveries, and counts as [`list`](Self::list) does.
    pub(crate) async fn groups(
        &self,
        options: &Options,
        filter: &Filter,
        most: u64,
    ) -> Result<(Vec<CauseGroup>, BoundedCount), String> {
        let both = async |session: &mut Session| {
            Ok((groups(session, filter, most).await?, count(session, filter, most).await?))
        };
        self.read(options, both).await
    }
}

async fn groups(session: &mut Session, filter: &Filter, most: u64) -> Result<Vec<CauseGroup>, Error> {
    let (mut groups, limit) = (CauseTally::default(), CauseTally::limit(most));
    let running = conditions::running(&filter.context);
    let of_running = format!("d.state = 1 AND {running}");
    groups.add(compared(session, filter, &of_running, GroupOrder::Newest, u32::MAX).await?, u32::MAX);
    // An arrived delivery is in a lane soon.
    let arrived = format!("d.state = {ARRIVED}");
    groups.add(compared(session, filter, &arrived, GroupOrder::Newest, limit).await?, limit);
    let mut tally = Vec::new();
    for row in session.query(KEPT, &[]).await? {
        let count = row.try_get::<_, i64>(2)?.unsigned_abs();
        tally.push(Tally { action: row.try_get(0)?, state: state(row.try_get(1)?), count });
    }
    for (place, action) in filter.places(&tally) {
        let filter = Filter { action: Some(action.to_owned()), ..filter.clone() };
        let mut condition = place.condition.to_owned();
        if place.state == RowState::Ready {
            condition.push_str(&format!(" AND NOT {running}"));
        }
        groups.add(compared(session, &filter, &condition, place.order, limit).await?, limit);
    }
    let (ids, mut rows) = (groups.shown(), Vec::new());
    if !ids.is_empty() {
        let filter = Filter { ids, ..Filter::default() };
        let page = ListPage { order: RowOrder::Newest, after: None, limit: u32::MAX };
        rows = list(session, &filter, &page).await?;
    }
    Ok(groups.groups(rows))
}

async fn compared(
    session: &mut Session,
    filter: &Filter,
    condition: &str,
    order: GroupOrder,
    limit: u32,
) -> Result<Vec<ComparedRow>, Error> {
    let (conditions, phase_sql) = (conditions::of(filter), conditions::phase(&filter.context));
    let order = match order {
        GroupOrder::Newest => "d.id DESC",
        GroupOrder::Due => "d.due",
    };
    let sql = format!(
        "SELECT d.id, {phase_sql}, d.action, coalesce(d.reason, {LAST_ANSWER}), d.subject_id, d.subject_name, d.key \
         {FROM} AND {condition}{conditions} ORDER BY {order} LIMIT {limit}"
    );
    let mut compared = Vec::new();
    for row in session.client.query(&sql, &[]).await? {
        let key: Option<Vec<u8>> = row.try_get(6)?;
        let key = key.map(|key| String::from_utf8_lossy(&key).into_owned());
        compared.push(ComparedRow {
            id: delivery(row.try_get(0)?),
            phase: phase(row.try_get(1)?),
            action: row.try_get(2)?,
            answer: row.try_get(3)?,
            own: [row.try_get(4)?, row.try_get(5)?, key],
        });
    }
    Ok(compared)
}

pub(super) async fn held_causes(session: &mut Session) -> Result<Vec<HeldCause>, Error> {
    let mut held = Vec::new();
    for row in session.query(HELD, &[]).await? {
        held.push(HeldCause {
            action: row.try_get(0)?,
            reason: row.try_get(1)?,
            count: row.try_get::<_, i64>(2)?.unsigned_abs(),
            is_guarded: row.try_get(3)?,
            since: from_millis(row.try_get(4)?),
        });
    }
    Ok(held)
}
