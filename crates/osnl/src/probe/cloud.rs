//! Probes a cloud: the login, the services of the kinds in use, and the right to read.
//!
//! A list of one object proves the API. Roles may read objects without listing them, so a missing object is requested
//! too: the API's own 404 is success.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use osnl_net::http::FailureClass;
use osnl_openstack::{ApiError, Cloud, Kind, LoggedIn};

use crate::action::driver::{Probe, silent};
use crate::action::http::HttpOptions;
use crate::actions::cloud::{catalog_advice, certificate_of_cloud, chosen, keystone_probe, log_in};
use crate::enrich::EnrichConf;
use crate::native::Native;

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Probes the login and each kind. The token is dropped and expires by itself.
pub(super) async fn enrichment(
    conf: &EnrichConf,
    kinds: &BTreeSet<Kind>,
    http: &HttpOptions,
    deadline: Duration,
) -> Vec<Probe> {
    let section = format!("enrich:{}", conf.name);
    let cloud = match conf.cloud(http) {
        Ok(cloud) => cloud,
        Err(error) => return vec![keystone_probe(&section, &conf.cloud).failed(error.to_string(), None)],
    };
    let (login, logged_in) = log_in(&section, &cloud, deadline).await;
    let mut probes = vec![login];
    probes.extend(certificate_of_cloud(&section, &conf.cloud));
    if let Some(logged_in) = &logged_in {
        let (section, cloud) = (section.as_str(), &cloud);
        let read = kinds.iter().map(|kind| async move {
            let probe = Probe::new(section, format!("{kind}s of {}", kind.service()));
            let reading = reads(probe.clone(), cloud, *kind, logged_in);
            let read = tokio::time::timeout(deadline, reading).await;
            read.unwrap_or_else(|_| silent(probe, deadline))
        });
        probes.extend(join_all(read).await);
    }
    probes
}

async fn reads(probe: Probe, cloud: &Cloud, kind: Kind, login: &LoggedIn) -> Probe {
    let place = match cloud.service_url(kind.service()).await {
        Ok(place) => place,
        Err(error) => {
            return probe.failed(error.to_string(), Some(catalog_advice(login)));
        }
    };
    let service = &place.url;
    // A refused list does not mean that reading is refused.
    let listed = match cloud.list_one(kind).await {
        Err(error) if error.class() != Some(FailureClass::Status(403)) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    };
    let read = match listed {
        Ok(()) => cloud.get(kind, NOBODY).await.map(|_| ()),
        Err(error) => Err(error),
    };
    let all = login.roles.iter().any(|role| role == "admin") || !is_of_projects(kind);
    let read = match (read, &login.project) {
        (Ok(()) | Err(ApiError::Gone(_)), Some(project)) if !all => probe.warning(
            format!("{service} answers, and lets us read those of project {project}"),
            "those of other projects count as gone, and get the default; a role admin sees all",
        ),
        (Ok(()) | Err(ApiError::Gone(_)), _) => {
            probe.fine(format!("{service} answers, and lets us read; none was read"))
        }
        (Err(error), _) => {
            let advice = cloud.remedy(&error);
            probe.failed(error.to_string(), advice)
        }
    };
    chosen(read, cloud, kind.service(), &place)
}

fn is_of_projects(kind: Kind) -> bool {
    match kind {
        Kind::Server
        | Kind::Port
        | Kind::FloatingIp
        | Kind::Network
        | Kind::Subnet
        | Kind::Router
        | Kind::Volume => true,
        Kind::Flavor | Kind::Image | Kind::Project | Kind::User | Kind::Node | Kind::Domain => false,
    }
}

impl Native {
    pub(super) fn kinds_asked(&self, conf: &EnrichConf) -> BTreeSet<Kind> {
        let asks = self.actions.iter().any(|action| action.driver.conf().traits().asks == Some(&conf.name));
        let named = self.actions.iter().any(|action| action.enrich.contains(&conf.name));
        let own = (named || !asks).then_some(conf.kind);
        let of_drivers = [Kind::Server, Kind::Port, Kind::Flavor, Kind::Image];
        own.into_iter().chain(of_drivers.into_iter().filter(|_| asks)).collect()
    }
}
