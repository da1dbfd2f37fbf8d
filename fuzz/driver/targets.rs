#[path = "../daemon.rs"]
mod daemon;
#[path = "../entries.rs"]
mod entries;
#[path = "../library.rs"]
mod library;
#[path = "../wire.rs"]
mod wire;

use std::sync::OnceLock;

const TARGETS: &[(&str, fn(&[u8]))] = include!(concat!(env!("OUT_DIR"), "/targets.rs"));

pub(crate) fn run(data: &[u8]) {
    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("OSNL_FUZZ_TARGET").unwrap_or_default();
        let found = TARGETS.iter().find(|(target, _)| *target == name);
        found.unwrap_or_else(|| panic!("OSNL_FUZZ_TARGET is \"{name}\", which is no target")).1
    });
    target(data);
}
