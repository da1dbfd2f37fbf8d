//! The tests that need a browser. `cargo xtask test` leaves them out by this module's name, with a
//! message, if no browser can be installed.

mod changes;
mod foreign;
mod keyboard;
mod live;
mod reading;
mod session;
mod trying;
