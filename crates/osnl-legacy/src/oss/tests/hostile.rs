//! Messages that a publisher sends to fill the memory, or to stop the daemon. The bounds count bytes, or are seconds
//! where the work was minutes.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::*;

const PATIENCE: Duration = Duration::from_secs(8);

#[test]
fn many_keys_of_metadata_are_read_and_reported_in_linear_time() {
    let mut text = String::from("{");
    (0..100_000).for_each(|n| write!(text, "\"{n:08x}\":0,").unwrap());
    text.push_str("\"\":0,\"00000001\":1}");
    let begun = Instant::now();
    let metadata: OrderedMap = serde_json::from_str(&text).unwrap();
    assert_eq!((metadata.0.len(), metadata.get("00000001")), (100_001, Some(&json!(1))));
    let form = NodeForm { keys: DetailKeys::Flattened, ..NodeForm::default() };
    let instance = KnownInstance { metadata: Some(metadata), ..KnownInstance::default() };
    let happened = Occurrence { what: What::Instance, ip: None, port: None, instance, part: None, not: None };
    let text = BodyForm::Json.text(&form.node_detail(&happened)).unwrap();
    assert!(text.contains(r#""00000001": 1, "#) && text.len() > 1_000_000);
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}
