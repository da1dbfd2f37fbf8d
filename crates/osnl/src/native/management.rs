use std::path::PathBuf;

use osnl_config::sections::SectionReader;
use osnl_model::{TransportHost, TransportUrl};
use osnl_net::http::{Url, UrlError};
use osnl_transport::RabbitOptions;

use crate::action::driver::{NativeReader as _, login_at};

const OPTION: &str = "management_url";
const FORM: &str = "write https://user:password@host:15671/";

/// The address and login of a broker's management API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagementConf {
    pub(crate) url: TransportUrl,
    /// The host of `transport_url` whose login is sent to hosts without one.
    pub(crate) login: TransportHost,
    pub(crate) ca_file: Option<PathBuf>,
}

impl ManagementConf {
    fn targets(url: &TransportUrl) -> impl Iterator<Item = Result<Url, UrlError>> {
        url.hosts().iter().map(|host| Url::parse(&format!("{}/", base(url, host))))
    }

    /// Returns the URL of the API at a host, without a slash at its end.
    pub(crate) fn base(&self, host: &TransportHost) -> String {
        base(&self.url, host)
    }
}

pub(super) fn read_listener(
    reader: &mut SectionReader<'_>,
    broker: Option<&TransportUrl>,
    rabbit: Option<&RabbitOptions>,
) -> Option<Option<ManagementConf>> {
    if !reader.is_set(OPTION) {
        return Some(None);
    }
    let text = reader.text(OPTION)?;
    // The error omits the text, which has a password.
    let url = match TransportUrl::parse(&text) {
        Ok(url) if !["http", "https"].contains(&url.driver()) => {
            return reader.refuse(OPTION, "the scheme must be http or https", FORM);
        }
        Ok(url) if !url.query().is_empty() => {
            return reader.refuse(
                OPTION,
                "has a query",
                "in a password write ? as %3F; remove what follows the path",
            );
        }
        // An unescaped / in a password ends the hosts.
        Ok(url) if url.virtual_host().contains('@') => {
            return reader.refuse(
                OPTION,
                "has an @ after the hosts",
                "in a password write / as %2F and # as %23",
            );
        }
        Ok(url) => url,
        Err(error) => return reader.refuse(OPTION, &error.to_string(), FORM),
    };
    for target in ManagementConf::targets(&url) {
        match target {
            Ok(target) => reader.warn_of_logins(&[login_at(OPTION, &target)]),
            Err(error) => return reader.refuse(OPTION, error.problem, error.allowed),
        }
    }
    let broker = broker?;
    let login = broker.hosts().first()?.clone();
    Some(Some(ManagementConf { url, login, ca_file: rabbit?.ca_file() }))
}

fn base(url: &TransportUrl, host: &TransportHost) -> String {
    let name = &host.hostname;
    let name = if name.contains(':') { format!("[{name}]") } else { name.clone() };
    let port = host.port.map(|port| format!(":{port}")).unwrap_or_default();
    let prefix = url.virtual_host().trim_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
    format!("{}://{name}{port}{prefix}", url.driver())
}
