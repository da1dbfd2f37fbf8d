//! What went wrong with an attempt, in words that name the remedy.

use std::error::Error as StdError;
use std::io;

use hyper_util::client::legacy::Error;
use osnl_tls::Remedies;

use super::connector::ConnectError;
use crate::action::{ActionError, ErrorClass};

/// For a target of https.
const REMEDIES: Remedies = Remedies {
    trust: "put the CA's certificate into SSL_CERT_FILE, the system's store, or set allow_self_signed_cert",
    renewed: "SSL_CERT_FILE or the system's store",
    plain: "is this the port of plain HTTP (http:// instead of https://)?",
    identity: ", and there is none to show",
};

/// The failure of a request that got no answer.
pub(super) fn of(error: &Error) -> ActionError {
    if let Some(ConnectError::Tls { host, error }) = find(error) {
        return ActionError::new(ErrorClass::Tls, handshake(host, error));
    }
    if let Some(alert) = find::<rustls::Error>(error) {
        // In TLS 1.3 the server judges the client after the handshake.
        return ActionError::new(ErrorClass::Tls, osnl_tls::refusal("", alert, &REMEDIES));
    }
    let class = if error.is_connect() { ErrorClass::Connect } else { ErrorClass::Reset };
    ActionError::new(class, chain(error))
}

/// The first cause of this type.
fn find<T: StdError + 'static>(error: &Error) -> Option<&T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// A handshake that failed.
pub(super) fn handshake(host: &str, error: &io::Error) -> String {
    osnl_tls::handshake_refusal(host, error, &REMEDIES)
}

/// All causes. An I/O error that wraps another error does not name that one as its source.
fn causes(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause: &&(dyn StdError + 'static)| {
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => (*cause).source(),
        }
    })
}

/// The causes, innermost last, without the outermost "client error".
fn chain(error: &Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in causes(error).map(ToString::to_string) {
        if !texts.iter().any(|said| said.contains(&text)) {
            texts.push(text);
        }
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}
