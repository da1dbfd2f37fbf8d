//! The place of each kind of object: the path and the version of its API.

use osnl_delivery::enrich::Kind;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::catalog::is_version;

/// The characters that need no escape in a path (RFC 3986, unreserved).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The place of a kind in the API of its service.
pub(crate) trait ApiKind {
    /// Returns the collection below the version, and the wrapper of an object; glance and ironic do
    /// not wrap.
    fn place(self) -> (&'static str, Option<&'static str>);

    fn version(self) -> &'static str;

    /// Returns the header for a newer form of the API. The first form of ironic lacks a node's name
    /// (1.5) and its owner (1.50). Requests to nova stay at 2.1, its first form: later forms embed
    /// the flavor (2.47) without its `id`.
    fn microversion(self) -> Option<(&'static str, &'static str)>;

    fn wrapped_in(self) -> Option<&'static str>;

    fn collection(self) -> &'static str;

    fn url(self, endpoint: &str, id: &str) -> String;

    fn collection_url(self, endpoint: &str) -> String;
}

impl ApiKind for Kind {
    fn place(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Server => ("servers", Some("server")),
            Self::Port => ("ports", Some("port")),
            Self::FloatingIp => ("floatingips", Some("floatingip")),
            Self::Flavor => ("flavors", Some("flavor")),
            Self::Image => ("images", None),
            Self::Project => ("projects", Some("project")),
            Self::User => ("users", Some("user")),
            Self::Node => ("nodes", None),
            Self::Network => ("networks", Some("network")),
            Self::Subnet => ("subnets", Some("subnet")),
            Self::Router => ("routers", Some("router")),
            Self::Volume => ("volumes", Some("volume")),
            Self::Domain => ("domains", Some("domain")),
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Server | Self::Flavor => "v2.1",
            Self::Port | Self::FloatingIp | Self::Network | Self::Subnet | Self::Router => "v2.0",
            Self::Image => "v2",
            Self::Project | Self::User | Self::Domain | Self::Volume => "v3",
            Self::Node => "v1",
        }
    }

    fn microversion(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Node => Some(("X-OpenStack-Ironic-API-Version", "1.50")),
            _ => None,
        }
    }

    fn wrapped_in(self) -> Option<&'static str> {
        self.place().1
    }

    fn collection(self) -> &'static str {
        self.place().0
    }

    fn url(self, endpoint: &str, id: &str) -> String {
        format!("{}/{}", self.collection_url(endpoint), utf8_percent_encode(id, UNRESERVED))
    }

    fn collection_url(self, endpoint: &str) -> String {
        let base = endpoint.trim_end_matches('/');
        // Catalogues list Keystone with v2.0, v3 or no version; requests always use v3.
        let base = match self {
            Self::Project | Self::User | Self::Domain => base.strip_suffix("/v2.0").unwrap_or(base),
            _ => base,
        };
        let version = if versioned(base) { String::new() } else { format!("/{}", self.version()) };
        format!("{base}{version}/{}", self.collection())
    }
}

fn versioned(url: &str) -> bool {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    path.split('/').skip(1).any(is_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_has_one_version_and_an_id_that_cannot_leave_its_place() {
        let check = |kind: Kind, endpoint: &str, id: &str, expected: &str| {
            assert_eq!(kind.url(endpoint, id), expected);
        };
        check(Kind::Server, "http://h:8774/v2.1", "a-1", "http://h:8774/v2.1/servers/a-1");
        check(Kind::Server, "http://h/compute/v2.1/", "a", "http://h/compute/v2.1/servers/a");
        check(Kind::Server, "http://h/v2.1/0123", "a", "http://h/v2.1/0123/servers/a");
        check(Kind::Flavor, "http://v1/compute", "m1.small", "http://v1/compute/v2.1/flavors/m1.small");
        check(Kind::Port, "http://h:9696", "p", "http://h:9696/v2.0/ports/p");
        check(Kind::FloatingIp, "http://h:9696/", "f", "http://h:9696/v2.0/floatingips/f");
        check(Kind::Image, "http://h/image", "i", "http://h/image/v2/images/i");
        check(Kind::User, "http://h/identity", "u", "http://h/identity/v3/users/u");
        check(Kind::User, "http://h:5000/v3", "u", "http://h:5000/v3/users/u");
        check(Kind::Project, "http://h:5000/v2.0", "p", "http://h:5000/v3/projects/p");
        check(Kind::Node, "http://h:6385", "n", "http://h:6385/v1/nodes/n");
        check(Kind::Network, "http://h:9696", "n", "http://h:9696/v2.0/networks/n");
        check(Kind::Volume, "http://h:8776/v3/0123", "v", "http://h:8776/v3/0123/volumes/v");
        check(Kind::Volume, "http://h/volume/v3", "v", "http://h/volume/v3/volumes/v");
        check(Kind::Domain, "http://h:5000/v2.0", "default", "http://h:5000/v3/domains/default");
        check(Kind::Flavor, "http://h/v2.1", "../x y?z", "http://h/v2.1/flavors/..%2Fx%20y%3Fz");
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            // From 2.69 on, nova answers 200 or 404 about a server of a cell that is down.
            assert_eq!(kind.microversion().is_some(), kind == Kind::Node, "nova stays at 2.1");
        }
    }
}
