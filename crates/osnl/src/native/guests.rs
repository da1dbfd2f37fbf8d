//! Warns, when a configuration is checked, of hosts of a transport URL without a user; a daemon logs this when
//! connecting.

use osnl_config::sections::RawSection;
use osnl_config::{Finding, Warning};
use osnl_model::TransportUrl;

use super::LoadedConf;

const URL: &str = "transport_url";

impl LoadedConf {
    #[must_use]
    pub fn guest_hosts(&self) -> Vec<Warning> {
        let of_section = |section: &RawSection| -> Vec<Warning> {
            let text = section.entry(URL).and_then(|_| self.layers.resolve(section, URL).ok().flatten());
            let Some(url) = text.and_then(|text| TransportUrl::parse(&text).ok()) else { return Vec::new() };
            let warning = |name: &str| {
                let problem = format!("{name} has no user, and is logged in to as guest");
                let finding =
                    Finding::new("configuration", &problem).allowed("write user:password@ before each host");
                let finding = finding.option(URL).group(&section.heading());
                Warning(finding.from_origin(&section.origin(URL)))
            };
            url.hosts_without_login().map(|host| warning(&host.hostname)).collect()
        };
        self.layers.sections.iter().flat_map(of_section).collect()
    }
}
