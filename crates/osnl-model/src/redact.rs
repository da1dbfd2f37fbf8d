//! Making JSON fit to be shown.
//!
//! Services put secrets into notifications: old ones the whole context with its token, nova the root
//! password and user data, heat AWS credentials, designate transfer keys, ironic the config drive. What is
//! shown, logged or kept for a look goes through [`mask_secrets`] first.
//!
//! Names decide, generously: hiding too much costs a look at the source, hiding too little a password. Even
//! `token_id` is hidden, since the id of a keystone token is the token. Kept visible are the ids and dates
//! that cannot be a secret though their name contains the word: `credential_id`,
//! `application_credential_id`, `password_expires_at`.

use serde_json::{Map, Value};

/// What a secret is replaced by.
const MASK: &str = "***";

/// Words that make a key secret, without case and separators.
const SECRET_WORDS: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "adminpass",
    "privatekey",
    "accesskey",
    "apikey",
    "keydata",
    "userdata",
    "awscreds",
    "credential",
    "configdrive",
    // Cinder's connection information is a text with the CHAP password in it.
    "connectioninfo",
];

/// A copy in which the value of every key that looks secret, at any depth, is `"***"`. Nulls stay: that a
/// secret is absent is worth knowing.
///
/// Lists of `{"key": .., "value": ..}`, as cinder writes metadata, are judged by the text under `key`.
/// What stands in running text, such as an exception's, is not found.
pub fn mask_secrets(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(mask_secrets).collect(),
        Value::Object(object) => Value::Object(
            object.iter().map(|(key, value)| (key.clone(), mask_member(object, key, value))).collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn mask_member(object: &Map<String, Value>, key: &str, value: &Value) -> Value {
    if value.is_null() || !member_is_secret(object, key) { mask_secrets(value) } else { Value::from(MASK) }
}

fn member_is_secret(object: &Map<String, Value>, key: &str) -> bool {
    match key {
        "value" => object.get("key").and_then(Value::as_str).is_some_and(is_secret_key),
        // A lone `key` is one, as in designate's zone transfers; beside a value it is a name.
        "key" => !object.contains_key("value"),
        _ => is_secret_key(key),
    }
}

/// Whether a key of this name holds a secret. Case and separators do not matter: `adminPass`, `admin_pass`
/// and `ADMIN-PASS` are one.
pub fn is_secret_key(key: &str) -> bool {
    let squeezed: String = key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let harmless = squeezed.ends_with("credentialid") || squeezed.ends_with("passwordexpiresat");
    !harmless && SECRET_WORDS.iter().any(|word| squeezed.contains(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
            "secret_ref",
            "configdrive",
            "connection_info",
            "chap.password",
            "API-Key",
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
            "keypairs",
            "passed",
            "user",
            "metadata",
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
        check(
            json!([{"key": "admin_password", "value": "x"}, {"key": "colour", "value": "red"}, {"key": "k"}]),
            json!([{"key": "admin_password", "value": "***"}, {"key": "colour", "value": "red"}, {"key": "***"}]),
        );
        check(json!("password"), json!("password"));
        check(json!({"user_data": "", "token": false}), json!({"user_data": "***", "token": "***"}));
    }
}
