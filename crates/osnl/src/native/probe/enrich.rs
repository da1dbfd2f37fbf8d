//! What is probed of an enrichment: the login, and whether the catalogue has the service.

use std::time::Duration;

use osnl_openstack::ApiError;

use super::{Probe, silent};
use crate::action::http::HttpOptions;
use crate::enrich::EnrichConf;

/// Logs in; no object is read. The token is dropped, and ends by itself.
pub(super) async fn enrichment(conf: &EnrichConf, http: &HttpOptions, deadline: Duration) -> Probe {
    let probe = Probe::of(format!("enrich:{}", conf.name), format!("keystone {}", conf.cloud.auth_url));
    let cloud = match conf.cloud(http) {
        Ok(cloud) => cloud,
        Err(error) => return probe.failed(error.to_string(), None),
    };
    let trying = async {
        let login = cloud.login().await?;
        let service = cloud.endpoint(conf.kind.service()).await?;
        Ok((login, service))
    };
    match tokio::time::timeout(deadline, trying).await {
        Err(_) => silent(probe, deadline),
        Ok(Err(error)) => {
            let advice = match &error {
                ApiError::Unreachable { .. } | ApiError::TimedOut { .. } => {
                    Some("is it running, and is auth_url right?")
                }
                ApiError::Catalog(_) => Some("region_name and interface choose among what there is"),
                ApiError::Gone(_)
                | ApiError::Forbidden { .. }
                | ApiError::Login { .. }
                | ApiError::Status { .. }
                | ApiError::Answer { .. } => None,
            };
            probe.failed(error.to_string(), advice)
        }
        Ok(Ok((login, service))) => {
            let project = login.project.map_or_else(String::new, |project| format!(" for project {project}"));
            let roles = match login.roles.as_slice() {
                [] => "no roles".to_owned(),
                roles => format!("roles {}", roles.join(", ")),
            };
            let found = format!(
                "logged in as {}{project} with {roles}; {} is at {service}",
                login.user,
                conf.kind.service()
            );
            probe.fine(found)
        }
    }
}
