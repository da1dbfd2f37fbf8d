//! Reads the tables on a connection of its own, which neither waits for the member's thread nor blocks it.
//!
//! An answer is one snapshot. A failure is an error, never an empty list.

mod canaries;
mod changing;
mod conditions;
pub(crate) mod events;
mod groups;
mod listing;
mod overview;
pub(crate) mod quarantine;
pub(crate) mod verify;

use std::time::Duration;

use osnl_core::epoch::millis;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::Error;

use crate::options::Options;
use crate::session::{Session, words};
use crate::tls::PostgresTls;

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const PAUSED: &str = "SELECT action, since, operator FROM osnl_paused";
const PAUSE: &str =
    "INSERT INTO osnl_paused (action, since, operator) VALUES ($1, $2, $3) ON CONFLICT (action) DO NOTHING";
const RESUME: &str = "DELETE FROM osnl_paused WHERE action = $1";

#[derive(Debug, Default)]
pub(crate) struct JournalView(Mutex<Option<Session>>);

impl JournalView {
    async fn ask<T>(
        &self,
        options: &Options,
        what: &str,
        asking: impl AsyncFnOnce(&mut Session) -> Result<T, Error>,
    ) -> Result<T, String> {
        let mut kept = self.0.lock().await;
        let failed = |why: String| format!("the journal {} cannot be {what}: {why}", options.url);
        let answer = async {
            let mut session = match kept.take().filter(|session| !session.client.is_closed()) {
                Some(session) => session,
                None => {
                    let tls = PostgresTls::of(&options.url)?;
                    let session = Session::connect(&options.url, tls, options.patience).await;
                    session.map_err(|error| words(&error))?
                }
            };
            let answer = asking(&mut session).await.map_err(|error| words(&error))?;
            *kept = Some(session);
            Ok::<T, String>(answer)
        };
        match timeout(PATIENCE, answer).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    pub(crate) async fn read<T>(
        &self,
        options: &Options,
        asking: impl AsyncFnOnce(&mut Session) -> Result<T, Error>,
    ) -> Result<T, String> {
        let snapshot = async |session: &mut Session| {
            session.client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let answer = asking(session).await?;
            session.client.batch_execute("COMMIT").await?;
            Ok(answer)
        };
        self.ask(options, "read", snapshot).await
    }

    pub(crate) async fn set_paused(
        &self,
        options: &Options,
        action: &str,
        by: Option<&str>,
    ) -> Result<(), String> {
        let now = millis(std::time::SystemTime::now());
        let write = async |session: &mut Session| match by {
            Some(by) => session.execute(PAUSE, &[&action, &now, &by]).await,
            None => session.execute(RESUME, &[&action]).await,
        };
        self.ask(options, "written", write).await.map(drop)
    }
}
