//! Names that tell a secret wherever they stand.

/// Parts of names that make them secret, without case and separators.
const SECRET: [&str; 30] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "adminpass",
    "rootpass",
    "credential",
    "authorization",
    "cookie",
    // Keys that open something; `key_name`, `public_key` and `key_id` are not among them.
    "privatekey",
    "privkey",
    "accesskey",
    "apikey",
    "authkey",
    "sharedkey",
    "presharedkey",
    "keydata",
    "keyring",
    "tempurlkey",
    "kgkey",
    "snmpcommunity",
    // What is handed to a server when it first starts.
    "userdata",
    "configdrive",
    "injectedfiles",
    "personality",
    // Heat's context, cinder's CHAP login, the address of an etcd that whoever knows may join.
    "awscreds",
    "providerauth",
    "authmaterial",
    "discoveryurl",
];

/// Whole names, where a part would be too much.
const SECRET_WHOLE: [&str; 5] = ["psk", "passcode", "pwd", "sig", "tempurlsig"];

/// Ends of names that contain one of these words and are no secret: ids, dates, references, yes and no.
const HARMLESS: [&str; 10] = [
    "credentialid",
    "credentialrestricted",
    "passwordexpiresat",
    "passwordexpiry",
    "secretuuid",
    "secretref",
    "secrettype",
    "accesskeyid",
    "tokentype",
    "issuedat",
];

/// Whether a key of this name holds a secret wherever it stands. Case and separators do not matter:
/// `adminPass`, `admin_pass` and `ADMIN-PASS` are one.
///
/// Even `token_id` does, since the id of a keystone token is the token.
#[must_use]
pub fn is_secret_key(key: &str) -> bool {
    let squeezed: String = key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    !HARMLESS.iter().any(|end| squeezed.ends_with(end))
        && (SECRET_WHOLE.contains(&squeezed.as_str()) || SECRET.iter().any(|word| squeezed.contains(word)))
}
