use proptest::prelude::*;
use serde_json::json;

use super::*;

mod gaps;
mod limits;

#[test]
fn names_decide() {
    for key in [
        "password",
        "Password",
        "db_passwd",
        "X-Auth-Token",
        "auth_token",
        "token_id",
        "adminPass",
        "admin_pass",
        "private_key",
        "privateKey",
        "key_data",
        "user_data",
        "aws_creds",
        "credentials",
        "client_secret",
        "configdrive",
        "chap.password",
        "API-Key",
        "psk",
        "snmp_community",
        "snmp_auth_key",
        "ipmi_hex_kg_key",
        "provider_auth",
        "injected_files",
        "keyring",
        "access_key",
        "swift_temp_url_key",
        "agent_secret_token",
    ] {
        assert!(is_secret_key(key), "{key}");
    }
    for key in [
        "",
        "id",
        "user_id",
        "credential_id",
        "application_credential_id",
        "password_expires_at",
        "key_name",
        "key",
        "public_key",
        "keypairs",
        "encryption_key_id",
        "encryption_secret_uuid",
        "secret_ref",
        "tsigkey_id",
        "passed",
        "user",
        "metadata",
        "significance",
        "user_auth_plugin",
        "connection_info",
    ] {
        assert!(!is_secret_key(key), "{key}");
    }
}

#[test]
fn secrets_are_masked_at_any_depth() {
    let check = |value: Value, expected: Value| assert_eq!(mask_secrets(&value), expected);
    check(
        json!({"a": [{"b": {"auth_token": "t", "id": 1}}], "password": {"x": 1}, "secret": null}),
        json!({"a": [{"b": {"auth_token": "***", "id": 1}}], "password": "***", "secret": null}),
    );
    check(json!("password"), json!("password"));
    check(
        json!({"user_data": "", "token": false, "secret": [], "credentials": {}, "password": 1234}),
        json!({"user_data": "", "token": false, "secret": [], "credentials": {}, "password": "***"}),
    );
}

#[test]
fn what_stands_beside_a_name_decides_where_the_name_does_not() {
    let check = |value: Value, expected: Value| assert_eq!(mask_secrets(&value), expected);
    check(
        json!([{"key": "admin_password", "value": "x"}, {"key": "colour", "value": "red"}, {"key": "k"}]),
        json!([{"key": "admin_password", "value": "***"}, {"key": "colour", "value": "red"}, {"key": "***"}]),
    );
    // A zone transfer has no `value`, but another object of designate may have one.
    check(
        json!({"key": "BKU12UUT", "zone_id": "z", "value": "v"}),
        json!({"key": "***", "zone_id": "z", "value": "v"}),
    );
    check(
        json!({"key": "BKU12UUT", "zone_transfer_request_id": "r"}),
        json!({"key": "***", "zone_transfer_request_id": "r"}),
    );
    check(
        json!({"blob": "{}x", "type": "ec2", "user_id": "u"}),
        json!({"blob": "***", "type": "ec2", "user_id": "u"}),
    );
    check(json!({"blob": "x"}), json!({"blob": "x"}));
    check(json!({"config_drive": "True"}), json!({"config_drive": "True"}));
    check(json!({"config_drive": "H4sI"}), json!({"config_drive": "***"}));
}

