//! With libFuzzer, inputs that reach new code are kept and mutated further.
#![no_main]

mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::run(data));
