//! The failure of an attempt, in words that name the remedy.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use hyper_util::client::legacy::Error;
use osnl_tls::{Refusal, Remedies};

use crate::connector::ConnectError;
use crate::guard::Forbidden;
use crate::resolver::ResolveError;

/// A request without a good answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// The kind of failure.
    pub class: FailureClass,
    /// The words of the target or the system about it. No secret of ours.
    pub reason: String,
    /// The pause that the target asked for.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(class: FailureClass, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into(), retry_after: None }
    }
}

/// The kinds of failure that a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// Refused, unresolved, unreachable; nothing was sent.
    Connect,
    /// The TLS handshake or a certificate failed.
    Tls,
    /// The connection ended, or what came was no whole answer. Whether the request was seen is unknown.
    Reset,
    /// A whole answer with this status, which is not what the caller wanted ([`Answer::failure`](crate::Answer::failure)).
    Status(u16),
    /// The target is none that may be reached ([`AddressGuard`](crate::AddressGuard)); nothing was sent.
    Forbidden,
    /// The request is malformed; nothing was sent.
    Unsendable,
}

/// The failure of a request that got no answer.
pub(crate) fn of(error: &Error, remedies: &Remedies) -> Failure {
    if let Some(ResolveError::Forbidden(forbidden)) = find(error) {
        return forbids(forbidden);
    }
    match find(error) {
        Some(ConnectError::Forbidden(forbidden)) => return forbids(forbidden),
        Some(ConnectError::Tls { host, error }) => {
            return Failure::new(FailureClass::Tls, handshake(host, error, remedies).to_string());
        }
        Some(ConnectError::NoTls(_) | ConnectError::Name(_)) => {
            return Failure::new(FailureClass::Tls, chain(error));
        }
        Some(
            ConnectError::Tcp(_)
            | ConnectError::Proxy(_)
            | ConnectError::NoProxy { .. }
            | ConnectError::NoTunnel { .. },
        )
        | None => {}
    }
    if let Some(alert) = find::<rustls::Error>(error) {
        // In TLS 1.3 the server judges the client after the handshake.
        return Failure::new(FailureClass::Tls, osnl_tls::refusal("", alert, remedies).to_string());
    }
    let class = if error.is_connect() { FailureClass::Connect } else { FailureClass::Reset };
    Failure::new(class, chain(error))
}

fn forbids(forbidden: &Forbidden) -> Failure {
    Failure::new(FailureClass::Forbidden, forbidden.to_string())
}

/// The first cause of this type.
fn find<T: StdError + 'static>(error: &Error) -> Option<&T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// A handshake that failed.
pub(crate) fn handshake(host: &str, error: &io::Error, remedies: &Remedies) -> Refusal {
    osnl_tls::handshake_refusal(host, error, remedies)
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
