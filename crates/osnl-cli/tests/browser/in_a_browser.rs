//! All tests that need a browser: by this name `cargo xtask test` leaves them out, and says so, where none can be installed.

mod changes;
mod foreign;
mod keyboard;
mod live;
mod reading;
mod session;
mod trying;
