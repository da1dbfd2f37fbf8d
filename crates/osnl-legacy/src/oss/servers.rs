use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use osnl_net::http::Expiry;
use osnl_transport::BoxFuture;

use super::event::{Occurrence, What};
use super::instance::{KnownInstance, Nic};
use osnl_action::ActionError;

pub trait Servers: Send + Sync + fmt::Debug {
    fn dependency(&self) -> Arc<str>;

    fn expiries(&self) -> Vec<Expiry> {
        Vec::new()
    }

    fn failed_at(&self) -> Option<SystemTime> {
        None
    }

    fn server_of_port<'a>(&'a self, port: &'a str) -> BoxFuture<'a, Result<Option<String>, ActionError>>;

    fn instance<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<KnownServer>, ActionError>>;

    fn os_of_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<Option<String>, ActionError>>;
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownServer {
    pub instance: KnownInstance,
    pub nics: Vec<Nic>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Complete {
    pub happened: Occurrence,
    pub nics: Vec<Nic>,
    pub asked: bool,
}

/// Completes as far as the details still exist. Asks nothing if the events suffice.
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
        happened.instance.id = servers.server_of_port(port).await?;
    }
    let KnownInstance { id, hostname, display_name, memory_mb, .. } = &happened.instance;
    if let Some(id) = id.clone()
        && (memory_mb.is_none() || (hostname.is_none() && display_name.is_none()))
    {
        *asked = true;
        if let Some(mut found) = servers.instance(&id).await? {
            // Values of the event take precedence, because they describe its time.
            found.instance.learn(std::mem::take(&mut happened.instance));
            happened.instance = found.instance;
            *nics = found.nics;
            if happened.what == What::Instance && happened.ip.is_none() {
                happened.ip = nics.first().map(Nic::shown);
            }
        }
    } else if let KnownInstance { os: None, image: Some(image), .. } = &happened.instance {
        *asked = true;
        happened.instance.os = servers.os_of_image(image).await?;
    }
    Ok(complete)
}
