pub(super) const SECRET: [&str; 32] = [
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
    // Keys that grant access; `key_name`, `public_key` and `key_id` are not secret.
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
    "userdata",
    "configdrive",
    "injectedfiles",
    "personality",
    // Heat's context, cinder's CHAP login, and an etcd discovery URL, which lets any reader join
    // the cluster.
    "awscreds",
    "providerauth",
    "authmaterial",
    "discoveryurl",
    "kubeconfig",
    "keytab",
];

/// Whole names, for words that are too common as a part.
pub(super) const SECRET_WHOLE: [&str; 11] =
    ["passcode", "pwd", "sig", "tempurlsig", "otp", "totp", "pin", "jwt", "bearer", "auth", "hook"];

/// Ends of names, for words that also occur in harmless names.
pub(super) const SECRET_END: [&str; 8] =
    ["pass", "pw", "psk", "key", "signature", "sessionid", "hookurl", "creds"];

pub(super) const HARMLESS: [&str; 27] = [
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
    "publickey",
    "pubkey",
    "routingkey",
    "bindingkey",
    "primarykey",
    "foreignkey",
    "uniquekey",
    "sortkey",
    "metakey",
    "cachekey",
    "hashkey",
    "groupkey",
    "partitionkey",
    "idempotencykey",
    "resourcekey",
    "bypass",
    "compass",
];

/// Whether a key of this name holds a secret in any object. Case and separators do not matter:
/// `adminPass`, `admin_pass` and `ADMIN-PASS` are equal.
///
/// `token_id` is a secret too, since the id of a keystone token is the token.
#[must_use]
pub fn is_secret_key(key: &str) -> bool {
    squeezed(key, |squeezed| {
        if squeezed.len() < 2 {
            return false;
        }
        let ends_in = |ends: &[&str]| ends.iter().any(|end| squeezed.ends_with(end.as_bytes()));
        // The neighbours of a lone `key` decide about it, see `places`.
        let is_secret = has_secret_word(squeezed) || ends_in(&SECRET_END) && squeezed != b"key";
        is_secret && !ends_in(&HARMLESS) || SECRET_WHOLE.iter().any(|word| squeezed == word.as_bytes())
    })
}

/// Passes the letters and digits of a name in lower case. Each key of each message passes here, so
/// only long and non-ASCII names allocate.
fn squeezed<T>(name: &str, then: impl FnOnce(&[u8]) -> T) -> T {
    const SHORT: usize = 64;
    if name.len() > SHORT || !name.is_ascii() {
        let squeezed: String =
            name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        return then(squeezed.as_bytes());
    }
    let (mut squeezed, mut length) = ([0; SHORT], 0);
    for byte in name.bytes().filter(u8::is_ascii_alphanumeric) {
        squeezed[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    then(&squeezed[..length])
}

fn has_secret_word(squeezed: &[u8]) -> bool {
    (0..squeezed.len()).any(|at| {
        let letter = squeezed[at].wrapping_sub(b'a');
        let mut words = BY_LETTER.get(usize::from(letter)).copied().unwrap_or(0);
        while words != 0 {
            if squeezed[at..].starts_with(SECRET[words.trailing_zeros() as usize].as_bytes()) {
                return true;
            }
            words &= words - 1;
        }
        false
    })
}

/// For each letter, a bit mask of the words of [`SECRET`] that begin with that letter.
const BY_LETTER: [u32; 26] = {
    let mut by_letter = [0; 26];
    let mut word = 0;
    while word < SECRET.len() {
        by_letter[(SECRET[word].as_bytes()[0] - b'a') as usize] |= 1 << word;
        word += 1;
    }
    by_letter
};
