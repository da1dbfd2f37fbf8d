//! Proves that a 404 of nova or neutron means a missing object.
//!
//! To a user without the role admin, both services answer about objects of other projects as about missing ones. With a
//! token of a role that was taken away, everything is missing. In one region, the objects of the others are.

use osnl_delivery::enrich::Kind;
use osnl_net::http::StatusCode;
use serde_json::Value;

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
    #[error(
        "the catalogue has {service} in {regions}, and in each of them objects of the others look deleted: if all ids are \
         of one region, name it with --region"
    )]
    Regions { service: &'static str, regions: String },
    /// The list of all projects is refused, or a service does not answer.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl Cloud {
    /// Proves that no other region of this cloud has objects of the kind, which would look deleted.
    pub async fn has_one_region(&self, kind: Kind) -> Result<(), Unproved> {
        let service = kind.service();
        let regions = self.regions(service).await?;
        if regions.len() > 1 {
            return Err(Unproved::Regions { service, regions: regions.join(", ") });
        }
        Ok(())
    }

    /// Logs in anew, and proves that the user sees the objects of all projects in the region that is asked.
    pub async fn sees_all(&self, kind: Kind) -> Result<(), Unproved> {
        self.forget_token();
        let login = self.login().await?;
        if !login.roles.iter().any(|role| role == ADMIN) {
            return Err(Unproved::NotAdmin { user: self.shown(), roles: login.roles });
        }
        let list = kind.collection_url(&self.endpoint(kind.service()).await?);
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
