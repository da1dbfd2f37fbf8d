use std::collections::BTreeMap;

use osnl_testkit::python;
use osnl_transport::RABBIT_OPTIONS;

const REGISTERED: &str = r#"
import json
from oslo_messaging._drivers import amqp, impl_rabbit
print(json.dumps({o.name: "" if o.default is None else str(o.default) for o in impl_rabbit.rabbit_opts + amqp.amqp_opts}))
"#;

const OTHERS: [&str; 7] = [
    "kombu_reconnect_timeout",
    "rabbit_max_retries",
    "heartbeat_in_pthread",
    "rpc_reply_timeout",
    "rpc_reply_retry_attempts",
    "rpc_retry_delay",
    "fake_rabbit",
];
/// The real defaults depend on the machine and the program.
const OF_THE_PROCESS: [&str; 2] = ["hostname", "processname"];

#[test]
fn every_option_that_oslo_messaging_registers_is_known_with_its_default() {
    let mut real: BTreeMap<String, String> = serde_json::from_str(&python(REGISTERED, "")).unwrap();
    real.retain(|name, _| !OF_THE_PROCESS.contains(&name.as_str()));
    let rows = RABBIT_OPTIONS.iter().filter_map(|option| Some((option.name.to_owned(), option.default?)));
    let (others, ours): (Vec<_>, Vec<_>) = rows
        .filter(|(name, _)| !OF_THE_PROCESS.contains(&name.as_str()))
        .partition(|(name, _)| OTHERS.contains(&name.as_str()));
    assert_eq!(others.len(), OTHERS.len());
    let real: Vec<_> = real.into_iter().map(|(name, default)| (name, default.to_lowercase())).collect();
    let mut ours: Vec<_> = ours.into_iter().map(|(name, default)| (name, default.to_lowercase())).collect();
    ours.sort();
    assert_eq!(ours, real);
}
