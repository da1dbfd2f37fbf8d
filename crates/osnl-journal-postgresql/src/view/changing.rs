//! The operator's changes: the asked member has the owners of the deliveries make them.
//!
//! Each delivery has a row, in which its owner answers. Rows without an answer in time are deleted: a deleted
//! row without an answer will not be carried out, and one with an answer was.

use std::time::Duration;

use osnl_core::epoch::millis;
use osnl_journal::DeliveryId;
use osnl_journal::query::{Change, ChangeOutcome};
use tokio::time::{Instant, sleep};
use tokio_postgres::Error;

use super::{JournalView, conditions};
use crate::asked::{ChangeKind, RowAnswer};
use crate::delivery::delivery;
use crate::options::Options;
use crate::session::{Session, words};
use crate::shared::SharedJournalState;

const AGAIN: Duration = Duration::from_millis(20);
const TRIES: u32 = 3;
/// SQLSTATE of a deadlock: an owner writes the same rows.
const DEADLOCK: &str = "40P01";

const UNANSWERED: &str = "the daemon that owns it has not answered: it is being replaced, stopped, or too old for this command; \
     nothing was changed, ask again";

const ASK: &str = "INSERT INTO osnl_change (command, delivery, partition, asker, asked, kind, text, action, out_of_order, is_dry_run) \
     SELECT $1, d.id, d.partition, $3, $4, $5, $6, $7, $8, $9 FROM osnl_delivery d WHERE d.id = ANY($2) \
     ON CONFLICT (command, delivery) DO NOTHING";
const IS_OPEN: &str = "SELECT 1 FROM osnl_change WHERE command = $1 AND verdict = 0 LIMIT 1";
const UNDER_WAY: &str = "SELECT delivery FROM osnl_change WHERE command = $1 AND verdict = 1 AND NOT is_dry_run ORDER BY delivery";
const TAKE_BACK: &str = "DELETE FROM osnl_change WHERE command = $1 AND (verdict <> 1 OR is_dry_run) \
     RETURNING delivery, verdict, why";

/// A dropped command is withdrawn.
struct CommandInProgress<'a> {
    shared: &'a SharedJournalState,
    id: Vec<u8>,
}

impl Drop for CommandInProgress<'_> {
    fn drop(&mut self) {
        self.shared.end_command(&self.id);
    }
}

impl JournalView {
    pub(crate) async fn select(&self, options: &Options, change: &Change) -> Result<Vec<DeliveryId>, String> {
        let Some(filter) = change.selection() else { return Ok(Vec::new()) };
        let conditions = conditions::of(&filter);
        let sql = format!(
            "SELECT d.id FROM osnl_delivery d JOIN osnl_arrival a ON a.id = d.arrival WHERE true{conditions} ORDER BY d.id"
        );
        let select = async |session: &mut Session| {
            let rows = session.client.query(&sql, &[]).await?;
            rows.iter().map(|row| row.try_get(0).map(delivery)).collect()
        };
        self.read(options, select).await
    }

    pub(crate) async fn change(
        &self,
        options: &Options,
        shared: &SharedJournalState,
        (change, ids, is_dry_run): (&Change, &[DeliveryId], bool),
    ) -> Result<ChangeOutcome, String> {
        let mut outcome = ChangeOutcome::default();
        let (Some((kind, text)), Some((which, _))) = (ChangeKind::of(change), change.which()) else {
            return Ok(outcome);
        };
        let id: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(16).collect();
        let token = shared.begin_command(id.clone());
        let command = CommandInProgress { shared, id };
        let rows: Vec<i64> = ids.iter().map(|id| id.row()).collect();
        let now = millis(std::time::SystemTime::now());
        let (kind, text, action) = (kind as i16, text.replace('\0', "\u{fffd}"), which.action.as_deref());
        let out_of_order = change.is_out_of_order();
        let ask = async |session: &mut Session| {
            session
                .execute(
                    ASK,
                    &[&command.id, &rows, &token, &now, &kind, &text, &action, &out_of_order, &is_dry_run],
                )
                .await
        };
        self.ask(options, "written", ask).await?;
        let until = Instant::now() + options.answers;
        let is_open = async |session: &mut Session| session.query(IS_OPEN, &[&command.id]).await;
        while Instant::now() < until && !self.ask(options, "read", is_open).await?.is_empty() {
            sleep(AGAIN).await;
        }
        for (delivery, verdict, why) in self.take_back(options, &command.id, &mut outcome).await? {
            match RowAnswer::of_number(verdict) {
                Some(RowAnswer::Changed) => outcome.changed.push(delivery),
                Some(RowAnswer::UnderWay) => outcome.under_way.push(delivery),
                Some(RowAnswer::Asked) => outcome.refused.push((delivery, UNANSWERED.to_owned())),
                Some(RowAnswer::Refused) => outcome.refused.push((delivery, why.unwrap_or_default())),
                Some(RowAnswer::Left) | None => {}
            }
        }
        outcome.changed.sort_unstable();
        outcome.refused.sort_unstable();
        outcome.under_way.sort_unstable();
        Ok(outcome)
    }

    /// Withdraws and returns the rows of a command, except those under way.
    async fn take_back(
        &self,
        options: &Options,
        command: &Vec<u8>,
        outcome: &mut ChangeOutcome,
    ) -> Result<Vec<(DeliveryId, i16, Option<String>)>, String> {
        let take_back = async |session: &mut Session| {
            session.client.batch_execute("BEGIN").await?;
            let taken = async {
                let rows = session.query(TAKE_BACK, &[command]).await?;
                Ok::<_, Error>((rows, session.query(UNDER_WAY, &[command]).await?))
            };
            let taken = match taken.await {
                Ok(taken) => taken,
                Err(error) => {
                    session.client.batch_execute("ROLLBACK").await?;
                    let is_deadlock = error.code().is_some_and(|code| code.code() == DEADLOCK);
                    return if is_deadlock { Ok(None) } else { Err(error) };
                }
            };
            session.client.batch_execute("COMMIT").await?;
            Ok(Some(taken))
        };
        for _ in 0..TRIES {
            let Some((rows, under_way)) = self.ask(options, "written", take_back).await? else { continue };
            let failed = |error: Error| words(&error);
            for row in under_way {
                outcome.under_way.push(delivery(row.try_get(0).map_err(failed)?));
            }
            let answer =
                |row: &tokio_postgres::Row| Ok((delivery(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?));
            return rows.iter().map(answer).collect::<Result<_, Error>>().map_err(failed);
        }
        let why = "the daemons that own the deliveries are changing them now; look at osnl deliveries list";
        Err(format!("the journal {}: {why}", options.url))
    }
}
