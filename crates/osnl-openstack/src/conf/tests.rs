use serde_json::{Value, json};

use super::*;

fn fields(pairs: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in pairs {
        assert!(fields.set(name, *value), "{name}");
    }
    fields
}

const URL: (&str, &str) = ("auth_url", "http://127.0.0.1:5000/v3");

#[test]
fn what_was_written_becomes_the_recorded_logins() {
    let recorded = osnl_testkit::fixture::json("openstack/keystone.json");
    let check = |label: &str, pairs: &[(&str, &str)]| {
        let mut pairs = pairs.to_vec();
        pairs.push(URL);
        let conf = CloudConf::from_fields(&fields(&pairs)).unwrap();
        let body: Value = serde_json::from_slice(&crate::login::body(&conf)).unwrap();
        let exchanges = recorded["exchanges"].as_array().unwrap();
        let exchange = exchanges.iter().find(|exchange| exchange["label"] == label).unwrap();
        assert_eq!(body, exchange["request"]["body"], "{label}");
    };
    let admin = [("username", "admin"), ("password", "<redacted>")];
    let with = |more: &[(&'static str, &'static str)]| [&admin[..], more].concat();
    check("password_project_by_name", &with(&[("project_name", "admin")]));
    check("password_project_by_name", &with(&[("tenant", "admin"), ("auth_type", "v3password")]));
    check("password_unscoped", &admin);
    check("password_system", &with(&[("system_scope", "all")]));
    check(
        "osswatch_password",
        &[
            ("username", "osswatch"),
            ("password", "<redacted>"),
            ("user_domain_name", "Default"),
            ("project_name", "oss"),
            ("project_domain_name", "Default"),
        ],
    );
    let secret = ("application_credential_secret", "<redacted>");
    let id = ("application_credential_id", "a906a37caf67443a9cd229f5661b6f71");
    check("appcred_auth_by_id", &[id, secret]);
    // Keystone would refuse a project beside the credential, so the body omits it.
    check("appcred_auth_by_id", &[id, secret, ("project_name", "oss")]);
    check(
        "appcred_auth_by_name",
        &[("application_credential_name", "watcher"), ("username", "osswatch"), secret],
    );
    check("token_to_token", &[("token", "<token>"), ("project_id", "16f266df259941c7bedf4e5d8802eaf4")]);
}

#[test]
fn the_four_options_of_the_oss_framework_are_a_project_of_the_default_domain() {
    let conf = CloudConf::legacy("http://h:5000/v2.0", "user", "password", "admin").unwrap();
    assert_eq!(conf.auth_url.to_string(), "http://h:5000/v3");
    assert_eq!(conf.shown(), "user user for project admin of domain id default");
    let body: Value = serde_json::from_slice(&crate::login::body(&conf)).unwrap();
    assert_eq!(body["auth"]["scope"], json!({"project": {"name": "admin", "domain": {"id": "default"}}}));
}

#[test]
fn no_secret_is_printed() {
    let secrets = ["p4ss", "s3cr", "t0k3"];
    for pairs in [
        vec![URL, ("username", "u"), ("password", "p4ss")],
        vec![URL, ("application_credential_id", "i"), ("application_credential_secret", "s3cr")],
        vec![URL, ("token", "t0k3")],
    ] {
        let fields = fields(&pairs);
        let conf = CloudConf::from_fields(&fields).unwrap();
        let printed = format!("{fields:?} {conf:?} {}", conf.shown());
        assert!(!secrets.iter().any(|secret| printed.contains(secret)), "{printed}");
    }
}
