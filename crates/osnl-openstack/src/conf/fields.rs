use std::fmt;

use super::CloudConfError;

/// Options by name. Its Debug form shows names only.
#[derive(Clone, Default)]
pub struct Fields {
    values: Vec<(&'static str, String)>,
    endpoints: Vec<(String, String)>,
}

const NAMES: [&[&str]; 26] = [
    &["auth_type"],
    &["auth_url"],
    &["username", "user_name", "user"],
    &["user_id"],
    &["password"],
    &["user_domain_name"],
    &["user_domain_id"],
    &["project_name", "tenant_name", "tenant"],
    &["project_id", "tenant_id"],
    &["project_domain_name"],
    &["project_domain_id"],
    &["default_domain", "default_domain_id"],
    &["domain_name"],
    &["domain_id"],
    &["system_scope"],
    &["application_credential_id"],
    &["application_credential_name"],
    &["application_credential_secret"],
    &["token", "auth_token"],
    &["region_name", "region"],
    &["interface", "endpoint_type"],
    &["verify"],
    &["insecure"],
    &["cacert", "ca_file"],
    &["cert"],
    &["key"],
];

impl Fields {
    /// Sets an option by any of its names, or `TYPE_endpoint_override` for a service. Returns whether the option
    /// exists.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> bool {
        let service = name.strip_suffix("_endpoint_override").or_else(|| name.strip_suffix("_endpoint"));
        if let Some(service) = service {
            self.endpoints.push((service.replace('_', "-"), value.into()));
            return true;
        }
        let Some(known) = NAMES.iter().find(|names| names.contains(&name)).map(|names| names[0]) else {
            return false;
        };
        self.values.retain(|(name, _)| *name != known);
        self.values.push((known, value.into()));
        true
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn require(&self, name: &'static str, allowed: &str) -> Result<&str, CloudConfError> {
        self.get(name).ok_or_else(|| CloudConfError::new(name, "is missing", allowed))
    }

    pub(super) fn endpoints(&self) -> &[(String, String)] {
        &self.endpoints
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.iter().map(|(name, _)| name)).finish()
    }
}
