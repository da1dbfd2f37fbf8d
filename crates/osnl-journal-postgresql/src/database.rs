//! PostgreSQL for `osnl run` and its commands: opening, reading, migrating, and queries to an open journal.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use osnl_core::ends::EndReports;
use osnl_core::event::AskedFor;
use osnl_core::metrics::Counters;
use osnl_journal::query::{DeliveryListRow, Filter, KeptEvent};
use osnl_journal::shared::{
    CheckedConnection, DatabaseFact, FactKind, HeldTargets, Migration, SharedDatabase, SharedJournal,
    SharedOptions, UnusableDatabase,
};
use osnl_journal::sqlite::upkeep::{Observer, VerifyReport};
use osnl_model::Secret;
use osnl_transport::BoxFuture;
use tokio::time::timeout;

use crate::PostgresJournal;
use crate::command::PostgresCommand;
use crate::link;
use crate::options::Options;
use crate::schema;
use crate::session::{OpenError, Session, refused, words};
use crate::tls::PostgresTls;
use crate::url::ConnectionUrl;
use crate::view::{JournalView, events, verify};

const PATIENCE: Duration = Duration::from_secs(10);

const SERVER: &str = "SELECT current_setting('server_version'), current_setting('server_version_num')::integer, \
     current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_standby_names'), \
     current_setting('server_encoding'), current_user::text, current_database()::text";
const MAY_CREATE: &str = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)";
const NOT_OURS: &str = "SELECT c.relname::text FROM pg_class c WHERE c.relkind = 'r' AND c.relname LIKE 'osnl\\_%' \
     AND pg_table_is_visible(c.oid) AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') \
     AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')) ORDER BY 1";
const OLDEST_SERVER: i32 = 130_000;

#[derive(Clone, Copy, Debug)]
pub struct PostgresDatabase;

impl SharedDatabase for PostgresDatabase {
    fn check(&self, connection: &Secret) -> Result<CheckedConnection, String> {
        let url = ConnectionUrl::parse(connection.expose()).map_err(|error| error.to_string())?;
        Ok(CheckedConnection { shown: url.to_string(), logins: url.logins() })
    }

    fn open(
        &self,
        options: &SharedOptions,
        counters: Arc<Counters>,
    ) -> Result<Arc<dyn SharedJournal>, UnusableDatabase> {
        let options = own_options(options).map_err(UnusableDatabase)?;
        match PostgresJournal::open(options, counters) {
            Ok(journal) => Ok(Arc::new(journal)),
            Err(error) => Err(UnusableDatabase(error.to_string())),
        }
    }

