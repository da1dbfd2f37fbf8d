use osnl_config::sections::FormerOption;

const URL: &[&str] = &["transport_url"];

pub const FORMER_OPTIONS: &[FormerOption] = &[
    FormerOption::new("rpc_backend", URL),
    FormerOption::new("rabbit_host", &["transport_url", "host"]),
    FormerOption::new("rabbit_hosts", &["transport_url", "host"]),
    FormerOption::new("rabbit_port", &["transport_url", "port"]),
    FormerOption::new("rabbit_userid", &["transport_url", "user"]),
    FormerOption::new("rabbit_password", &["transport_url", "password"]),
    FormerOption::new("rabbit_virtual_host", &["transport_url", "virtual_host"]),
    FormerOption::new("rabbit_use_ssl", &["ssl", "transport_url"]),
    FormerOption::new("rabbit_durable_queues", &["amqp_durable_queues", "transport_url"]),
    FormerOption::new("kombu_ssl_version", &["ssl_version", "transport_url"]),
    FormerOption::new("kombu_ssl_keyfile", &["ssl_key_file", "transport_url"]),
    FormerOption::new("kombu_ssl_certfile", &["ssl_cert_file", "transport_url"]),
    FormerOption::new("kombu_ssl_ca_certs", &["ssl_ca_file", "transport_url"]),
    FormerOption::new("qpid_*", URL),
    FormerOption::new("zmq_*", URL),
    FormerOption::new("notification_transport_url", URL),
    FormerOption::new("notification_topics", &["topics", "topic", "watch_queue"]),
    FormerOption::new("control_exchange", &["exchange"]),
    FormerOption::new("notification_driver", &[]),
];
