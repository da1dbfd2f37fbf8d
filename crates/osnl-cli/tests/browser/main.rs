//! The page for the operator on call in a real browser, before a real daemon.
//!
//! Chromium comes with `cargo xtask setup`. With `OSNL_WRITE_PAGES=FOLDER` the walk over all pages writes their pictures
//! there: `cargo xtask docs --pages` for the book.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod changes;
mod foreign;
mod keyboard;
mod live;
mod reading;
#[expect(dead_code, reason = "the other tests use all of it")]
#[path = "../cli/reloading.rs"]
mod reloading;
mod session;
mod stage;

/// A folder that only its user can enter.
fn private_folder() -> std::io::Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir()
}
