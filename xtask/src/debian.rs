//! Root directories of Debian and Ubuntu, made by `debootstrap` once and kept under `target/debian`.
//!
//! The mirror is the machine's apt mirror, or that in `OSNL_MIRROR`, which Ubuntu's releases need. A root has another
//! name until it is complete, and is built in a private mount namespace, so that no mount is left. Needs root.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use osnl_testkit::Guard;

use crate::{setup, step};

pub(crate) struct DebianRoot<'a> {
    pub(crate) suite: &'a str,
    pub(crate) folder: &'a str,
    pub(crate) packages: &'a str,
    /// A file of the last package, relative to the root, which proves that the root is complete.
    pub(crate) proof: &'a Path,
}

impl DebianRoot<'_> {
    pub(crate) fn ensure(&self, purpose: &str) -> Result<PathBuf> {
        let folder = step::target_dir().join("debian").join(self.folder);
        ensure!(
            step::output(Command::new("id").arg("-u"))?.trim() == "0",
            "{purpose} mounts a root directory: run it as root"
        );
        if folder.join(self.proof).exists() {
            return Ok(folder);
        }
        setup::debootstrap()?;
        let mirror = match std::env::var("OSNL_MIRROR") {
            Ok(mirror) => mirror,
            Err(_) => mirror(&sources()?, &codename()?).context(
                "no mirror of Debian in /etc/apt: the root directory comes from the one that apt uses; or set OSNL_MIRROR",
            )?,
        };
        println!("{purpose}: making a root directory of {} with {}, once", self.suite, self.packages);
        let unfinished = folder.with_extension("unfinished");
        step::run(Command::new("rm").args(["-rf", "--one-file-system"]).arg(&unfinished))?;
        std::fs::create_dir_all(&unfinished)?;
        self.debootstrap(&unfinished, &mirror)?;
        ensure!(
            unfinished.join(self.proof).exists(),
            "{} brought no {}",
            self.packages,
            self.proof.display()
        );
        step::run(Command::new("rm").args(["-rf", "--one-file-system"]).arg(&folder))?;
        std::fs::rename(&unfinished, &folder)?;
        Ok(folder)
    }

    fn debootstrap(&self, folder: &Path, mirror: &str) -> Result<()> {
        let mut debootstrap = Command::new("unshare");
        debootstrap
            .args(["--mount", "--propagation", "private", "debootstrap", "--variant=minbase"])
            .arg(format!("--include={}", self.packages))
            .arg(self.suite)
            .arg(folder)
            .arg(mirror)
            .args(script(self.suite))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0);
        let child = debootstrap.spawn().context("cannot run debootstrap")?;
        let _guard = Guard::over(&[child.id()], None);
        let output = child.wait_with_output().context("cannot wait for debootstrap")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let lines: Vec<&str> = said.lines().collect();
            let end = lines[lines.len().saturating_sub(10)..].join("\n");
            bail!(
                "debootstrap cannot make {} from this mirror, {}; OSNL_MIRROR names another mirror, which a release of \
                 Ubuntu needs:\n{end}",
                self.suite,
                output.status
            );
        }
        Ok(())
    }
}

/// Returns the script of a release that is newer than this machine's debootstrap; each of Ubuntu has the same one.
fn script(suite: &str) -> Option<&'static str> {
    let scripts = Path::new("/usr/share/debootstrap/scripts");
    (!scripts.join(suite).exists()).then_some("/usr/share/debootstrap/scripts/gutsy")
}

fn codename() -> Result<String> {
    let release = std::fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    let value = |name: &str| {
        release
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|value| value.trim_matches('"').to_owned())
    };
    ensure!(value("ID=").as_deref() == Some("debian"), "this is not Debian: its mirror has no other release");
    value("VERSION_CODENAME=").context("/etc/os-release has no VERSION_CODENAME")
}

fn sources() -> Result<Vec<String>> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(folder) = std::fs::read_dir("/etc/apt/sources.list.d") {
        paths.extend(folder.map_while(Result::ok).map(|entry| entry.path()));
    }
    paths.sort();
    paths.retain(|path| path.is_file());
    paths
        .iter()
        .map(|path| std::fs::read_to_string(path).with_context(|| path.display().to_string()))
        .collect()
}

fn mirror(sources: &[String], suite: &str) -> Option<String> {
    sources.iter().find_map(|text| in_lines(text, suite).or_else(|| in_stanzas(text, suite)))
}

fn in_lines(text: &str, suite: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_whitespace();
        let uri = words.next()?;
        (words.next()? == suite && words.any(|component| component == "main")).then(|| uri.to_owned())
    })
}

fn in_stanzas(text: &str, suite: &str) -> Option<String> {
    text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| {
            let value = stanza.lines().find_map(|line| line.strip_prefix(name))?;
            Some(value.split_whitespace())
        };
        let is_it = field("Types:")?.any(|kind| kind == "deb")
            && field("Suites:")?.any(|one| one == suite)
            && field("Components:")?.any(|component| component == "main");
        is_it.then(|| field("URIs:")?.next().map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use super::mirror;

    #[test]
    fn the_mirror_is_the_one_that_apt_uses_for_this_release() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(mirror(&[text.to_owned()], "bookworm").as_deref(), expected, "{text}");
        };
        check("", None);
        check(
            "deb http://mirror.example/debian bookworm main contrib\n",
            Some("http://mirror.example/debian"),
        );
        check(
            "deb [signed-by=/k arch=amd64] http://mirror.example/d bookworm main",
            Some("http://mirror.example/d"),
        );
        check("# deb http://mirror.example/debian bookworm main\n", None);
        check("deb-src http://mirror.example/debian bookworm main\n", None);
        check("deb http://mirror.example/debian-security bookworm-security main\n", None);
        check("deb http://mirror.example/other bookworm tools\n", None);
        let stanza = "Types: deb\n# old\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n";
        check(stanza, Some("http://mirror.example/debian"));
        check(&stanza.replace("bookworm bookworm-updates", "bookworm-security"), None);
        check(
            &format!("{}\n{stanza}", stanza.replace("Suites: b", "Suites: x")),
            Some("http://mirror.example/debian"),
        );
        check(&stanza.replace("Types: deb\n", "Types: deb-src\n"), None);
    }
}
