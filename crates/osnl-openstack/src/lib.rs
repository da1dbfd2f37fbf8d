//! The OpenStack APIs as a client that reads: one object by its id, as a service describes it now.
//!
//! | file | what it decides |
//! | --- | --- |
//! | [`conf`](CloudConf) | the cloud and the login: options under the names of keystoneauth, checked; pure |
//! | [`clouds`](Clouds) | the same out of a `clouds.yaml`, found and merged as openstacksdk does it |
//! | `login` | the body of a login for Keystone v3, and what its answer says; pure |
//! | [`catalog`](Catalog) | which URL a service has for us; pure |
//! | `token` | one token for all callers, renewed before it ends |
//! | [`kind`](Kind) | which service knows an object, and under which path |
//! | [`cloud`](Cloud) | one read, or one token, with a deadline |
//! | [`objects`](Server) | what is read of a server, a port and the others |
//! | [`not_found`] | whether a 404 is about a missing object, or about a wrong URL; pure |
//! | [`error`](ApiError) | gone, forbidden, late, failing: told apart, in the service's own words |
//!
//! A [`Cloud`] is cheap to clone, and all clones share the token and the connections. It asks Keystone with the first
//! request and not before. A request that is answered 401 is repeated once, with another token. There are no other
//! second attempts, no pauses and no cache of objects: the caller decides about those.
//!
//! No password, secret or token is in an error, a log line or a Debug form.

mod catalog;
mod cloud;
mod clouds;
mod conf;
mod error;
mod kind;
mod login;
mod not_found;
mod objects;
mod secret;
mod token;

pub use self::catalog::{Catalog, CatalogError, Interface, below};
pub use self::cloud::{Cloud, LoggedIn};
pub use self::clouds::{Clouds, CloudsError, Variables};
pub use self::conf::{CloudConf, ConfError, Fields, Identity, Scope};
pub use self::error::{ApiError, Asked};
pub use self::kind::{Kind, NoKind};
pub use self::not_found::{NotFound, not_found};
pub use self::objects::{Flavor, FloatingIp, Image, Node, Object, Port, Project, Server, User};
pub use self::secret::Secret;
