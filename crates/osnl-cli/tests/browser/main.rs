//! The page for the operator on call in a real browser, before a real daemon.
//!
//! Chromium comes with `cargo xtask setup`; Ubuntu has no package of it, and `cargo xtask test` leaves these tests out there
//! and says so. With `OSNL_WRITE_PAGES=FOLDER` the walk over all pages writes their pictures
//! there: `cargo xtask docs --pages` for the book.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod in_a_browser;
#[expect(dead_code, reason = "the other tests use all of it")]
#[path = "../cli/reloading.rs"]
mod reloading;
mod stage;

/// A folder that only its user can enter.
fn private_folder() -> std::io::Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir()
}
