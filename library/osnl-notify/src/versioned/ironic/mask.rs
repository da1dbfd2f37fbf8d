//! Masks the secrets that ironic hides before it emits.
//!
//! The keys of secrets are oslo.utils' list (`strutils.mask_dict_password`), at any depth. Stricter than
//! there: a text with one of these words is hidden as a whole, where oslo.utils hides only the password
//! within.

use super::{InspectionRuleCRUDPayload, NodeCRUDPayload, NodeSetProvisionStatePayload};
use crate::versioned::{FlexibleDict, Json, JsonObject};

const MASK: &str = "******";

/// oslo.utils 10.2, `_SANITIZE_KEYS`, without those that contain another one.
const SECRET_WORDS: [&str; 29] = [
    "adminpass",
    "admin_pass",
    "password",
    "new_pass",
    "secret",
    "sys_pswd",
    "token",
    "configdrive",
    "encrypted_key",
    "private_key",
    "fernetkey",
    "sslkey",
    "passphrase",
    "cephclusterfsid",
    "octaviaheartbeatkey",
    "rabbitcookie",
    "cephmanilaclientkey",
    "pacemakerremoteauthkey",
    "designaterndckey",
    "cephadminkey",
    "heatauthencryptionkey",
    "cephclientkey",
    "keystonecredential",
    "barbicansimplecryptokek",
    "cephrgwkey",
    "swifthashsuffix",
    "migrationsshkey",
    "cephmdskey",
    "cephmonkey",
];

/// Masks `instance_info`, with its `image_url`, and `driver_info`.
pub(super) fn node_crud(payload: &mut NodeCRUDPayload) {
    instance_info(&mut payload.instance_info);
    dict(&mut payload.driver_info);
}

/// Masks `instance_info`, with its `image_url`, and `driver_internal_info`.
pub(super) fn node_set_provision_state(payload: &mut NodeSetProvisionStatePayload) {
    instance_info(&mut payload.instance_info);
    dict(&mut payload.driver_internal_info);
}

/// Masks all actions and conditions of a sensitive rule.
pub(super) fn inspection_rule(payload: &mut InspectionRuleCRUDPayload) {
    if payload.sensitive {
        for dict in payload.actions.iter_mut().chain(payload.conditions.iter_mut().flatten()) {
            for (_, value) in dict.0.iter_mut() {
                *value = MASK.into();
            }
        }
    }
}

fn instance_info(info: &mut Option<FlexibleDict>) {
    dict(info);
    let members = info.iter_mut().flat_map(|info| info.0.iter_mut());
    // A repeated key leaves with each of its values.
    for (_, url) in members.filter(|(key, _)| *key == "image_url") {
        *url = MASK.into();
    }
}

fn dict(dict: &mut Option<FlexibleDict>) {
    if let Some(FlexibleDict(object)) = dict {
        mask_object(object);
    }
}

fn mask_object(object: &mut JsonObject) {
    for (key, value) in object.iter_mut() {
        match value {
            // An object's members are masked whatever its key is.
            Json::Object(inner) => mask_object(inner),
            _ if is_secret(key) => *value = MASK.into(),
            other => mask_value(other),
        }
    }
}

fn mask_value(value: &mut Json) {
    match value {
        Json::Object(object) => mask_object(object),
        Json::Array(items) => items.iter_mut().for_each(mask_value),
        Json::Text(text) if is_secret(text) => *value = MASK.into(),
        Json::Text(_) | Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn is_secret(text: &str) -> bool {
    let lower = text.to_lowercase();
    SECRET_WORDS.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_at_any_depth() {
        let check = |input: &str, expected: &str| {
            let mut info = Some(FlexibleDict::parse(input).unwrap());
            instance_info(&mut info);
            assert_eq!(serde_json::to_string(&info.unwrap().0).unwrap(), expected);
        };
        check(r#"{"ipmi_password":"x","a":1}"#, r#"{"ipmi_password":"******","a":1}"#);
        check(
            r#"{"image_url":"http://x","a":{"AdminPass":7}}"#,
            r#"{"image_url":"******","a":{"AdminPass":"******"}}"#,
        );
        check(
            r#"{"image_url":"http://x","image_url":"http://y"}"#,
            r#"{"image_url":"******","image_url":"******"}"#,
        );
        check(
            r#"{"a":[{"auth_token":"x"},"token=x","y"]}"#,
            r#"{"a":[{"auth_token":"******"},"******","y"]}"#,
        );
        check(
            r#"{"secrets":{"a":1,"key":"x"},"secret":[1]}"#,
            r#"{"secrets":{"a":1,"key":"x"},"secret":"******"}"#,
        );
    }
}
