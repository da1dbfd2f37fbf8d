//! Who we are: logins, certificates, signatures.

use osnl_http::ClientCertificate;

use super::super::authorization::Fixed;
use super::super::sign::Signer;
use crate::native::driver::Reader;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Auth {
    None,
    Basic,
    Bearer,
}

/// `auth`, and what belongs to it.
pub(super) fn login(reader: &mut Reader<'_>) -> Option<Option<Fixed>> {
    let auth =
        reader.word("auth", &[("none", Auth::None), ("basic", Auth::Basic), ("bearer", Auth::Bearer)])?;
    let of = [("username", Auth::Basic), ("password", Auth::Basic), ("token", Auth::Bearer)];
    for (option, whose) in of {
        if reader.is_set(option) && auth != whose {
            let other = if whose == Auth::Basic { "basic" } else { "bearer" };
            return reader.refuse(
                option,
                &format!("belongs to auth = {other}"),
                "set that, or remove the line",
            );
        }
    }
    match auth {
        Auth::None => Some(None),
        Auth::Basic => {
            let user = reader.required("username", "write the name to log in with");
            let password = reader.required("password", "write it, or file:///path");
            match Fixed::basic(&user?, &password?) {
                Some(login) => Some(Some(login)),
                None => reader.refuse("username", "holds a colon", "a name for auth = basic has none"),
            }
        }
        Auth::Bearer => {
            let token = reader.required("token", "write it, or file:///path")?;
            match Fixed::bearer(token.trim()) {
                Some(login) if !token.trim().is_empty() => Some(Some(login)),
                Some(_) | None => {
                    reader.refuse("token", "is none that a header can hold", "write it on one line")
                }
            }
        }
    }
}

/// `client_certificate` and `client_key`.
pub(super) fn certificate(reader: &mut Reader<'_>) -> Option<Option<ClientCertificate>> {
    let allowed = "write the path of a PEM file, or remove the line";
    let certificate = reader.path("client_certificate", allowed);
    let key = reader.path("client_key", allowed);
    match (certificate?, key?) {
        (Some(certificate), key) => Some(Some(ClientCertificate { certificate, key })),
        (None, None) => Some(None),
        (None, Some(_)) => {
            reader.refuse("client_key", "needs client_certificate", "name the file of the certificate there")
        }
    }
}

/// `signing_secret`.
pub(super) fn signer(reader: &mut Reader<'_>) -> Option<Option<Signer>> {
    if !reader.is_set("signing_secret") {
        return Some(None);
    }
    match Signer::parse(&reader.text("signing_secret")?) {
        Ok(signer) => Some(Some(signer)),
        Err(error) => {
            let allowed =
                "write whsec_ and base64, as the receiver shows it; several with blanks between them";
            reader.refuse("signing_secret", &error.to_string(), allowed)
        }
    }
}
