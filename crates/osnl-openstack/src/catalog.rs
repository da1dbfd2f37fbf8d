//! Selects the URL of a service from the catalogue of a token.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// Types of services, each with its aliases in older clouds (the service types authority's list).
const ALIASES: [&[&str]; 14] = [
    &["alarm", "alarming"],
    &["application-container", "container"],
    &["baremetal", "bare-metal"],
    &["block-storage", "block-store", "volumev3", "volumev2", "volume"],
    &["object-store", "object-storage"],
    &["container-infrastructure-management", "container-infra", "container-infrastructure"],
    &["event", "events"],
    &["instance-ha", "ha"],
    &["message", "messaging"],
    &["meter", "metering"],
    &["orchestration", "heat"],
    &["resource-cluster", "cluster", "clustering"],
    &["shared-file-system", "sharev2", "share"],
    &["workflow", "workflowv2"],
];

const MOST_NAMED: usize = 20;
/// The longest name of a type, interface or region, as Keystone's columns have it.
const LONGEST_NAME: usize = 255;
/// Errors, logs and the journal repeat the URL.
const LONGEST_URL: usize = 4096;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Interface {
    #[default]
    Public,
    Internal,
    Admin,
}

impl Interface {
    pub const ALL: [Self; 3] = [Self::Public, Self::Internal, Self::Admin];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Interface {
    type Err = ();

    /// Accepts `public`, or Keystone v2.0's `publicURL`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let name = text.strip_suffix("URL").unwrap_or(text);
        Self::ALL.into_iter().find(|interface| interface.name() == name).ok_or(())
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    endpoints: Vec<CatalogEndpoint>,
    /// The types of services without an endpoint, which a cloud has before its operator creates one.
    bare: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct CatalogEndpoint {
    service: String,
    interface: String,
    region: Option<String>,
    region_id: Option<String>,
    url: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUrl {
    pub url: String,
    pub region: Option<String>,
    pub other_regions: Vec<String>,
}

impl ServiceUrl {
    #[must_use]
    pub fn choice(&self) -> Option<String> {
        let taken = self.region.as_deref().unwrap_or("no region");
        (!self.other_regions.is_empty()).then(|| {
            format!(
                "region {taken} was taken, the first in the catalogue; it also has {}",
                self.other_regions.join(", ")
            )
        })
    }
}

pub const SET_REGION: &str = "set region_name to the region of the notifications";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    #[error("the token has no service catalogue: the login has no scope; name a project (project_name)")]
    None,
    #[error("the service catalogue has no service of type {service}; it has {}", listed(.have))]
    NoService { service: String, have: Vec<String> },
    #[error(
        "the service catalogue has no {interface} URL of {service}{}; it has {}",
        .region.as_ref().map(|region| format!(" in region {region}")).unwrap_or_default(), listed(.have)
    )]
    NoEndpoint { service: String, interface: Interface, region: Option<String>, have: Vec<String> },
}

impl Catalog {
    #[must_use]
    pub fn from_token(token: &Value) -> Self {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let name = |value: &Value, key: &str| text(value, key).filter(|name| name.len() <= LONGEST_NAME);
        let mut catalog = Self::default();
        for service in token.get("catalog").and_then(Value::as_array).into_iter().flatten() {
            let Some(of) = name(service, "type") else { continue };
            let before = catalog.endpoints.len();
            let each = service.get("endpoints").and_then(Value::as_array).into_iter().flatten();
            catalog.endpoints.extend(each.filter_map(|endpoint| {
                Some(CatalogEndpoint {
                    service: of.clone(),
                    interface: name(endpoint, "interface")?,
                    region: name(endpoint, "region"),
                    region_id: name(endpoint, "region_id"),
                    url: text(endpoint, "url").filter(|url| url.len() <= LONGEST_URL)?,
                })
            }));
            if catalog.endpoints.len() == before {
                catalog.bare.push(of);
            }
        }
        catalog
    }

    #[must_use]
    pub fn services(&self) -> Vec<String> {
        distinct(self.endpoints.iter().map(|endpoint| endpoint.service.as_str()))
    }

    /// Returns the regions in which a service is, under any of its names and by any interface.
    #[must_use]
    pub fn regions(&self, service: &str) -> Vec<String> {
        let of_service =
            self.endpoints.iter().filter(|endpoint| official(&endpoint.service) == official(service));
        let mut regions = distinct(of_service.filter_map(CatalogEndpoint::region));
        regions.truncate(MOST_NAMED);
        regions
    }

