//! Finds faults in the tables: unreadable messages, deliveries without their message, blocked lanes, and
//! wrong counts. All queries see one snapshot, while daemons work.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use osnl_core::epoch::from_millis;
use osnl_journal::query::{Phase, RowState};
use osnl_journal::sqlite::upkeep::{Contents, Observer, UpkeepProgress, VerifyReport};
use tokio_postgres::{Error, Row};

use super::quarantine;
use crate::delivery::delivery;
use crate::load::{BODIES, MESSAGES, received};
use crate::options::Options;
use crate::schema;
use crate::session::{Session, words};
use crate::tls::PostgresTls;

/// The longest time for an answer: a count reads a whole table.
const PATIENCE: Duration = Duration::from_secs(600);
const NAMED: usize = 20;
const PIECE: i64 = 500;
const REPORT: Duration = Duration::from_millis(200);

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const CONTENTS: &str = "SELECT (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c \
       WHERE c.relkind = 'r' AND c.relname LIKE 'osnl\\_%' AND pg_table_is_visible(c.oid)), \
     (SELECT count(*) FROM osnl_arrival), \
     (SELECT count(*) FROM osnl_delivery WHERE state BETWEEN -1 AND 2), \
     (SELECT count(*) FROM osnl_delivery WHERE state = 3), \
     (SELECT count(*) FROM osnl_unreadable), \
     (SELECT max(received) FROM osnl_arrival)";
const SIZES: &str =
    "SELECT id, octet_length(body)::bigint FROM osnl_arrival WHERE id > $1 ORDER BY id LIMIT $2";
const UNKNOWN: &str = "SELECT id FROM osnl_delivery WHERE state NOT BETWEEN -1 AND $1 ORDER BY id LIMIT $2";
const LOST: &str = "SELECT d.id FROM osnl_delivery d LEFT JOIN osnl_arrival a ON a.id = d.arrival WHERE a.id IS NULL \
     AND d.state >= $1 ORDER BY d.id LIMIT $2";
const STUCK: &str = "SELECT min(w.id) FROM osnl_delivery w WHERE w.lane IS NOT NULL AND w.state = $1 AND NOT EXISTS ( \
       SELECT 1 FROM osnl_delivery o WHERE o.lane = w.lane AND o.state IN (1, 2, 3)) GROUP BY w.lane ORDER BY 1 LIMIT $2";
const TWO: &str = "SELECT max(id) FROM osnl_delivery WHERE lane IS NOT NULL AND state = $1 GROUP BY lane \
     HAVING count(*) > 1 ORDER BY 1 LIMIT $2";
const TALLY: &str = "SELECT coalesce(t.partition, d.partition), coalesce(t.action, d.action), coalesce(t.state, d.state), \
       coalesce(t.count, 0), coalesce(d.count, 0) \
     FROM (SELECT partition, action, state, count FROM osnl_tally) t \
     FULL JOIN (SELECT partition, action, state, count(*) AS count FROM osnl_delivery WHERE state >= 0 \
       GROUP BY partition, action, state) d \
     ON t.partition = d.partition AND t.action = d.action AND t.state = d.state \
     WHERE coalesce(t.count, 0) <> coalesce(d.count, 0) ORDER BY 1, 2, 3 LIMIT $1";

/// Reads all tables; `None` if the observer has stopped the check.
pub(crate) async fn verify(options: &Options, observer: &Observer) -> Result<Option<VerifyReport>, String> {
    let tls = PostgresTls::of(&options.url)?;
    let session = Session::connect(&options.url, tls, PATIENCE).await.map_err(|error| words(&error))?;
    let found = schema::check(&session.client).await.map_err(|error| error.to_string())?;
    if found < schema::VERSION {
        let known = schema::VERSION;
        return Err(format!(
            "the tables are of version {found}, this osnl needs {known}; run osnl journal migrate"
        ));
    }
    session.client.batch_execute(SNAPSHOT).await.map_err(|error| words(&error))?;
    let mut check = DatabaseCheck { session, observer, reported: None, problems: Vec::new() };
    check.run(found).await.map_err(|error| words(&error))
}

struct DatabaseCheck<'a> {
    session: Session,
    observer: &'a Observer,
    reported: Option<Instant>,
    problems: Vec<String>,
}

