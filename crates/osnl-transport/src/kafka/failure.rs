//! Errors of the client library in the words of the transport.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::TransportError;

/// The reason where the library has none.
const SILENT: &str = "no broker answers; check hosts, ports, and security_protocol";

/// Returns the error for a subscription that has ended and may begin again.
pub(super) fn lost(reason: String) -> TransportError {
    TransportError::Lost { reason }
}

/// Returns the error for an attempt to connect during which the library reported these.
///
/// A refused login is reported rather than a refused certificate, and that rather than a refused connection: it is the one that
/// the operator has to mend.
pub(super) fn connect(brokers: &str, user: &str, errors: &[(RDKafkaErrorCode, String)]) -> TransportError {
    let of = |wanted: RDKafkaErrorCode| errors.iter().rev().find(|(code, _)| *code == wanted);
    if let Some((_, reason)) = of(RDKafkaErrorCode::Authentication)
        .or_else(|| of(RDKafkaErrorCode::SaslAuthenticationFailed))
        .or_else(|| of(RDKafkaErrorCode::UnsupportedSASLMechanism))
    {
        let (host, reason) = split(brokers, reason);
        return TransportError::LoginRefused { host, user: user.to_owned(), reason };
    }
    // A failure of one broker is a line of the log, without a code of its own.
    let of_tls = errors.iter().rev().find(|(_, words)| is_of_tls(words));
    if let Some((_, reason)) = of(RDKafkaErrorCode::SSL).or(of_tls) {
        let (host, reason) = split(brokers, reason);
        return TransportError::Tls { host, reason, remedy: None };
    }
    let other = errors.iter().rev().find(|(code, _)| *code != RDKafkaErrorCode::AllBrokersDown);
    let reason = other.map_or(SILENT, |(_, reason)| reason.as_str());
    let (host, reason) = split(brokers, reason);
    TransportError::Connect { host, reason }
}

/// Whether the library's words are about TLS.
fn is_of_tls(words: &str) -> bool {
    words.contains("SSL handshake failed") || words.contains("SSL routines")
}

/// Whether an error says that no attempt to connect is under way any more, or none can succeed.
pub(super) fn is_final(code: RDKafkaErrorCode) -> bool {
    [
        RDKafkaErrorCode::AllBrokersDown,
        RDKafkaErrorCode::Authentication,
        RDKafkaErrorCode::SaslAuthenticationFailed,
        RDKafkaErrorCode::UnsupportedSASLMechanism,
        RDKafkaErrorCode::SSL,
    ]
    .contains(&code)
}

/// The codes of a topic or a partition that is not there.
pub(super) fn is_topic_gone(error: &KafkaError) -> bool {
    let gone = [
        RDKafkaErrorCode::UnknownTopicOrPartition,
        RDKafkaErrorCode::UnknownTopic,
        RDKafkaErrorCode::UnknownPartition,
    ];
    error.rdkafka_error_code().is_some_and(|code| gone.contains(&code))
}

/// Returns the library's words about a connection as `host:port: reason`.
pub(super) fn shown(brokers: &str, words: &str) -> String {
    let (host, reason) = split(brokers, words);
    format!("{host}: {reason}")
}

/// The library's words begin with `[thrd:…]: ` and `sasl_ssl://host:port/bootstrap: `; returns the host, and the rest without
/// the time that it took.
fn split(brokers: &str, words: &str) -> (String, String) {
    let words =
        words.strip_prefix("[thrd:").and_then(|w| w.split_once("]: ")).map_or(words, |(_, rest)| rest);
    let Some((host, reason)) = words.split_once(": ") else { return (brokers.to_owned(), words.to_owned()) };
    let host = host.split_once("://").map_or(host, |(_, host)| host);
    let host = host.split_once('/').map_or(host, |(host, _)| host);
    if !host.contains(':') || host.contains(' ') {
        return (brokers.to_owned(), words.to_owned());
    }
    let reason = reason.rsplit_once(" (after ").map_or(reason, |(reason, _)| reason);
    // The library's settings under the names of the options.
    let reason =
        reason.replace("security.protocol", "security_protocol").replace("ssl.ca.location", "ssl_cafile");
    (host.to_owned(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(errors: &[(RDKafkaErrorCode, &str)], expected: &str) {
        let errors: Vec<_> = errors.iter().map(|(code, words)| (*code, (*words).to_owned())).collect();
        assert_eq!(connect("a:1,b:2", "osnl", &errors).to_string(), expected);
    }

    #[test]
    fn the_library_is_quoted_without_its_ornaments() {
        use RDKafkaErrorCode::{AllBrokersDown, Authentication, BrokerTransportFailure, SSL};
        let refused = "127.0.0.1:9/bootstrap: Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state \
                       CONNECT)";
        let plain = "127.0.0.1:9: Connect to ipv4#127.0.0.1:9 failed: Connection refused";
        check(&[(BrokerTransportFailure, refused), (AllBrokersDown, "1/1 brokers are down")], plain);
        check(&[], "a:1,b:2: no broker answers; check hosts, ports, and security_protocol");
        check(
            &[(AllBrokersDown, "2/2 brokers are down")],
            "a:1,b:2: no broker answers; check hosts, ports, and security_protocol",
        );
        check(
            &[
                (
                    Authentication,
                    "sasl_ssl://b:2/bootstrap: SASL authentication error: bad password (after 3ms in state AUTH_REQ)",
                ),
                (BrokerTransportFailure, refused),
            ],
            "b:2: login refused for user \"osnl\": SASL authentication error: bad password",
        );
        check(
            &[(
                BrokerTransportFailure,
                "ssl://h:9/1: Receive failed: error:0A:SSL routines::alert certificate required (after 1ms in state UP)",
            )],
            "h:9: TLS: Receive failed: error:0A:SSL routines::alert certificate required",
        );
        check(
            &[(SSL, "ssl://[::1]:9/bootstrap: SSL handshake failed: certificate verify failed")],
            "[::1]:9: TLS: SSL handshake failed: certificate verify failed",
        );
        check(
            &[(
                BrokerTransportFailure,
                "h:9/bootstrap: Disconnected: incorrect security.protocol (a SSL listener?) (after 1ms in state APIVERSION_QUERY)",
            )],
            "h:9: Disconnected: incorrect security_protocol (a SSL listener?)",
        );
    }
}