    /// Returns the URL of a service; without a region the first entry, as keystoneauth does. The
    /// result names the other regions.
    pub fn url(
        &self,
        service: &str,
        interface: Interface,
        region: Option<&str>,
    ) -> Result<ServiceUrl, CatalogError> {
        if self.endpoints.is_empty() && self.bare.is_empty() {
            return Err(CatalogError::None);
        }
        let names = ALIASES.iter().find(|names| names.contains(&service)).copied();
        let one = [service];
        let names = names.unwrap_or(&one);
        // The requested type counts first, then its aliases in order.
        let ordered = one.iter().chain(names.iter().filter(|name| **name != service));
        let mut have = Vec::new();
        for name in ordered {
            for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.service == **name) {
                let here = region.is_none_or(|region| {
                    [&endpoint.region, &endpoint.region_id].into_iter().flatten().any(|r| r == region)
                });
                if here && endpoint.interface == interface.name() {
                    return Ok(self.chosen(endpoint, region.is_none()));
                }
                let region = endpoint.region().map(|region| format!(" in {region}")).unwrap_or_default();
                if have.len() < MOST_NAMED {
                    have.push(format!("{}{region}", endpoint.interface));
                }
            }
        }
        let service = service.to_owned();
        let is_bare = self.bare.iter().any(|bare| names.contains(&bare.as_str()));
        Err(if have.is_empty() && !is_bare {
            CatalogError::NoService { service, have: self.services().into_iter().take(MOST_NAMED).collect() }
        } else {
            CatalogError::NoEndpoint { service, interface, region: region.map(str::to_owned), have }
        })
    }
}

impl Catalog {
    fn chosen(&self, endpoint: &CatalogEndpoint, any_will_do: bool) -> ServiceUrl {
        let alike = self.endpoints.iter().filter(|other| {
            any_will_do && other.service == endpoint.service && other.interface == endpoint.interface
        });
        let regions = alike.filter_map(CatalogEndpoint::region);
        let mut other_regions = distinct(regions.filter(|region| Some(*region) != endpoint.region()));
        other_regions.truncate(MOST_NAMED);
        let region = endpoint.region().map(str::to_owned);
        ServiceUrl { url: endpoint.url.clone(), region, other_regions }
    }
}

impl CatalogEndpoint {
    fn region(&self) -> Option<&str> {
        self.region.as_deref().or(self.region_id.as_deref())
    }
}

fn listed(have: &[String]) -> String {
    if have.is_empty() { "none with a URL".to_owned() } else { have.join(", ") }
}

/// Returns each name once, in their order.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.filter(|name| seen.insert(*name)).map(str::to_owned).collect()
}

pub(crate) fn official(service: &str) -> &str {
    ALIASES
        .iter()
        .find(|names| names.contains(&service))
        .and_then(|names| names.first())
        .copied()
        .unwrap_or(service)
}

/// Appends a path (and query), which begins with `/`, to the catalogue's URL of a service.
///
/// Clouds list services with or without the version of the API. A path with a version (`/v2/zones`)
/// therefore replaces the version at the end of the catalogue's URL.
#[must_use]
pub fn below(endpoint: &str, path: &str) -> String {
    let base = endpoint.trim_end_matches('/');
    let first = path.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default();
    let base = match base.rsplit_once('/') {
        Some((root, last)) if is_version(first) && is_version(last) => root,
        Some(_) | None => base,
    };
    format!("{base}{path}")
}

pub(crate) fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|number| {
        number.starts_with(|c: char| c.is_ascii_digit())
            && number.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    })
}

#[cfg(test)]
mod tests {
    use osnl_testkit::fixture;
    use serde_json::json;

    use super::*;

    fn recorded() -> Catalog {
        let exchanges = fixture::json("openstack/keystone.json");
        let exchanges = exchanges["exchanges"].as_array().unwrap().clone();
        let login = exchanges.iter().find(|e| e["label"] == "osswatch_password").unwrap();
        Catalog::from_token(&login["response"]["token"])
    }

    #[test]
    fn a_service_is_found_by_type_alias_interface_and_region() {
        let catalog = recorded();
        let check = |service: &str, interface, region, expected: &str| {
            assert_eq!(
                catalog.url(service, interface, region).map(|found| found.url),
                Ok(expected.to_owned())
            );
        };
        check("compute", Interface::Public, None, "http://127.0.0.1:8774/v2.1");
        check("compute", Interface::Internal, Some("RegionOne"), "http://127.0.0.1:8774/v2.1");
        check("network", Interface::Public, None, "http://127.0.0.1:9696");
        let volumes = "http://127.0.0.1:8776/v3/16f266df259941c7bedf4e5d8802eaf4";
        check("volume", Interface::Public, None, volumes);
        check("block-storage", Interface::Public, None, volumes);
    }

