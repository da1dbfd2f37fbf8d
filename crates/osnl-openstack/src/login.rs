use std::time::Duration;

use jiff::Timestamp;
use osnl_model::Budget;
use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::conf::{CloudConf, CloudLogin, Credential, Domain, Scope, UserName};

pub(crate) fn body(conf: &CloudConf) -> Vec<u8> {
    let identity = match &conf.identity {
        CloudLogin::Password { user: who, password } => {
            let mut user = user(who);
            user["password"] = password.reveal().into();
            json!({"methods": ["password"], "password": {"user": user}})
        }
        CloudLogin::ApplicationCredential { credential, secret } => {
            let mut credential = match credential {
                Credential::Id(id) => json!({"id": id}),
                Credential::Name(name, of) => json!({"name": name, "user": user(of)}),
            };
            credential["secret"] = secret.reveal().into();
            json!({"methods": ["application_credential"], "application_credential": credential})
        }
        CloudLogin::Token(token) => json!({"methods": ["token"], "token": {"id": token.reveal()}}),
    };
    let scope = match &conf.scope {
        Scope::Unscoped => None,
        Scope::ProjectId(id) => Some(json!({"project": {"id": id}})),
        Scope::Project(name, of) => Some(json!({"project": {"name": name, "domain": domain(of)}})),
        Scope::Domain(of) => Some(json!({"domain": domain(of)})),
        Scope::System => Some(json!({"system": {"all": true}})),
    };
    let mut auth = json!({"identity": identity});
    if let Some(scope) = scope {
        auth["scope"] = scope;
    }
    json!({"auth": auth}).to_string().into_bytes()
}

fn user(user: &UserName) -> Value {
    match user {
        UserName::Id(id) => json!({"id": id}),
        UserName::Name(name, of) => json!({"name": name, "domain": domain(of)}),
    }
}

fn domain(domain: &Domain) -> Value {
    match domain {
        Domain::Id(id) => json!({"id": id}),
        Domain::Name(name) => json!({"name": name}),
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// The lifetime by Keystone's own clock, since ours may be wrong.
    pub(crate) lifetime: Option<Duration>,
    pub(crate) user: String,
    pub(crate) project: Option<String>,
    /// The last valid second of the user's password, since 1970; `None` without an expiry or a
    /// password.
    pub(crate) password_ends: Option<i64>,
    pub(crate) roles: Vec<String>,
    pub(crate) catalog: Catalog,
}

pub(crate) fn granted(body: &[u8]) -> Option<Grant> {
    let body = Budget::DEFAULT.read_json(body)?;
    let token = body.get("token")?;
    let text = |pointer: &str| token.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let time = |pointer: &str| text(pointer)?.parse::<Timestamp>().ok();
    let lifetime = match (time("/issued_at"), time("/expires_at")) {
        (Some(issued), Some(expires)) => Some(Duration::try_from(expires - issued).unwrap_or_default()),
        (None, _) | (_, None) => None,
    };
    // The time has no offset and is UTC.
    let naive = |pointer: &str| {
        let text = text(pointer)?;
        let text = text.trim_end_matches('Z');
        format!("{text}Z").parse::<Timestamp>().ok()
    };
    let roles = token.get("roles").and_then(Value::as_array).into_iter().flatten();
    let roles = roles.filter_map(|role| role.get("name")?.as_str()).map(str::to_owned);
    Some(Grant {
        lifetime,
        user: text("/user/name").unwrap_or_default(),
        project: text("/project/name"),
        password_ends: naive("/user/password_expires_at").map(|ends| ends.as_second()),
        roles: roles.collect(),
        catalog: Catalog::from_token(token),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_answer_is_read() {
        let recorded = osnl_testkit::fixture::json("openstack/keystone.json");
        let of = |label: &str| {
            let exchanges = recorded["exchanges"].as_array().unwrap();
            let exchange = exchanges.iter().find(|exchange| exchange["label"] == label).unwrap();
            granted(exchange["response"].to_string().as_bytes())
        };
        let watcher = of("osswatch_password").unwrap();
        assert_eq!(watcher.lifetime, Some(Duration::from_secs(3600)));
        assert_eq!((watcher.user.as_str(), watcher.project.as_deref()), ("osswatch", Some("oss")));
        assert_eq!(watcher.roles, ["reader"]);
        assert_eq!(watcher.password_ends, None);
        let ends = br#"{"token": {"user": {"password_expires_at": "2026-11-30T12:00:00.000000"}}}"#;
        assert_eq!(granted(ends).unwrap().password_ends, Some(1_796_040_000));
        // The lifetime is the first token's, of which eight seconds have passed.
        assert_eq!(of("token_to_token").unwrap().lifetime, Some(Duration::from_secs(3592)));
        assert_eq!(of("password_unscoped").unwrap().catalog, Catalog::default());
        assert!(of("password_wrong").is_none());
        assert!(granted(b"<html>").is_none());
    }
}
