pub(crate) use crate::action::driver::{ACTION, ENRICH, RULE};

pub(crate) const DEFAULT: &str = "DEFAULT";
/// Before all sections that can repeat a value, because files of secrets are read in the order of sections.
pub(crate) const VALUES: &str = "values";
pub(crate) const JOURNAL: &str = "journal";
pub(crate) const ADMIN: &str = "admin";
pub(crate) const CANARY: &str = "canary";
pub(crate) const INCIDENTS: &str = "incidents";
/// The section's name in OpenStack's own files; a listener may override each option.
pub(crate) const RABBIT: &str = "oslo_messaging_rabbit";
pub(crate) const KAFKA: &str = "oslo_messaging_kafka";
pub(crate) const LISTENER: &str = "listener";
