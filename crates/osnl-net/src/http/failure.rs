use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use crate::tls::{Refusal, Remedies};
use hyper_util::client::legacy::Error;

use crate::http::connector::ConnectError;
use crate::http::guard::Forbidden;

/// The reason for which a request has no usable answer; the caller decides about a retry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    pub class: FailureClass,
    /// The text of the target or the system, without our secrets.
    pub reason: String,
    pub retry_after: Option<Duration>,
}

impl Failure {
    pub fn new(class: FailureClass, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into(), retry_after: None }
    }
}

/// The step at which a request failed, by which a retry is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    Connect,
    Tls,
    /// The connection ended, or the answer was incomplete. Whether the target received the request
    /// is unknown.
    Reset,
    Status(u16),
    Forbidden,
    Unsendable,
}

pub(crate) fn classify(error: &Error, remedies: &Remedies) -> Failure {
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
        return Failure::new(FailureClass::Tls, crate::tls::refusal("", alert, remedies).to_string());
    }
    let class = if error.is_connect() { FailureClass::Connect } else { FailureClass::Reset };
    Failure::new(class, chain(error))
}

fn forbids(forbidden: &Forbidden) -> Failure {
    Failure::new(FailureClass::Forbidden, forbidden.to_string())
}

fn find<T: StdError + 'static>(error: &Error) -> Option<&T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

pub(crate) fn handshake(host: &str, error: &io::Error, remedies: &Remedies) -> Refusal {
    crate::tls::handshake_refusal(host, error, remedies)
}

/// Returns all causes. An I/O error that wraps another error does not name that error as its
/// source.
fn causes(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause: &&(dyn StdError + 'static)| {
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => (*cause).source(),
        }
    })
}

fn chain(error: &Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in causes(error).map(ToString::to_string) {
        if !texts.iter().any(|said| said.contains(&text)) {
            texts.push(text);
        }
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}
