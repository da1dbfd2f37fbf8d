use std::path::PathBuf;
use std::sync::Arc;

use osnl_config::OptionValue;
use osnl_config::words;
use osnl_net::http::ClientCertificate;
use osnl_net::http::header::HeaderName;

use super::super::authorization::{Authorization as _, FetchedLogin, FixedHeader, TOKEN};
use super::super::sign::Signer;
use super::LoginReader;
use crate::driver::{OptionDef, SectionReader};

/// The options that only `auth = keystone` reads: `LOGIN` of `osnl-actions/src/cloud/login.rs`, as far as `table.rs` has
/// them.
const OF_KEYSTONE: [&str; 10] = [
    "cloud",
    "clouds_file",
    "auth_url",
    "user_domain_name",
    "project_name",
    "project_domain_name",
    "application_credential_id",
    "application_credential_secret",
    "region_name",
    "interface",
];

/// The option `auth`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Auth {
    None,
    Basic,
    Bearer,
    Keystone,
}

words! {
    Auth: "none" => Self::None, "basic" => Self::Basic, "bearer" => Self::Bearer, "keystone" => Self::Keystone,
}

/// The login of a section: one that is configured in full, or one that fetches its token.
#[derive(Clone, Debug)]
pub(in super::super) enum Login {
    Fixed(FixedHeader),
    Fetched(Arc<dyn FetchedLogin>),
}

impl Login {
    pub(in super::super) fn shown(&self) -> (HeaderName, String) {
        match self {
            Self::Fixed(login) => login.shown(),
            Self::Fetched(_) => (TOKEN, "***".to_owned()),
        }
    }
}

pub(super) fn login(reader: &mut SectionReader<'_>, fetched: LoginReader) -> Option<Option<Login>> {
    let auth: Auth = OptionValue::valid(reader, "auth")?;
    let mut misplaced = Vec::new();
    for option in OF_KEYSTONE {
        if auth != Auth::Keystone && reader.is_set(option) {
            misplaced.push((option, "requires auth = keystone"));
        }
    }
    let of = [("username", Auth::Basic), ("password", Auth::Basic), ("token", Auth::Bearer)];
    for (option, whose) in of {
        let keystone = auth == Auth::Keystone && whose == Auth::Basic;
        if reader.is_set(option) && auth != whose && !keystone {
            let basic = whose == Auth::Basic;
            misplaced.push((option, if basic { "requires auth = basic" } else { "requires auth = bearer" }));
        }
    }
    for (option, problem) in &misplaced {
        reader.refuse::<()>(option, problem, "set that, or remove the line");
    }
    if !misplaced.is_empty() {
        return None;
    }
    match auth {
        Auth::None => Some(None),
        Auth::Keystone => Some(Some(Login::Fetched(fetched(reader)?))),
        Auth::Basic => {
            let user = reader.required("username", "write the name to log in with");
            let password = reader.required("password", "write it, or file:///path");
            match FixedHeader::basic(&user?, &password?) {
                Some(login) => Some(Some(Login::Fixed(login))),
                None => reader.refuse("username", "holds a colon", "a name for auth = basic has none"),
            }
        }
        Auth::Bearer => {
            let token = reader.required("token", "write it, or file:///path")?;
            match FixedHeader::bearer(token.trim()) {
                Some(login) if !token.trim().is_empty() => Some(Some(Login::Fixed(login))),
                Some(_) | None => {
                    reader.refuse("token", "has a character that a header can't have", "write it on one line")
                }
            }
        }
    }
}

pub(super) fn certificate(reader: &mut SectionReader<'_>) -> Option<Option<ClientCertificate>> {
    let [certificate, key] =
        ["client_certificate", "client_key"].map(|option| PathBuf::valid(reader, option));
    if let Some(path) = key.as_ref().or(certificate.as_ref()) {
        let option = if key.is_some() { "client_key" } else { "client_certificate" };
        reader.warn_of_open(option, path, "a private key");
    }
    match (certificate, key) {
        (Some(certificate), key) => Some(Some(ClientCertificate { certificate, key })),
        (None, Some(_)) if !reader.is_set("client_certificate") => {
            reader.refuse("client_key", "needs client_certificate", "name the file of the certificate there")
        }
        (None, _) => Some(None),
    }
}

pub(super) fn signer(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<Signer>> {
    if !reader.is_set(option.name) {
        return Some(None);
    }
    match Signer::parse(&reader.text(option.name)?) {
        Ok(signer) => Some(Some(signer)),
        Err(error) => {
            let allowed =
                "write whsec_ and base64, as the receiver shows it; several with spaces between them";
            reader.refuse(option.name, &error.to_string(), allowed)
        }
    }
}
