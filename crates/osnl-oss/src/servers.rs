//! The sources that are asked where events lack a detail: nova, neutron and glance, or a stand-in for them.

use std::fmt;
use std::sync::Arc;

use osnl_http::Expiry;
use osnl_transport::BoxFuture;

use super::event::{Occurrence, What};
use super::instance::{KnownInstance, Nic};
use osnl_actions::ActionError;

/// The details of instances that events lack.
pub trait Servers: Send + Sync + fmt::Debug {
    /// Returns the name of the source in failures ([`ActionError::dependency`]).
    fn dependency(&self) -> Arc<str>;

    /// Returns the ends of the certificates and credentials that it uses.
    fn expiries(&self) -> Vec<Expiry> {
        Vec::new()
    }

    /// The instance that has this port; `None` if there is no such port, or it has none.
    fn of_port<'a>(&'a self, port: &'a str) -> BoxFuture<'a, Result<Option<String>, ActionError>>;

    /// The instance with its flavor, its image's properties and its addresses; `None` if it is gone.
    fn instance<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<KnownServer>, ActionError>>;

    /// The property `os` of an image; `None` if the image is gone, or has none.
    fn os_of_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<Option<String>, ActionError>>;
}

/// An instance as its services describe it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownServer {
    /// The instance.
    pub instance: KnownInstance,
    /// Its addresses, in the order of its networks' names.
    pub nics: Vec<Nic>,
}

/// The event's meaning, with the answers of the APIs.
#[derive(Clone, Debug, PartialEq)]
pub struct Complete {
    /// As far as it can be known.
    pub happened: Occurrence,
    /// The addresses among the answers.
    pub nics: Vec<Nic>,
    /// Whether anybody was asked.
    pub asked: bool,
}

/// Completes it with unknown details, as far as they still exist; the others stay null. Asks nothing if events have
/// shown enough.
///
/// # Errors
/// The source does not answer: another attempt may find more.
pub async fn completed(happened: Occurrence, servers: &dyn Servers) -> Result<Complete, ActionError> {
    let mut complete = Complete { happened, nics: Vec::new(), asked: false };
    let Complete { happened, nics, asked } = &mut complete;
    if happened.not.is_some() {
        return Ok(complete);
    }
    if happened.instance.id.is_none()
        && let Some(port) = &happened.port
    {
        *asked = true;
        happened.instance.id = servers.of_port(port).await?;
    }
    let KnownInstance { id, hostname, display_name, memory_mb, .. } = &happened.instance;
    if let Some(id) = id.clone()
        && (memory_mb.is_none() || (hostname.is_none() && display_name.is_none()))
    {
        *asked = true;
        if let Some(mut found) = servers.instance(&id).await? {
            // What an event has told is of its moment, and counts.
            found.instance.learn(std::mem::take(&mut happened.instance));
            happened.instance = found.instance;
            *nics = found.nics;
            if happened.what == What::Instance && happened.ip.is_none() {
                happened.ip = nics.first().map(Nic::shown);
            }
        }
    } else if let KnownInstance { os: None, image: Some(image), .. } = &happened.instance {
        // Nova's versioned events name the image, and no property of it.
        *asked = true;
        happened.instance.os = servers.os_of_image(image).await?;
    }
    Ok(complete)
}
