//! What is probed of a cloud: the login, and whether the catalogue has the service.

use std::time::Duration;

use osnl_http::HttpError;
use osnl_openstack::{ApiError, Cloud};

use super::{Probe, silent};
use crate::action::http::HttpOptions;
use crate::enrich::EnrichConf;

pub(super) async fn enrichment(conf: &EnrichConf, http: &HttpOptions, deadline: Duration) -> Probe {
    let section = format!("enrich:{}", conf.name);
    cloud_probe(&section, conf.cloud(http), Some(conf.kind.service()), deadline).await.0
}

/// Logs in, and looks where this service is; no object is read. The token is dropped, and ends by itself.
pub(crate) async fn cloud_probe(
    section: &str,
    cloud: Result<Cloud, HttpError>,
    service: Option<&str>,
    deadline: Duration,
) -> (Probe, Option<String>) {
    let cloud = match cloud {
        Ok(cloud) => cloud,
        Err(error) => return (Probe::of(section, "keystone").failed(error.to_string(), None), None),
    };
    let probe = Probe::of(section, format!("keystone {}", cloud.conf().auth_url));
    let trying = async {
        let login = cloud.login().await?;
        let endpoint = match service {
            Some(service) => Some(cloud.endpoint(service).await?),
            None => None,
        };
        Ok((login, endpoint))
    };
    match tokio::time::timeout(deadline, trying).await {
        Err(_) => (silent(probe, deadline), None),
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
            (probe.failed(error.to_string(), advice), None)
        }
        Ok(Ok((login, endpoint))) => {
            let project = login.project.map_or_else(String::new, |project| format!(" for project {project}"));
            let roles = match login.roles.as_slice() {
                [] => "no roles".to_owned(),
                roles => format!("roles {}", roles.join(", ")),
            };
            let place = match (service, &endpoint) {
                (Some(service), Some(endpoint)) => format!("; {service} is at {endpoint}"),
                (_, _) => String::new(),
            };
            (probe.fine(format!("logged in as {}{project} with {roles}{place}", login.user)), endpoint)
        }
    }
}
