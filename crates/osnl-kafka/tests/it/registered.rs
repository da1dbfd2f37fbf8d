use std::collections::BTreeMap;

use osnl_kafka::KAFKA_OPTIONS;
use osnl_testkit::python;

const REGISTERED: &str = r#"
import json
from oslo_messaging._drivers.kafka_driver import kafka_options
print(json.dumps({o.dest: "" if o.default is None else str(o.default) for o in kafka_options.KAFKA_OPTS}))
"#;

const OTHERS: [&str; 5] = [
    "pool_size",
    "conn_pool_min_size",
    "conn_pool_ttl",
    "auto_offset_reset",
    "partition_assignment_strategy",
];

#[test]
fn every_option_that_oslo_messaging_registers_is_known_with_its_default() {
    let real: BTreeMap<String, String> = serde_json::from_str(&python(REGISTERED, "")).unwrap();
    let rows = KAFKA_OPTIONS.iter().map(|option| (option.name.to_owned(), option.default.unwrap()));
    let ours = rows.filter(|(name, _)| !OTHERS.contains(&name.as_str()));
    let ours: BTreeMap<_, _> = ours.map(|(name, default)| (name, default.to_lowercase())).collect();
    let real: BTreeMap<_, _> =
        real.into_iter().map(|(name, default)| (name, default.to_lowercase())).collect();
    assert_eq!(ours, real);
}
