//! Turns errors of the client library into osnl's, with the operation that failed.

use std::io;

use lapin::ErrorKind;

use super::login::NothingInCommon;
use super::socket::NotAmqp;
use crate::TransportError;
use crate::carrier::SilentEnd;
use crate::tls::REMEDIES;

pub(super) const ACCESS_REFUSED: u16 = 403;
const NOT_ALLOWED: u16 = 530;
pub(super) const NOT_IMPLEMENTED: u16 = 540;
const INTERNAL_ERROR: u16 = 541;
pub(super) const NO_TRANSIENT_QUEUES: &str =
    "the broker refuses queues that are neither durable nor exclusive (541, transient_nonexcl_queues)";
/// The remedy for it. oslo.messaging with its defaults declares such a queue for each notification.
pub(super) const DURABLE_EVERYWHERE: &str =
    "write amqp_durable_queues = true or rabbit_quorum_queue = true, there and here";
pub(super) const NOT_FOUND: u16 = 404;
pub(super) const RESOURCE_LOCKED: u16 = 405;
pub(super) const PRECONDITION_FAILED: u16 = 406;

/// A failed operation at the broker, with its name for the error.
#[derive(Debug)]
pub(super) struct OperationFailure {
    /// The operation in the imperative: `declare queue "q"`.
    pub(super) what: String,
    pub(super) error: lapin::Error,
}

impl From<OperationFailure> for TransportError {
    fn from(failure: OperationFailure) -> Self {
        if reply_code(&failure.error).is_some() {
            refused(&failure.what, &failure)
        } else {
            lost(&failure.error)
        }
    }
}

pub(super) fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// Returns whether an object is missing. RabbitMQ also answers 404 for a durable queue whose node or process is down,
/// but that queue still exists with its messages.
pub(super) fn is_missing(error: &lapin::Error) -> bool {
    let is_away = || {
        let words = reason(error);
        ["down or inaccessible", "stopped by supervisor", "failed to restart", "due to timeout"]
            .iter()
            .any(|away| words.contains(away))
    };
    reply_code(error) == Some(NOT_FOUND) && !is_away()
}

/// Returns whether a queue to bind is missing. RabbitMQ names a missing exchange first.
pub(super) fn lacks_queue(error: &lapin::Error) -> bool {
    is_missing(error) && reason(error).contains("no queue")
}

pub(super) fn reason(error: &lapin::Error) -> String {
    match error.kind() {
        // Some of RabbitMQ's texts have several lines, which a log line cannot have.
        ErrorKind::ProtocolError(error) => {
            let said = error.get_message().as_str().trim_end().replace(['\r', '\n'], " ");
            format!("{} {said}", error.get_id())
        }
        ErrorKind::IOError(error) => error.to_string(),
        _ => error.to_string(),
    }
}

pub(super) fn refused(what: &str, failure: &OperationFailure) -> TransportError {
    let (reason, code) = (reason(&failure.error), reply_code(&failure.error));
    TransportError::Refused { what: what.to_owned(), reason, code }
}

pub(super) fn lost(error: &lapin::Error) -> TransportError {
    TransportError::Lost { reason: reason(error) }
}

fn io_error(error: &lapin::Error) -> Option<&io::Error> {
    match error.kind() {
        ErrorKind::IOError(error) => Some(error),
        _ => None,
    }
}

/// Returns whether the broker refused a queue that is neither durable nor exclusive. RabbitMQ 4.3 does so by default
/// with 541 and closes the connection; since 3.13 operators can choose so. An existing queue is compared first.
pub(super) fn refuses_transient_queues(failure: &OperationFailure) -> bool {
    reply_code(&failure.error) == Some(INTERNAL_ERROR)
        && reason(&failure.error).contains("transient_nonexcl_queues")
}

