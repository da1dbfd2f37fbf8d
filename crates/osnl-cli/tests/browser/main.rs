//! The operator's page in a real browser, on a real daemon.
//!
//! `cargo xtask setup` installs Chromium. Ubuntu has no package, so `cargo xtask test` leaves these
//! tests out there with a message. With `OSNL_WRITE_PAGES=FOLDER` the walk over all pages writes
//! pictures: `cargo xtask docs --pages` for the book.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod in_a_browser;
#[expect(dead_code, reason = "the other tests use all of it")]
#[path = "../cli/reloading.rs"]
mod reloading;
mod stage;

fn private_folder() -> std::io::Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir()
}
