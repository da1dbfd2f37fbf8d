//! The cloud and the login. Options have keystoneauth's names in `clouds.yaml` and in
//! configurations; the four options of the OSS Framework are mapped.

mod fields;
mod url;

use std::path::PathBuf;

use osnl_net::http::{ClientCertificate, Url, Verification};

pub use self::fields::Fields;
use crate::catalog::Interface;
use crate::secret::ApiSecret;

/// A cloud and the login to it. Its Debug form shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudConf {
    /// Keystone's URL, which ends in `/v3`.
    pub auth_url: Url,
    pub identity: CloudLogin,
    pub scope: Scope,
    /// The region of the URLs; `None` takes the first in the catalogue.
    pub region: Option<String>,
    pub interface: Interface,
    pub endpoints: Vec<(String, String)>,
    /// The trusted certificates; `None` follows [`HttpOptions`](osnl_net::http::HttpOptions).
    pub verification: Option<Verification>,
    pub certificate: Option<ClientCertificate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudLogin {
    Password {
        user: UserName,
        password: ApiSecret,
    },
    ApplicationCredential {
        credential: Credential,
        secret: ApiSecret,
    },
    /// A token from elsewhere, which cannot be renewed when it expires.
    Token(ApiSecret),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserName {
    Id(String),
    Name(String, Domain),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    Id(String),
    Name(String, UserName),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// A domain's id; `default` is the id of the first domain.
    Id(String),
    Name(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// No scope: such a token has no catalogue. An application credential brings its own scope.
    Unscoped,
    ProjectId(String),
    Project(String, Domain),
    Domain(Domain),
    System,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {problem}; {allowed}")]
pub struct CloudConfError {
    pub option: &'static str,
    pub problem: String,
    pub allowed: String,
}

impl CloudConfError {
    pub(crate) fn new(option: &'static str, problem: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { option, problem: problem.into(), allowed: allowed.into() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Password,
    ApplicationCredential,
    Token,
}

const TYPES: [(&str, Type); 6] = [
    ("password", Type::Password),
    ("v3password", Type::Password),
    ("v2password", Type::Password),
    ("v3applicationcredential", Type::ApplicationCredential),
    ("token", Type::Token),
    ("v3token", Type::Token),
];

impl CloudConf {
    pub fn from_fields(fields: &Fields) -> Result<Self, CloudConfError> {
        let auth_url = url::auth_url(fields.require("auth_url", "write the URL of Keystone")?)?;
        let kind = match fields.get("auth_type") {
            // Only an application credential has this option.
            None if fields.has("application_credential_secret") => Type::ApplicationCredential,
            None if fields.has("token") && !fields.has("password") => Type::Token,
            None => Type::Password,
            Some(name) => {
                TYPES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind).ok_or_else(|| {
                    let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
                    CloudConfError::new(
                        "auth_type",
                        format!("{name} is not a known type"),
                        format!("allowed: {}", names.join(", ")),
                    )
                })?
            }
        };
        let identity = match kind {
            Type::Password => CloudLogin::Password {
                user: user(fields)?,
                password: ApiSecret::new(fields.require("password", "write it")?),
            },
            Type::ApplicationCredential => {
                let credential = match fields.get("application_credential_id") {
                    Some(id) => Credential::Id(id.to_owned()),
                    None => {
                        let allowed = "write application_credential_id, or the name and its user (username)";
                        let name = fields.require("application_credential_name", allowed)?;
                        Credential::Name(name.to_owned(), user(fields)?)
                    }
                };
                let secret = fields.require("application_credential_secret", "write it")?;
                CloudLogin::ApplicationCredential { credential, secret: ApiSecret::new(secret) }
            }
            Type::Token => CloudLogin::Token(ApiSecret::new(fields.require("token", "write it")?)),
        };
        let scope = match kind {
            // Keystone: "Application credentials cannot request a scope."
            Type::ApplicationCredential => Scope::Unscoped,
            Type::Password | Type::Token => scope(fields)?,
        };
        let interface = match fields.get("interface") {
            None => Interface::default(),
            Some(text) => text.parse().map_err(|()| {
                CloudConfError::new(
                    "interface",
                    format!("{text} is not an interface"),
                    "allowed: public, internal, admin",
                )
            })?,
        };
        Ok(Self {
            auth_url,
            identity,
            scope,
            region: fields.get("region_name").map(str::to_owned),
            interface,
            endpoints: fields.endpoints().to_vec(),
            verification: verification(fields)?,
            certificate: fields.get("cert").map(|certificate| ClientCertificate {
                certificate: PathBuf::from(certificate),
                key: fields.get("key").map(PathBuf::from),
            }),
        })
    }

    pub fn legacy(auth_url: &str, user: &str, password: &str, tenant: &str) -> Result<Self, CloudConfError> {
        let mut fields = Fields::default();
        let all =
            [("auth_url", auth_url), ("username", user), ("password", password), ("project_name", tenant)];
        for (name, value) in all {
            fields.set(name, value);
        }
        Self::from_fields(&fields)
    }

    #[must_use]
    pub fn shown(&self) -> String {
        let user = |user: &UserName| match user {
            UserName::Id(id) => format!("user id {id}"),
            UserName::Name(name, _) => format!("user {name}"),
        };
        let who = match &self.identity {
            CloudLogin::Password { user: who, .. } => user(who),
            CloudLogin::ApplicationCredential { credential: Credential::Id(id), .. } => {
                format!("application credential id {id}")
            }
            CloudLogin::ApplicationCredential { credential: Credential::Name(name, of), .. } => {
                format!("application credential {name} of {}", user(of))
            }
            CloudLogin::Token(_) => "a token".to_owned(),
        };
        let domain = |domain: &Domain| match domain {
            Domain::Id(id) => format!("domain id {id}"),
            Domain::Name(name) => format!("domain {name}"),
        };
        let scope = match &self.scope {
            Scope::Unscoped => return who,
            Scope::ProjectId(id) => format!("project id {id}"),
            Scope::Project(name, of) => format!("project {name} of {}", domain(of)),
            Scope::Domain(of) => domain(of),
            Scope::System => "the whole system".to_owned(),
        };
        format!("{who} for {scope}")
    }
}

fn user(fields: &Fields) -> Result<UserName, CloudConfError> {
    match fields.get("user_id") {
        Some(id) => Ok(UserName::Id(id.to_owned())),
        None => {
            let name = fields.require("username", "write it, or user_id")?;
            Ok(UserName::Name(name.to_owned(), domain(fields, "user_domain_id", "user_domain_name")))
        }
    }
}

fn domain(fields: &Fields, id: &str, name: &str) -> Domain {
    match (fields.get(id), fields.get(name)) {
        (Some(id), _) => Domain::Id(id.to_owned()),
        (None, Some(name)) => Domain::Name(name.to_owned()),
        (None, None) => Domain::Id(fields.get("default_domain").unwrap_or("default").to_owned()),
    }
}

fn scope(fields: &Fields) -> Result<Scope, CloudConfError> {
    if let Some(system) = fields.get("system_scope") {
        return match system {
            "all" => Ok(Scope::System),
            other => {
                Err(CloudConfError::new("system_scope", format!("{other} is not a scope"), "allowed: all"))
            }
        };
    }
    if let Some(id) = fields.get("project_id") {
        return Ok(Scope::ProjectId(id.to_owned()));
    }
    if let Some(name) = fields.get("project_name") {
        return Ok(Scope::Project(
            name.to_owned(),
            domain(fields, "project_domain_id", "project_domain_name"),
        ));
    }
    Ok(match (fields.get("domain_id"), fields.get("domain_name")) {
        (None, None) => Scope::Unscoped,
        (Some(_), _) | (None, Some(_)) => Scope::Domain(domain(fields, "domain_id", "domain_name")),
    })
}

fn verification(fields: &Fields) -> Result<Option<Verification>, CloudConfError> {
    let boolean = |option: &'static str| match fields.get(option).map(str::to_ascii_lowercase).as_deref() {
        None => Ok(None),
        Some("true" | "yes" | "on" | "1") => Ok(Some(true)),
        Some("false" | "no" | "off" | "0") => Ok(Some(false)),
        Some(other) => {
            Err(CloudConfError::new(option, format!("{other} is not a boolean"), "allowed: true, false"))
        }
    };
    // In openstacksdk too, insecure wins over verify.
    let verify = match boolean("insecure")? {
        Some(true) => Some(false),
        Some(false) | None => boolean("verify")?,
    };
    Ok(match (verify, fields.get("cacert")) {
        (Some(false), _) => Some(Verification::None),
        (Some(true) | None, Some(file)) => Some(Verification::Ca(vec![PathBuf::from(file)])),
        (Some(true) | None, None) => None,
    })
}

#[cfg(test)]
mod tests;