/// Returns the error of a failed attempt to connect. RabbitMQ answers 403 for the login and 530 for the virtual host.
/// With TLS 1.3 the verdict on osnl's certificate arrives only here.
pub(super) fn connect_failure(
    error: &lapin::Error,
    name: &str,
    host: &str,
    user: &str,
    virtual_host: &str,
) -> TransportError {
    let (host, mut reason) = (host.to_owned(), reason(error));
    if let Some(error) = io_error(error) {
        let inner = error.get_ref();
        if let Some(error) = inner.and_then(|inner| inner.downcast_ref()) {
            return TransportError::no_tls(host, osnl_net::tls::refusal(name, error, &REMEDIES));
        }
        match inner.and_then(|inner| inner.downcast_ref()) {
            Some(SilentEnd::Tls) => {
                let remedy =
                    "does it ask for a client certificate, or for another one (ssl_cert_file, ssl_key_file)?";
                return TransportError::Tls { host, reason, remedy: Some(remedy.to_owned()) };
            }
            Some(SilentEnd::Plain) => return TransportError::Connect { host, reason },
            None => {}
        }
        if inner.is_some_and(|inner| inner.is::<NotAmqp>()) {
            return TransportError::NotAmqp { host, reason };
        }
        if let Some(NothingInCommon { reason, remedy }) = inner.and_then(|inner| inner.downcast_ref()) {
            return TransportError::Handshake { host, reason: reason.clone(), remedy: remedy.clone() };
        }
        if matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
        ) {
            reason = format!("the broker ended the connection during the login ({reason})");
        }
    }
    match reply_code(error) {
        Some(ACCESS_REFUSED) => TransportError::LoginRefused { host, user: user.to_owned(), reason },
        Some(NOT_ALLOWED) => {
            TransportError::VirtualHostRefused { host, virtual_host: virtual_host.to_owned(), reason }
        }
        Some(_) | None => TransportError::Connect { host, reason },
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError};

    use super::*;

    fn closed(kind: AMQPErrorKind, text: &str) -> lapin::Error {
        ErrorKind::ProtocolError(AMQPError::new(kind, text.into())).into()
    }

    #[test]
    fn a_refused_login_a_refused_virtual_host_and_a_refused_connection_are_told_apart() {
        let check = |error: lapin::Error, expected: &str| {
            let failure = connect_failure(&error, "mq1", "mq1:5672", "osnl", "/v");
            assert_eq!(failure.to_string(), expected);
            assert!(failure.is_recoverable());
            failure.is_refused_access()
        };
        let refused = closed(AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED), "ACCESS_REFUSED - wrong");
        assert!(check(refused, "mq1:5672: login refused for user \"osnl\": 403 ACCESS_REFUSED - wrong"));
        let nowhere =
            closed(AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED), "NOT_ALLOWED - vhost /v not found");
        let expected = "mq1:5672: virtual host \"/v\" refused: 530 NOT_ALLOWED - vhost /v not found";
        assert!(check(nowhere, expected));
        let away = io::Error::new(io::ErrorKind::ConnectionRefused, "Connection refused");
        assert!(!check(away.into(), "mq1:5672: Connection refused"));
        let closing = closed(AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED), "CONNECTION_FORCED - bye");
        assert!(!check(closing, "mq1:5672: 320 CONNECTION_FORCED - bye"));
    }

    #[test]
    fn a_queue_that_is_away_is_not_one_that_is_missing() {
        for (words, expected) in [
            ("NOT_FOUND - no queue 'q' in vhost '/'", true),
            (
                "NOT_FOUND - home node 'rabbit@mq1' of durable queue 'q' in vhost '/' is down or inaccessible",
                false,
            ),
            ("NOT_FOUND - queue 'q' in vhost '/' process is stopped by supervisor", false),
            ("NOT_FOUND - queue 'q' in vhost '/' has crashed and failed to restart", false),
            ("NOT_FOUND - failed to perform operation on queue 'q' in vhost '/' due to timeout", false),
        ] {
            assert_eq!(
                is_missing(&closed(AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND), words)),
                expected,
                "{words}"
            );
        }
        assert!(!is_missing(&closed(
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED),
            "ACCESS_REFUSED - no"
        )));
    }

    #[test]
    fn only_the_refusal_of_a_transient_queue_asks_for_a_durable_one() {
        let deprecated = "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.\nBy default, this feature is \
                          not permitted anymore.";
        let configured = "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.\nIts use is not permitted \
                          per the configuration (overriding the default, which is permitted):\n    \"deprec...";
        let check = |text: &str| {
            let error = closed(AMQPErrorKind::Hard(AMQPHardError::INTERNALERROR), text);
            refuses_transient_queues(&OperationFailure { what: "declare queue \"q\"".to_owned(), error })
        };
        assert!(check(deprecated) && check(configured));
        let words = reason(&closed(AMQPErrorKind::Hard(AMQPHardError::INTERNALERROR), configured));
        assert!(words.starts_with("541 INTERNAL_ERROR") && !words.contains('\n'), "{words}");
        assert!(!check("INTERNAL_ERROR"));
    }
}
