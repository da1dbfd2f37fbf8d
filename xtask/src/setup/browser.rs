//! Chromium and chromedriver, which drives it in tests, from Debian's package: 133 MB, 14 s, no service.
//!
//! Ubuntu has both as snaps only, which neither see the tests' folders nor run as root; its `apt-get` finds no
//! `chromium-driver`. There setup uses a chromedriver in `PATH` together with a Chromium or Chrome of the same
//! version. Without a chromedriver `cargo xtask test` skips the tests of the page with a message, and the gate fails.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::LeftOut;
use super::apt::RequiredProgram;

pub(crate) const PAGE: &str = "in_a_browser::";

const CHROMEDRIVER: RequiredProgram =
    RequiredProgram { name: "chromedriver", package: "chromium-driver", shows: "--version" };

const BROWSERS: [&str; 4] = ["chromium", "google-chrome", "chromium-browser", "chrome"];

const ELSEWHERE: &str = "tests of the admin page need chromedriver, and Chromium or Chrome of the same version, in PATH; \
                         Debian has them as chromium-driver, Ubuntu as snaps that tests cannot use: \
                         install Google's packages of both there";

pub(super) fn ensure() -> Result<Option<LeftOut>> {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    match installed() {
        Ok(()) => Ok(None),
        Err(_) if has_snaps_only(&release) && !CHROMEDRIVER.is_there() => {
            Ok(Some(LeftOut { tests: PAGE, why: ELSEWHERE }))
        }
        Err(error) => Err(error),
    }
}

/// Whether the distribution has Chromium as a snap only: Ubuntu, not its derivatives.
fn has_snaps_only(os_release: &str) -> bool {
    os_release.lines().any(|line| line.trim_end() == "ID=ubuntu")
}

fn installed() -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::has_snaps_only;

    #[test]
    fn ubuntu_has_snaps_and_others_have_packages() {
        for (release, expected) in [
            ("PRETTY_NAME=\"Ubuntu 24.04\"\nID=ubuntu\nID_LIKE=debian\n", true),
            ("ID=debian\n", false),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", false),
            ("", false),
        ] {
            assert_eq!(has_snaps_only(release), expected, "{release}");
        }
    }
}
