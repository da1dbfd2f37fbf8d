//! A client of the OpenStack APIs that reads one object by its id, as its service describes it now.
//!
//! ```
//! use std::time::Duration;
//!
//! use osnl_net::http::HttpOptions;
//! use osnl_openstack::{ApiError, Cloud, CloudConf, Fields, Server};
//!
//! let mut fields = Fields::default();
//! for (option, value) in [
//!     ("auth_url", "https://keystone.example.com:5000/v3"),
//!     ("username", "osnl"),
//!     ("password", "secret"),
//!     ("project_name", "service"),
//! ] {
//!     assert!(fields.set(option, value), "{option} is an option of keystoneauth");
//! }
//! let cloud = Cloud::new(CloudConf::from_fields(&fields)?, &HttpOptions::default(), Duration::from_secs(10))?;
//! assert!(cloud.shown().starts_with("user osnl for project service"));
//!
//! /// Returns the name of a server; `None` if it is gone.
//! async fn name(cloud: &Cloud, id: &str) -> Result<Option<String>, ApiError> {
//!     match cloud.read::<Server>(id).await {
//!         Ok(server) => Ok(Some(server.name)),
//!         Err(ApiError::Gone(_)) => Ok(None),
//!         Err(error) => Err(error),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! openstack_sdk has a client for each request of each service, 150,000 generated lines, with TLS
//! and proxies of its own, which would ignore this daemon's trust and proxies.
//!
//! Clones of a [`Cloud`] share the token and the connections. The first request logs in,
//! and the token is renewed before its end. A request that is answered 401 is repeated once, with
//! another token. Nothing else is retried or cached.
//!
//! No error, log line, or Debug form has a password, secret, or token.

mod catalog;
mod cloud;
mod clouds;
mod conf;
mod enrich;
mod error;
mod foreseen;
mod kind;
mod login;
mod not_found;
mod objects;
mod proof;
mod secret;
mod token;

pub use self::catalog::{Catalog, CatalogError, Interface, SET_REGION, ServiceUrl, below};
pub use self::cloud::{Cloud, GIVE_IT_TLS, LoggedIn};
pub use self::clouds::{CloudVariables, Clouds, CloudsError};
pub use self::conf::{CloudConf, CloudConfError, CloudLogin, Fields, Scope};
pub use self::enrich::EnrichConf;
pub use self::error::{ApiError, ObjectRef};
pub use self::foreseen::foresee;
pub use self::not_found::{NotFound, not_found};
pub use self::objects::{Flavor, FloatingIp, Image, Node, Object, Port, Project, Server, User};
pub use self::proof::Unproved;
pub use self::secret::ApiSecret;
pub use osnl_delivery::enrich::Kind;
