//! Warns, when a configuration is checked, of hosts of a transport URL without a user, which a daemon logs when
//! connecting, and of users that a password may be a part of.

use osnl_config::sections::RawSection;
use osnl_config::{Finding, Warning};
use osnl_model::{TransportHost, TransportUrl};

use super::LoadedConf;

const URL: &str = "transport_url";
const EACH_HOST: &str = "write user:password@ before each host";
/// The remedy if a later host has a user alone, which may be the rest of a password.
const EACH_HOST_OR_COMMA: &str = "write user:password@ before each host, and a comma of a password as %2C";

impl LoadedConf {
    #[must_use]
    pub fn guest_hosts(&self) -> Vec<Warning> {
        let of_section = |section: &RawSection| -> Vec<Warning> {
            let text = section.entry(URL).and_then(|_| self.layers.resolve(section, URL).ok().flatten());
            let Some(url) = text.and_then(|text| TransportUrl::parse(&text).ok()) else { return Vec::new() };
            let warning = |problem: String, remedy: &str| {
                let finding = Finding::new("configuration", &problem).allowed(remedy);
                let finding = finding.option(URL).group(&section.heading());
                Warning(finding.from_origin(&section.origin(URL)))
            };
            let has_user_alone = |host: &TransportHost| host.username.is_some() && host.password.is_none();
            let mut found = Vec::new();
            let mut is_cut = false;
            for host in url.hosts().iter().rev() {
                is_cut |= has_user_alone(host);
                let (name, user) = (&host.hostname, host.username.as_deref().unwrap_or_default());
                if url.hosts_without_login().any(|guest| std::ptr::eq(guest, host)) {
                    let remedy = if is_cut { EACH_HOST_OR_COMMA } else { EACH_HOST };
                    found.push(warning(format!("{name} has no user, and is logged in to as guest"), remedy));
                } else if has_user_alone(host) && user.contains(';') {
                    found.push(warning(
                        format!("the user of {name} has no password, and a ; in it"),
                        EACH_HOST,
                    ));
                }
            }
            found.reverse();
            found
        };
        self.layers.sections.iter().flat_map(of_section).collect()
    }
}