    #[test]
    fn the_first_of_several_regions_is_taken_and_the_others_are_named() {
        let endpoint = |interface: &str, region: &str| json!({"interface": interface, "region": region, "region_id": region, "url": format!("http://{region}/")});
        let catalog = Catalog::from_token(&json!({"catalog": [
            {"type": "compute", "endpoints": [
                endpoint("internal", "zero"), endpoint("public", "one"), endpoint("public", "two"),
                endpoint("public", "one"), endpoint("public", "two"), endpoint("public", "three"),
            ]},
            {"type": "network", "endpoints": [endpoint("public", "one"), endpoint("public", "one")]},
        ]}));
        let check = |service: &str, region: Option<&str>, expected: &str| {
            let found = catalog.url(service, Interface::Public, region).unwrap();
            assert_eq!(format!("{} {}", found.url, found.choice().unwrap_or_default()), expected);
        };
        let choice = "region one was taken, the first in the catalogue; it also has two, three";
        check("compute", None, &format!("http://one/ {choice}"));
        check("compute", Some("two"), "http://two/ ");
        check("network", None, "http://one/ ");
        assert_eq!(catalog.regions("compute"), ["zero", "one", "two", "three"]);
        assert_eq!(catalog.regions("network"), ["one"]);
    }

    #[test]
    fn what_is_missing_is_said_with_what_is_there() {
        let catalog = recorded();
        let check = |service: &str, interface, region, expected: &str| {
            assert_eq!(catalog.url(service, interface, region).unwrap_err().to_string(), expected);
        };
        check(
            "baremetal",
            Interface::Public,
            None,
            "the service catalogue has no service of type baremetal; it has identity, compute, network, image, volumev3",
        );
        check(
            "compute",
            Interface::Admin,
            Some("RegionTwo"),
            "the service catalogue has no admin URL of compute in region RegionTwo; it has public in RegionOne, \
             internal in RegionOne",
        );
        let bare = Catalog::from_token(&json!({"catalog": [
            {"type": "compute", "endpoints": []}, {"type": "network", "endpoints": [{"interface": "public", "url": null}]},
        ]}));
        assert_eq!(
            bare.url("image", Interface::Public, None).unwrap_err().to_string(),
            "the service catalogue has no service of type image; it has none with a URL"
        );
        for service in ["compute", "network"] {
            assert_eq!(
                bare.url(service, Interface::Public, None).unwrap_err().to_string(),
                format!("the service catalogue has no public URL of {service}; it has none with a URL")
            );
        }
        let none = Catalog::default().url("compute", Interface::Public, None).unwrap_err().to_string();
        assert!(none.contains("no scope"), "{none}");
    }

    #[test]
    fn an_error_names_a_bounded_part_of_a_large_catalogue() {
        let endpoint =
            |n: usize| json!({"interface": "internal", "region": format!("r{n}"), "url": "http://h/"});
        let service = |n: usize| json!({"type": format!("s{n}"), "endpoints": [endpoint(0)]});
        let mut services: Vec<Value> = (0..1000).map(service).collect();
        services.push(json!({"type": "x".repeat(256), "endpoints": [endpoint(0)]}));
        services.push(json!({"type": "many", "endpoints": (0..1000).map(endpoint).collect::<Vec<_>>()}));
        let url = format!("http://h/{}", "x".repeat(4096));
        services.push(json!({"type": "long", "endpoints": [{"interface": "public", "url": url}]}));
        let catalog = Catalog::from_token(&json!({"catalog": services}));
        assert_eq!(catalog.services().len(), 1001);
        for service in ["none", "many"] {
            let error = catalog.url(service, Interface::Public, None).unwrap_err().to_string();
            assert_eq!(error.matches(", ").count(), 19, "{error}");
        }
        assert_eq!(catalog.url("many", Interface::Internal, None).unwrap().other_regions.len(), 20);
    }

    #[test]
    fn an_interface_has_two_spellings() {
        assert_eq!("internalURL".parse(), Ok(Interface::Internal));
        assert_eq!("public".parse(), Ok(Interface::Public));
        assert_eq!("Public".parse::<Interface>(), Err(()));
    }

    #[test]
    fn a_path_is_below_the_service_with_one_version() {
        let check = |endpoint: &str, path: &str, expected: &str| {
            assert_eq!(below(endpoint, path), expected, "{endpoint} {path}");
        };
        check("http://h:9001", "/v2/zones", "http://h:9001/v2/zones");
        check("http://h:9001/", "/v2/zones?limit=1", "http://h:9001/v2/zones?limit=1");
        check("http://h/dns", "/v2/zones", "http://h/dns/v2/zones");
        check("http://h/dns/v2", "/v2/zones", "http://h/dns/v2/zones");
        check("http://h/dns/v2/", "/zones", "http://h/dns/v2/zones");
        check("http://h:5000/v2.0", "/v3/users", "http://h:5000/v3/users");
        check("http://h:8774/v2.1", "/servers/1", "http://h:8774/v2.1/servers/1");
        check("http://h:8776/v3/0123", "/volumes", "http://h:8776/v3/0123/volumes");
        check("http://h:8776/v3/0123", "/v3/volumes", "http://h:8776/v3/0123/v3/volumes");
        check("http://h/dns", "?a=b", "http://h/dns?a=b");
        check("http://h/volume/v3", "/", "http://h/volume/v3/");
    }
}
