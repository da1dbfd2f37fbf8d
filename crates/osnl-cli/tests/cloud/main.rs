//! Tests with Keystone, Neutron and Ironic from PyPI: `cargo xtask test --cloud`. All tests share
//! one cloud and take turns.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "numbers of a play, for the report of a run")]

mod enrichment;
mod legacy;
mod stand;
mod tap;
mod verify;
mod write_back;
