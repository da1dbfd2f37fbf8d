//! Proves that a 404 of nova or neutron means a missing object.
//!
//! To a user without the role admin, both services answer about objects of other projects as about missing ones. In
//! another region, or with a token of a role that was taken away, everything is missing.

use osnl_delivery::enrich::Kind;
use osnl_net::http::StatusCode;
use serde_json::Value;

use crate::catalog::SET_REGION;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::kind::ApiKind as _;

/// The role by which nova and neutron show the objects of all projects (`context_is_admin` of their policies).
const ADMIN: &str = "admin";

/// The reason for which a 404 of a cloud proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    #[error(
        "{user} does not have the role admin, so that objects of other projects look deleted; it has {}",
        if .roles.is_empty() { "no role".to_owned() } else { .roles.join(", ") }
    )]
    NotAdmin { user: String, roles: Vec<String> },
    #[error("{service}: {choice}; {SET_REGION}")]
    Regions { service: &'static str, choice: String },
    /// The list of all projects is refused, or a service does not answer.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl Cloud {
    /// Logs in anew, and proves that the user sees the objects of all projects, in the only or configured region.
    pub async fn sees_all(&self, kind: Kind) -> Result<(), Unproved> {
        self.forget_token();
        let login = self.login().await?;
        if !login.roles.iter().any(|role| role == ADMIN) {
            return Err(Unproved::NotAdmin { user: self.shown(), roles: login.roles });
        }
        let service = kind.service();
        let found = self.service_url(service).await?;
        if let Some(choice) = found.choice() {
            return Err(Unproved::Regions { service, choice });
        }
        let list = kind.collection_url(&found.url);
        // Each service refuses this list to a user that its own policy does not call an admin.
        let (at, key) = match kind {
            Kind::Server => (format!("{list}?all_tenants=1&limit=1"), kind.collection()),
            Kind::Port => (format!("{}/quotas", list.trim_end_matches("/ports")), "quotas"),
            _ => (format!("{list}?limit=1"), kind.collection()),
        };
        let answer = self.ask(kind, &at).await?;
        // The quotas of many projects may be longer than the limit of a reply.
        if answer.status == StatusCode::OK && !answer.is_whole() {
            return Ok(());
        }
        let listed = |body: &mut Value| body.get(key)?.as_array().map(|_| ());
        Ok(self.wanted(kind, &at, &answer, listed)?)
    }
}
