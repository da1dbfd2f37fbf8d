//! Checks the database on each new connection: another server may answer than before, and the journal may
//! have been moved.

use crate::options::Options;
use crate::schema;
use crate::session::{OpenError, Session, refused};

pub(crate) async fn prepare(session: &Session, options: &Options) -> Result<(), OpenError> {
    let encoding = session.client.query_one("SELECT current_setting('server_encoding')", &[]).await;
    let encoding: String = encoding.and_then(|row| row.try_get(0)).map_err(refused)?;
    if encoding != "UTF8" {
        return Err(OpenError::Encoding(encoding));
    }
    let found = match options.migrate {
        true => schema::migrate(&session.client).await?,
        false => schema::check(&session.client).await?,
    };
    if found < schema::VERSION {
        return Err(OpenError::NotMigrated { found, known: schema::VERSION });
    }
    if options.bounds.allow_volatile {
        return Ok(());
    }
    if let Some(setting) = session.is_volatile().await.map_err(refused)? {
        return Err(OpenError::Volatile(setting));
    }
    if !options.url.has_several_hosts() {
        return Ok(());
    }
    match session.asynchronous_replicas().await.map_err(refused)? {
        0 => Ok(()),
        replicas => Err(OpenError::Asynchronous(replicas)),
    }
}
