use osnl_transport::TransportError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

const SILENT: &str = "no broker answers; check hosts, ports, and security_protocol";

pub(super) fn no_task() -> TransportError {
    lost("the task of the Kafka client has ended".to_owned())
}

pub(super) fn lost(reason: String) -> TransportError {
    TransportError::Lost { reason }
}

/// Returns the error of an attempt to connect. A refused login counts more than a refused certificate, and that more than a
/// refused connection, because the operator has to mend it.
pub(super) fn connect(brokers: &str, user: &str, errors: &[(RDKafkaErrorCode, String)]) -> TransportError {
    let of = |wanted: RDKafkaErrorCode| errors.iter().rev().find(|(code, _)| *code == wanted);
    if let Some((_, reason)) = of(RDKafkaErrorCode::Authentication)
        .or_else(|| of(RDKafkaErrorCode::SaslAuthenticationFailed))
        .or_else(|| of(RDKafkaErrorCode::UnsupportedSASLMechanism))
    {
        let (host, reason) = split(brokers, reason);
        return TransportError::LoginRefused { host, user: user.to_owned(), reason };
    }
    // The failure of one broker has no code of its own.
    let is_of_tls = |words: &str| words.contains("SSL handshake failed") || words.contains("SSL routines");
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

pub(super) fn is_topic_gone(error: &KafkaError) -> bool {
    let gone = [
        RDKafkaErrorCode::UnknownTopicOrPartition,
        RDKafkaErrorCode::UnknownTopic,
        RDKafkaErrorCode::UnknownPartition,
    ];
    error.rdkafka_error_code().is_some_and(|code| gone.contains(&code))
}

pub(super) fn end_of(
    error: &KafkaError,
    deleted: &str,
    reading: &str,
    remedy: &str,
) -> Option<TransportError> {
    match error.rdkafka_error_code()? {
        RDKafkaErrorCode::AllBrokersDown => Some(lost("no broker of the cluster is connected".to_owned())),
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
            Some(lost(format!("{deleted}: messages were deleted before they were read")))
        }
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::GroupAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => Some(TransportError::Refused {
            what: reading.to_owned(),
            reason: format!("{error}{remedy}"),
            code: None,
        }),
        _ => None,
    }
}

pub(super) fn shown(brokers: &str, words: &str) -> String {
    let (host, reason) = split(brokers, words);
    format!("{host}: {reason}")
}

/// Splits the library's `[thrd:…]: sasl_ssl://host:port/bootstrap: reason (after 3ms …)` into host and reason.
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
    let reason =
        reason.replace("security.protocol", "security_protocol").replace("ssl.ca.location", "ssl_cafile");
    (host.to_owned(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_quoted_without_its_ornaments() {
        use RDKafkaErrorCode::{AllBrokersDown, Authentication, BrokerTransportFailure as Failed, SSL};
        let refused = (
            Failed,
            "127.0.0.1:9/bootstrap: Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state CONNECT)",
        );
        let silent = "a:1,b:2: no broker answers; check hosts, ports, and security_protocol";
        let cases: [(&[(RDKafkaErrorCode, &str)], &str); 7] = [
            (
                &[refused, (AllBrokersDown, "1/1 brokers are down")],
                "127.0.0.1:9: Connect to ipv4#127.0.0.1:9 failed: Connection refused",
            ),
            (&[], silent),
            (&[(AllBrokersDown, "2/2 brokers are down")], silent),
            (
                &[
                    (
                        Authentication,
                        "sasl_ssl://b:2/bootstrap: SASL authentication error: bad password (after 3ms in state AUTH_REQ)",
                    ),
                    refused,
                ],
                "b:2: login refused for user \"osnl\": SASL authentication error: bad password",
            ),
            (
                &[(
                    Failed,
                    "ssl://h:9/1: Receive failed: error:0A:SSL routines::alert certificate required (after 1ms in state UP)",
                )],
                "h:9: TLS: Receive failed: error:0A:SSL routines::alert certificate required",
            ),
            (
                &[(SSL, "ssl://[::1]:9/bootstrap: SSL handshake failed: certificate verify failed")],
                "[::1]:9: TLS: SSL handshake failed: certificate verify failed",
            ),
            (
                &[(Failed, "h:9/bootstrap: Disconnected: incorrect security.protocol (a SSL listener?)")],
                "h:9: Disconnected: incorrect security_protocol (a SSL listener?)",
            ),
        ];
        for (errors, expected) in cases {
            let errors: Vec<_> = errors.iter().map(|(code, words)| (*code, (*words).to_owned())).collect();
            assert_eq!(connect("a:1,b:2", "osnl", &errors).to_string(), expected);
        }
    }
}
