//! The kinds of objects that can be looked up.
//!
//! Events name an object by `subject.rs`, and objects name others by `steps.rs`. `osnl-openstack/src/kind.rs` has the
//! place of each kind in the APIs, `objects.rs` there its fields; `osnl-testkit/src/openstack/objects.rs` stands in for
//! the service.

use std::fmt;
use std::str::FromStr;

/// A kind of object that an enrichment can look up at OpenStack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Server,
    Port,
    FloatingIp,
    Flavor,
    Image,
    Project,
    User,
    Node,
    Network,
    Subnet,
    Router,
    Volume,
    Domain,
}

/// A text that names no kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a kind of object that osnl can look up")]
pub struct NoKind;

impl Kind {
    pub const ALL: [Self; 13] = [
        Self::Server,
        Self::Port,
        Self::FloatingIp,
        Self::Flavor,
        Self::Image,
        Self::Project,
        Self::User,
        Self::Node,
        Self::Network,
        Self::Subnet,
        Self::Router,
        Self::Volume,
        Self::Domain,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Port => "port",
            Self::FloatingIp => "floatingip",
            Self::Flavor => "flavor",
            Self::Image => "image",
            Self::Project => "project",
            Self::User => "user",
            Self::Node => "node",
            Self::Network => "network",
            Self::Subnet => "subnet",
            Self::Router => "router",
            Self::Volume => "volume",
            Self::Domain => "domain",
        }
    }

    /// Returns the type of its service in the catalogue.
    #[must_use]
    pub fn service(self) -> &'static str {
        match self {
            Self::Server | Self::Flavor => "compute",
            Self::Port | Self::FloatingIp | Self::Network | Self::Subnet | Self::Router => "network",
            Self::Image => "image",
            Self::Project | Self::User | Self::Domain => "identity",
            Self::Node => "baremetal",
            Self::Volume => "block-storage",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = NoKind;

    fn from_str(text: &str) -> Result<Self, NoKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(NoKind)
    }
}