#[test]
fn texts_are_masked_inside() {
    let check = |text: &str, expected: &str| assert_eq!(mask_text(text), expected, "{text}");
    check("", "");
    check("an ordinary sentence: nothing = here", "an ordinary sentence: nothing = here");
    check(
        r#"{"data":{"auth_password":"x","target_iqn":"iqn.x"}}"#,
        r#"{"data":{"auth_password":"***","target_iqn":"iqn.x"}}"#,
    );
    check("{'user': 'u', 'password': 'it\\'s'}", "{'password': '***', 'user': 'u'}");
    check("{'x': 'y'}", "{'x': 'y'}");
    check("[{'key': 'admin_pass', 'value': 'x'}]", "[{'key': 'admin_pass', 'value': '***'}]");
    check(r#"{"outer": "{\"token\": \"x\", \"a\": 1}"}"#, r#"{"outer":"{\"a\":1,\"token\":\"***\"}"}"#);
    check("{'password': 'x', 'o': <object at 0x7f>}", "{'password': '***', 'o': <object at 0x7f>}");
    check(r#"failed: {\"admin_pass\": \"x y\", \"b\": 1"#, r#"failed: {\"admin_pass\": \"***\", \"b\": 1"#);
    check("X-Auth-Token: gAb12 and more\nnext", "X-Auth-Token: ***\nnext");
    check("Authorization: Bearer abc.def", "Authorization: ***");
    check("password=hunter2&user=u", "password=***&user=u");
    check("token=None, password=''", "token=None, password=''");
    check(
        "mysql+pymysql://nova:p@ss:w@db/nova?charset=utf8",
        "mysql+pymysql://nova:***@db/nova?charset=utf8",
    );
    check("at rabbit://u:a@h1,u:b@h2/ now", "at rabbit://u:***@h2/ now");
    check("http://h/a:b@c", "http://h/a:b@c");
    check(
        "https://h/o?temp_url_sig=abc&temp_url_expires=1",
        "https://h/o?temp_url_sig=***&temp_url_expires=1",
    );
    check("https://h:5000/v3", "https://h:5000/v3");
    let token = format!("gAAAAA{}", "Bc_-9".repeat(20));
    check(&format!("sent {token}."), "sent ***.");
    check("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\n", "***\n");
    check("-----BEGIN PRIVATE KEY-----\ncut off", "***");
    check("-----BEGIN CERTIFICATE-----\nMII", "-----BEGIN CERTIFICATE-----\nMII");
}

#[test]
fn connection_information_is_read_into_or_masked_whole() {
    let check = |value: Value, expected: Value| {
        assert_eq!(mask_secrets(&json!({"connection_info": value})), json!({"connection_info": expected}));
    };
    check(json!({"data": {"auth_password": "x", "a": 1}}), json!({"data": {"auth_password": "***", "a": 1}}));
    check(json!(r#"{"data": {"keyring": "x"}}"#), json!(r#"{"data":{"keyring":"***"}}"#));
    check(json!("{'auth_password': 'x'}"), json!("{'auth_password': '***'}"));
    check(json!("{}"), json!("{}"));
    check(json!(""), json!(""));
    check(json!("chap u x"), json!("***"));
}

fn texts() -> impl Strategy<Value = String> {
    let pieces = [
        "password",
        "Token",
        "pwd",
        "PSK",
        "sig",
        "user_",
        "auth",
        "pass",
        "word",
        "-",
        ".",
        "_",
        "7",
        "é",
        "K",
        " ",
        "\n",
        "\u{a0}",
        "\\",
        "\"",
        "'",
        ":",
        "=",
        ": ",
        "u'",
        "b\"",
        "ub",
        "None",
        "x y",
        ",",
        "{",
        "}",
        "://",
        "@",
        "gAAAAA",
        "12:30:59Z",
        "fa:16:3e:00",
        "_id",
        "_expires_at",
        "temp_url_sig",
        "Bearer ",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..12).prop_map(|pieces| pieces.concat())
}

#[test]
fn a_lone_key_of_the_payload_is_secret_and_one_below_is_not() {
    for (path, secret) in [("payload.key", true), ("payload.port.key", false), ("payload.a.admin_pass", true)]
    {
        assert_eq!(crate::is_secret_path(path), secret, "{path}");
    }
}

fn is_secret(key: &str) -> bool {
    use super::words::{HARMLESS, SECRET, SECRET_END, SECRET_WHOLE};
    let squeezed: String = key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let ends = SECRET_END.iter().any(|end| squeezed.ends_with(end)) && squeezed != "key";
    SECRET_WHOLE.contains(&squeezed.as_str())
        || !HARMLESS.iter().any(|end| squeezed.ends_with(end))
            && (ends || SECRET.iter().any(|word| squeezed.contains(word)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn what_is_masked_stays_as_it_is(text in texts()) {
        let once = mask_text(&text).into_owned();
        prop_assert_eq!(mask_text(&once), once.as_str(), "{:?}", text);
    }

    #[test]
    fn names_are_judged_as_they_are_described(name in texts(), word in prop::sample::select(words::SECRET.to_vec())) {
        for name in [name.clone(), format!("{name}{word}"), format!("{word}_{name}"), name.repeat(9)] {
            prop_assert_eq!(is_secret_key(&name), is_secret(&name), "{}", name);
        }
    }

    #[test]
    fn what_is_written_is_what_would_be_copied(key in texts(), text in texts(), other in texts()) {
        let value = json!({"a": [{key.clone(): text.clone(), "key": other, "value": text}, {key: [other]}, null, 1.5],
            "connection_info": other, "password": [text], "token": ""});
        prop_assert_eq!(format!("{:?}", MaskedJson::value(&value)), mask_secrets(&value).to_string());
    }
}
