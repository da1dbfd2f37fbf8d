//! Who may be asked where events do not tell: nova, neutron and glance, or a stand-in for them.

use std::fmt;

use osnl_transport::BoxFuture;

use super::event::Happened;
use super::instance::Instance;
use crate::action::ActionError;

/// What is known of instances beyond events.
pub trait Servers: Send + Sync + fmt::Debug {
    /// The instance that has this port; `None` if there is no such port, or it has none.
    fn of_port<'a>(&'a self, port: &'a str) -> BoxFuture<'a, Result<Option<String>, ActionError>>;

    /// The instance with its flavor and its image's properties; `None` if it is gone.
    fn instance<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Instance>, ActionError>>;
}

/// With what was not known, as far as it can still be had; what cannot stays null. Nobody is asked where the events
/// have told enough.
///
/// # Errors
/// Who was asked does not answer: another attempt may find more.
pub async fn completed(happened: Happened, servers: &dyn Servers) -> Result<Happened, ActionError> {
    let mut happened = happened;
    if happened.not.is_some() {
        return Ok(happened);
    }
    if happened.instance.id.is_none()
        && let Some(port) = &happened.port
    {
        happened.instance.id = servers.of_port(port).await?;
    }
    let Instance { id, hostname, display_name, memory_mb, .. } = &happened.instance;
    if let Some(id) = id.clone()
        && (memory_mb.is_none() || (hostname.is_none() && display_name.is_none()))
        && let Some(mut found) = servers.instance(&id).await?
    {
        // What an event has told is of its moment, and counts.
        found.learn(std::mem::take(&mut happened.instance));
        happened.instance = found;
    }
    Ok(happened)
}
