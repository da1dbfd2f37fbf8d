//! The fuzz targets' assertions, bounded: recorded payloads, mutated at random. `cargo xtask fuzz` runs
//! longer.

#![expect(clippy::expect_used, reason = "a test may panic anywhere")]

#[path = "../../../../fuzz/library.rs"]
mod entries;
#[path = "../../../../crates/osnl-model/tests/it/mutation.rs"]
mod mutation;

use std::path::Path;
use std::sync::OnceLock;

use osnl_model::parse_python_json;
use osnl_notify::Emission;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use self::mutation::{mutated, mutation, notifications, with_foreign_values};

fn payloads() -> &'static [Vec<u8>] {
    static PAYLOADS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    PAYLOADS.get_or_init(|| {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/emission/captures2/ironic.json");
        let recording = parse_python_json(&std::fs::read_to_string(path).unwrap()).unwrap();
        let cases = recording["cases"].as_object().unwrap().values();
        let bodies = cases.filter_map(|case| case[0]["body_text"].as_str());
        // As text, because values lose the order of the keys.
        let payloads: Vec<Vec<u8>> = bodies
            .map(|body| Emission::read(body.as_bytes()).unwrap().payload.get().as_bytes().to_vec())
            .collect();
        assert!(payloads.len() > 70, "{} payloads", payloads.len());
        payloads
    })
}

#[test]
fn recorded_payloads_hold_what_the_targets_assert() {
    payloads().iter().for_each(|payload| entries::versioned(payload));
    notifications().iter().for_each(|message| entries::services(message.to_string().as_bytes()));
}

proptest! {
    // A failure is printed with its input; files of seeds are for crates that have a lib.rs beside their
    // tests.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_payloads(which in any::<Index>(), mutations in vec(mutation(), 0..3)) {
        entries::versioned(&mutated(which.get(payloads()).clone(), &mutations));
    }

    #[test]
    fn notifications_with_foreign_values(message in with_foreign_values()) {
        entries::services(message.to_string().as_bytes());
    }

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..64)) {
        entries::versioned(&bytes);
        entries::services(&bytes);
    }
}