    fn inspect(&self, options: &SharedOptions, largest_body: u64) -> BoxFuture<'static, Vec<DatabaseFact>> {
        let options = own_options(options);
        Box::pin(async move {
            let mut facts = Vec::new();
            let inspected = match options {
                Ok(options) => inspect(&options, largest_body, &mut facts).await,
                Err(why) => Err(why),
            };
            if let Err(why) = inspected {
                let advice = "start the server, or correct [journal] connection";
                facts.push(fact("server", FactKind::Failed, why, Some(advice)));
            }
            facts
        })
    }

    fn migrate(
        &self,
        options: &SharedOptions,
        is_dry_run: bool,
    ) -> BoxFuture<'static, Result<Migration, String>> {
        let options = own_options(options);
        Box::pin(async move {
            let session = session(&options?).await?;
            let migrated = async {
                let from = schema::check(&session.client).await?;
                if !is_dry_run {
                    schema::migrate(&session.client).await?;
                }
                Ok::<_, OpenError>(Migration { from, to: schema::VERSION, sql: schema::sql(from) })
            };
            migrated.await.map_err(|error| error.to_string())
        })
    }

    fn events(
        &self,
        options: &SharedOptions,
        filter: Filter,
        limit: u32,
        last: bool,
    ) -> BoxFuture<'static, Result<Vec<KeptEvent>, String>> {
        let options = own_options(options);
        Box::pin(async move {
            let options = options?;
            let query = async |session: &mut Session| events::events(session, &filter, limit, last).await;
            JournalView::default().read(&options, query).await
        })
    }

    fn asked_for(
        &self,
        options: &SharedOptions,
        events: Vec<Vec<DeliveryListRow>>,
    ) -> BoxFuture<'static, Result<Vec<Vec<AskedFor>>, String>> {
        let options = own_options(options);
        Box::pin(async move {
            let options = options?;
            let query = async |session: &mut Session| events::asked_for(session, &events).await;
            JournalView::default().read(&options, query).await
        })
    }

    fn verify(
        &self,
        options: &SharedOptions,
        observer: Observer,
    ) -> BoxFuture<'static, Result<Option<VerifyReport>, String>> {
        let options = own_options(options);
        Box::pin(async move { verify::verify(&options?, &observer).await })
    }

    fn member_names(&self, options: &SharedOptions) -> BoxFuture<'static, Result<Vec<String>, String>> {
        let options = own_options(options);
        Box::pin(async move {
            let options = options?;
            let query = async |session: &mut Session| {
                let rows = session.query("SELECT name FROM osnl_member ORDER BY name", &[]).await?;
                rows.iter().map(|row| row.try_get(0)).collect()
            };
            JournalView::default().read(&options, query).await
        })
    }

    fn deliveries_of(
        &self,
        options: &SharedOptions,
        message_ids: HashSet<String>,
    ) -> BoxFuture<'static, Result<HashMap<String, Vec<DeliveryListRow>>, String>> {
        let options = own_options(options);
        Box::pin(async move {
            let options = options?;
            let query = async |session: &mut Session| events::deliveries_of(session, &message_ids).await;
            JournalView::default().read(&options, query).await
        })
    }
}

fn own_options(options: &SharedOptions) -> Result<Options, String> {
    let url = ConnectionUrl::parse(options.connection.expose()).map_err(|error| error.to_string())?;
    let url = url.in_file(options.connection_file.clone());
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(Options {
        migrate: true,
        lease: options.lease,
        renewal: options.lease / 3,
        patience: options.lease / 3,
        bounds: options.bounds.clone(),
        archive: options.archive.clone(),
        overflowing: options.overflowing.clone(),
        digests: options.digests.clone(),
        ..Options::new(url, format!("{machine}:{}", std::process::id()))
    })
}

async fn session(options: &Options) -> Result<Session, String> {
    let tls = PostgresTls::of(&options.url)?;
    let connecting = Session::connect(&options.url, tls, options.patience);
    match timeout(PATIENCE, connecting).await {
        Ok(session) => session.map_err(|error| format!("{}: {}", options.url, words(&error))),
        Err(_) => Err(format!("{}: no answer within {} s", options.url, PATIENCE.as_secs())),
    }
}

pub(crate) fn fact(
    part: &'static str,
    kind: FactKind,
    found: impl Into<String>,
    advice: Option<&str>,
) -> DatabaseFact {
    DatabaseFact { part, kind, found: found.into(), advice: advice.map(str::to_owned) }
}

