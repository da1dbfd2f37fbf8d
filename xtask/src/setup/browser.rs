//! Chromium and chromedriver, which drives it in tests, by Debian's package: 133 MB, 14 s, no service.
//!
//! Ubuntu has both as snaps only, which see neither the tests' folders nor run as root; its `apt-get` finds no
//! `chromium-driver`. There, and elsewhere, a chromedriver in `PATH` is taken together with the Chromium or Chrome of the same
//! version that it finds. Without one the setup fails: the page is never left untested.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::apt::Program;

const CHROMEDRIVER: Program =
    Program { name: "chromedriver", package: "chromium-driver", shows: "--version" };

/// The names of browsers that chromedriver finds by itself.
const BROWSERS: [&str; 4] = ["chromium", "google-chrome", "chromium-browser", "chrome"];

const ELSEWHERE: &str = "tests of the admin page need chromedriver, and Chromium or Chrome of the same version, in PATH; \
                         Debian has them as chromium-driver, Ubuntu as snaps that tests cannot use: \
                         install Google's packages of both there";

/// Makes sure that both are there.
pub(super) fn ensure() -> Result<()> {
    CHROMEDRIVER.ensure().context(ELSEWHERE)?;
    let is_there = |browser: &str| {
        let shown = Command::new(browser)
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        shown.is_ok_and(|status| status.success())
    };
    ensure!(BROWSERS.into_iter().any(is_there), ELSEWHERE);
    Ok(())
}
