//! Logins to clouds: their options, the clouds that sections share, and their probes.

mod keystone;
mod login;
mod logins;
mod probe;

pub use self::keystone::HTTP;
pub use self::login::{content, read};
pub use self::logins::Logins;
pub use self::probe::{catalog_advice, certificate_of_cloud, chosen, keystone_probe, log_in};