async fn inspect(options: &Options, largest_body: u64, facts: &mut Vec<DatabaseFact>) -> Result<(), String> {
    let mut session = session(options).await?;
    let failed = |error: tokio_postgres::Error| words(&error);
    let row = session.client.query_one(SERVER, &[]).await.map_err(failed)?;
    let text = |column: usize| row.try_get::<_, String>(column).map_err(failed);
    let (version, number) = (text(0)?, row.try_get::<_, i32>(1).map_err(failed)?);
    let (fsync, pages, standbys, encoding) = (text(2)?, text(3)?, text(4)?, text(5)?);
    let replicas = session.asynchronous_replicas().await.map_err(failed)?;
    let standby = match standbys.is_empty() {
        true if replicas > 0 => format!("asynchronous replicas: {replicas}"),
        true => "no replica is connected".to_owned(),
        false => "synchronous standby".to_owned(),
    };
    let found = format!(
        "PostgreSQL {version}, database {} as {}; synchronous_commit = on (set by osnl), fsync = {fsync}, \
         full_page_writes = {pages}; {standby}",
        text(7)?,
        text(6)?
    );
    let risk = if fsync == "off" || pages == "off" {
        Some(("commits are lost when the server fails", "set fsync and full_page_writes on"))
    } else if replicas > 0 && options.url.has_several_hosts() {
        let remedy = "set synchronous_standby_names, or name one host in connection";
        Some(("the latest commits are lost at a fail-over", remedy))
    } else {
        None
    };
    facts.push(if number < OLDEST_SERVER {
        fact("server", FactKind::Failed, found, Some("use PostgreSQL 13 or newer"))
    } else if encoding != "UTF8" {
        let found = format!("{found}; encoding {encoding}");
        fact("server", FactKind::Failed, found, Some("create the database with ENCODING 'UTF8'"))
    } else if let Some((risk, remedy)) = risk {
        match options.bounds.allow_volatile {
            true => fact("server", FactKind::Warning, found, Some(risk)),
            false => {
                let advice = format!("{remedy}, or set allow_volatile = true: {risk}");
                fact("server", FactKind::Failed, found, Some(&advice))
            }
        }
    } else {
        fact("server", FactKind::Fine, found, None)
    });
    facts.push(tables(&session).await?);
    facts.push(link::inspect(&mut session, options.lease, largest_body).await.map_err(failed)?);
    Ok(())
}

async fn tables(session: &Session) -> Result<DatabaseFact, String> {
    let known = schema::VERSION;
    let failed = |error| refused(error).to_string();
    let rows = session.client.query(NOT_OURS, &[]).await.map_err(failed)?;
    let denied: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    let denied = denied.map_err(failed)?;
    if !denied.is_empty() {
        let found = format!("this user may not read and write {}", denied.join(", "));
        let advice = "GRANT SELECT, INSERT, UPDATE, DELETE on them to it";
        return Ok(fact("tables", FactKind::Failed, found, Some(advice)));
    }
    let found = match schema::check(&session.client).await {
        Ok(found) => found,
        Err(error) => return Ok(fact("tables", FactKind::Failed, error.to_string(), None)),
    };
    let row = session.client.query_one(MAY_CREATE, &[]).await.map_err(failed)?;
    let may_create: bool = row.try_get(0).map_err(failed)?;
    if found >= known {
        let found = format!("version {found}, readable and writable");
        return Ok(fact("tables", FactKind::Fine, found, None));
    }
    let from = if found == 0 { "no tables yet".to_owned() } else { format!("version {found}") };
    if may_create {
        return Ok(fact("tables", FactKind::Fine, format!("{from}; osnl run makes version {known}"), None));
    }
    let advice =
        "let their owner run the SQL of osnl journal migrate --dry-run, or GRANT CREATE on the schema";
    let found = format!("{from}, and this user may not make version {known}");
    Ok(fact("tables", FactKind::Failed, found, Some(advice)))
}

impl SharedJournal for PostgresJournal {
    fn ends(&self) -> EndReports {
        self.shared.ends.clone()
    }

    fn set_overflowing(&self, actions: BTreeSet<Arc<str>>) {
        self.shared.gate.set_overflowing(actions);
    }

    fn set_digests(&self, actions: BTreeSet<Arc<str>>) {
        let actions = Arc::new(actions);
        self.send(PostgresCommand::Do(Box::new(move |member| member.digests = actions)));
    }

    fn set_sections(&self, sections: &BTreeMap<String, String>) {
        self.shared.report.set_sections(sections);
    }

    fn report_held(&self, held: HeldTargets) {
        self.shared.report.set_held(held);
    }

    fn begin_reading(&self, listener: &str, queue: &str) {
        Self::begin_reading(self, listener, queue);
    }

    fn returned_canaries(&self, message_ids: Vec<String>) -> BoxFuture<'_, Result<Vec<String>, String>> {
        Box::pin(async move { self.canaries.returned_canaries(&self.options, &message_ids).await })
    }
}