impl DatabaseCheck<'_> {
    async fn run(&mut self, version: i32) -> Result<Option<VerifyReport>, Error> {
        let rows = self.session.query(CONTENTS, &[]).await?;
        let contents = rows.first().map(|row| contents(row, version)).transpose()?.unwrap_or_default();
        if self.messages(contents.events).await?.is_break() {
            return Ok(None);
        }
        let last = RowState::ALL.len() as i16 - 1;
        self.each(UNKNOWN, last, "has an unknown state").await?;
        self.each(LOST, -1, "has no message").await?;
        self.each(STUCK, RowState::Waiting as i16, "waits for no other").await?;
        self.each(TWO, RowState::Ready as i16, "is ready with another one of its resource").await?;
        self.tally().await?;
        self.quarantine().await?;
        Ok(Some(VerifyReport { contents, problems: std::mem::take(&mut self.problems) }))
    }

    async fn messages(&mut self, of: u64) -> Result<ControlFlow<()>, Error> {
        let (mut after, mut done, mut found) = (i64::MIN, 0, Vec::new());
        loop {
            let sizes = self.session.query(SIZES, &[&after, &PIECE]).await?;
            let (mut some, mut bytes) = (Vec::new(), 0);
            for (n, row) in sizes.iter().enumerate() {
                let (id, size): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
                after = id;
                some.push(id);
                bytes += usize::try_from(size).unwrap_or_default();
                if bytes < BODIES && n + 1 < sizes.len() {
                    continue;
                }
                for row in self.session.query(MESSAGES, &[&some]).await? {
                    if let Err(problem) = received(&row)?.decode() {
                        found.push(format!("event {} cannot be read: {problem}", row.try_get::<_, i64>(0)?));
                    }
                }
                done += some.len() as u64;
                (some, bytes) = (Vec::new(), 0);
                if self.report(done, of).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if sizes.is_empty() {
                self.add(found);
                return Ok(ControlFlow::Continue(()));
            }
        }
    }

    fn report(&mut self, done: u64, of: u64) -> ControlFlow<()> {
        if self.reported.is_some_and(|at| at.elapsed() < REPORT) {
            return ControlFlow::Continue(());
        }
        self.reported = Some(Instant::now());
        (self.observer)(UpkeepProgress { done, of })
    }

    async fn each(&mut self, sql: &str, state: i16, line: &str) -> Result<(), Error> {
        let mut found = Vec::new();
        for row in self.session.query(sql, &[&state, &(NAMED as i64 + 1)]).await? {
            found.push(format!("delivery {} {line}", delivery(row.try_get(0)?)));
        }
        self.add(found);
        Ok(())
    }

    async fn tally(&mut self) -> Result<(), Error> {
        let mut found = Vec::new();
        for row in self.session.query(TALLY, &[&(NAMED as i64 + 1)]).await? {
            let (partition, action): (i16, String) = (row.try_get(0)?, row.try_get(1)?);
            let (number, kept, there): (i16, i64, i64) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
            let state = RowState::ALL.into_iter().find(|state| *state as i16 == number);
            let state = state.map_or("in an unknown state", Phase::word_of);
            found.push(format!(
                "partition {partition}, action {action}: {kept} deliveries {state} are counted, and there are {there}"
            ));
        }
        self.add(found);
        Ok(())
    }

    async fn quarantine(&mut self) -> Result<(), Error> {
        let found = quarantine::damaged(&mut self.session).await?;
        self.add(found.into_iter().map(|id| format!("message {id} in quarantine cannot be read")).collect());
        Ok(())
    }

    fn add(&mut self, mut found: Vec<String>) {
        let more = found.len() > NAMED;
        found.truncate(NAMED);
        self.problems.append(&mut found);
        if more {
            self.problems.push("there are more of this kind".to_owned());
        }
    }
}

fn contents(row: &Row, version: i32) -> Result<Contents, Error> {
    let count = |column: usize| row.try_get::<_, i64>(column).map(i64::unsigned_abs);
    Ok(Contents {
        bytes: count(0)?,
        schema: version.into(),
        events: count(1)?,
        open: count(2)?,
        dead: count(3)?,
        quarantined: count(4)?,
        latest: row.try_get::<_, Option<i64>>(5)?.map(from_millis),
    })
}
