use std::time::{Duration, Instant};

use osnl_action::driver::{Probe, ProbeVerdict, client_certificate_probe, silent};
use osnl_net::http::HttpOptions;
use osnl_openstack::{Cloud, CloudConf, CloudLogin, GIVE_IT_TLS, LoggedIn, SET_REGION, Scope, ServiceUrl};

/// Logs in and searches within the deadline. `None` if the probe reports a failure, or no service was requested.
pub(super) async fn cloud_probe(
    section: &str,
    conf: &CloudConf,
    http: &HttpOptions,
    service: Option<&str>,
    deadline: Duration,
) -> (Probe, Option<String>) {
    let cloud = match Cloud::new(conf.clone(), http, deadline) {
        Ok(cloud) => cloud,
        Err(error) => return (keystone_probe(section, conf).failed(error.to_string(), None), None),
    };
    let begun = Instant::now();
    let (probe, logged_in) = log_in(section, &cloud, deadline).await;
    let (Some(logged_in), Some(service)) = (logged_in, service) else { return (probe, None) };
    // The catalogue is cached with the token and fetched once more if it lacks the service.
    let left = deadline.saturating_sub(begun.elapsed());
    let Ok(found) = tokio::time::timeout(left, cloud.service_url(service)).await else {
        return (silent(probe, deadline), None);
    };
    match found {
        Ok(place) => {
            let found = format!("{}; {service} is at {}", probe.found, place.url);
            (chosen(Probe { found, ..probe }, &cloud, service, &place), Some(place.url))
        }
        Err(error) => (probe.failed(error.to_string(), Some(catalog_advice(&logged_in))), None),
    }
}

/// Adds to a probe that the place is one of several, or that the token goes there in clear.
pub fn chosen(probe: Probe, cloud: &Cloud, service: &str, place: &ServiceUrl) -> Probe {
    let choice = place.choice().map(|choice| (choice, SET_REGION));
    let clear = cloud.in_clear(service, &place.url).map(|problem| (problem, GIVE_IT_TLS));
    choice.into_iter().chain(clear).fold(probe, |probe, (problem, remedy)| {
        let found = format!("{}; {problem}", probe.found);
        let advice = probe.advice.iter().fold(remedy.to_owned(), |all, more| format!("{all}; {more}"));
        match probe.verdict {
            ProbeVerdict::Fine | ProbeVerdict::Warning | ProbeVerdict::Note | ProbeVerdict::Unproven => {
                probe.warning(found, &advice)
            }
            ProbeVerdict::Failed => probe.failed(found, Some(&advice)),
        }
    })
}

pub fn certificate_of_cloud(section: &str, conf: &CloudConf) -> Option<Probe> {
    client_certificate_probe(section, &conf.certificate.as_ref()?.certificate)
}

pub fn keystone_probe(section: &str, conf: &CloudConf) -> Probe {
    Probe::new(section, format!("keystone {}", conf.auth_url))
}

pub async fn log_in(section: &str, cloud: &Cloud, deadline: Duration) -> (Probe, Option<LoggedIn>) {
    let probe = keystone_probe(section, cloud.conf());
    match tokio::time::timeout(deadline, cloud.login()).await {
        Err(_) => (silent(probe, deadline), None),
        Ok(Err(error)) => {
            let advice = cloud.remedy(&error);
            (probe.failed(error.to_string(), advice), None)
        }
        Ok(Ok(login)) => {
            let scope = match (&login.project, &cloud.conf().scope) {
                (Some(project), _) => format!(" for project {project}"),
                (None, Scope::System) => " for the whole system".to_owned(),
                (None, Scope::Domain(_)) => " for a domain".to_owned(),
                (None, Scope::Unscoped | Scope::ProjectId(_) | Scope::Project(..)) => {
                    " for nothing".to_owned()
                }
            };
            let roles = match login.roles.as_slice() {
                [] => "no roles".to_owned(),
                roles => format!("roles {}", roles.join(", ")),
            };
            let found = format!("logged in as {}{scope} with {roles}", login.user);
            let probe = match (&cloud.conf().identity, login.lifetime) {
                (CloudLogin::Token(_), Some(lifetime)) => {
                    let found = format!("{found}, by a token that ends in {} min", lifetime.as_secs() / 60);
                    probe.warning(found, "nothing can renew it; an application credential renews itself")
                }
                (
                    CloudLogin::Password { .. }
                    | CloudLogin::ApplicationCredential { .. }
                    | CloudLogin::Token(_),
                    _,
                ) => probe.fine(found),
            };
            (probe, Some(login))
        }
    }
}

pub fn catalog_advice(login: &LoggedIn) -> &'static str {
    if login.services.is_empty() {
        "name a project to log in for, with project_name"
    } else {
        "region_name and interface choose among what there is"
    }
}
