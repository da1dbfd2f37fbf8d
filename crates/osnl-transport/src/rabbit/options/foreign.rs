const FOREIGN: &[(&[&str], &str)] = &[
    (
        &["heartbeat", "heartbeat_interval", "heartbeat_timeout", "broker_heartbeat"],
        "write heartbeat_timeout_threshold",
    ),
    (
        &["connection_attempts", "max_retries", "connect_retries"],
        "remove it: osnl tries to connect without a limit",
    ),
    (&["retry_delay", "interval_start", "reconnect_interval"], "write rabbit_retry_interval"),
    (&["interval_step"], "write rabbit_retry_backoff"),
    (&["interval_max"], "write rabbit_interval_max"),
    (
        &[
            "socket_timeout",
            "stack_timeout",
            "timeout",
            "connection_timeout",
            "connect_timeout",
            "read_timeout",
            "write_timeout",
        ],
        "remove it: an attempt to connect ends after 10 s, and the heartbeat ends a silent connection",
    ),
    (&["blocked_connection_timeout"], "remove it: osnl reads on while the broker blocks publishers"),
    (&["ssl_options", "use_ssl"], "write ssl, ssl_ca_file, ssl_cert_file, and ssl_key_file"),
    (&["cafile", "cacertfile", "capath", "ca_certs", "ssl_ca_certs"], "write ssl_ca_file"),
    (&["certfile", "ssl_certfile"], "write ssl_cert_file"),
    (&["keyfile", "ssl_keyfile"], "write ssl_key_file"),
    (
        &["verify", "verify_ssl", "no_verify_ssl", "cert_reqs", "ssl_cert_reqs", "server_name_indication"],
        "remove it, and write ssl_ca_file, by which the certificate is verified",
    ),
    (
        &["virtual_host", "vhost"],
        "write the virtual host behind the hosts: rabbit://user:password@host/VHOST",
    ),
    (
        &["username", "user", "userid", "password"],
        "write user and password in front of the host: rabbit://user:password@host",
    ),
    (
        &["name", "connection_name", "client_properties"],
        "remove it: osnl names its connections osnl and its process's number",
    ),
    (&["login_method", "auth_mechanism", "auth"], "write rabbit_login_method"),
    (&["channel_max", "frame_max", "locale"], "remove it: osnl takes what the broker offers"),
    (&["prefetch", "prefetch_count", "qos"], "write rabbit_qos_prefetch_count"),
    (&["failover_strategy"], "write kombu_failover_strategy"),
    (&["compression"], "write kombu_compression"),
    (&["transport_options", "tcp_options", "backpressure_detection", "confirm_publish"], "remove it"),
];

pub(super) fn instead(name: &str) -> Option<&'static str> {
    FOREIGN.iter().find(|(names, _)| names.contains(&name)).map(|(_, instead)| *instead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rabbit::options::RABBIT_OPTIONS;

    #[test]
    fn no_name_is_one_of_oslo_and_each_remedy_names_one_that_is() {
        for (names, remedy) in FOREIGN {
            let is_known = |name: &&str| RABBIT_OPTIONS.iter().any(|option| option.name == *name);
            assert!(!names.iter().any(is_known), "{names:?}");
            if let Some(written) = remedy.strip_prefix("write ").filter(|text| !text.contains(' ')) {
                assert!(is_known(&written), "{written}");
            }
        }
    }
}
