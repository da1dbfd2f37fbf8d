//! With libFuzzer: inputs that reach what no other one did are kept and mutated further.
#![no_main]

mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::run(data));
