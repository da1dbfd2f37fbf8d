//! `test --broker 4`: the tests that need a broker, against the RabbitMQ of a newer Debian.
//!
//! That Debian is a root directory under `target/`, made by `debootstrap` once. Its `/proc`, `/dev` and the folder for
//! temporary files are mounted in a mount namespace of their own, so nothing is left mounted when the last process of the
//! run has ended, however it ended. Needs root. The node is one of the testkit's: loopback only, free ports, ended by pid.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use osnl_testkit::{BROKER_ROOT_VARIABLE, Guard, SCRIPTS};

use crate::step;

/// A version of RabbitMQ, and the release of Debian that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) version: &'static str,
    suite: &'static str,
}

const RELEASES: &[Release] = &[Release { version: "4", suite: "trixie" }];

/// The programs that make and enter a root directory, and the packages that bring them.
const PROGRAMS: &[(&str, &str)] =
    &[("debootstrap", "debootstrap"), ("unshare", "util-linux"), ("mount", "mount"), ("chroot", "coreutils")];

/// Mounts what RabbitMQ wants, in the namespace that this shell was started in, and becomes the command.
const ENTER: &str = "set -eu
    root=$1 temporary=$2; shift 2
    mount -t proc proc \"$root/proc\"
    mount --rbind /dev \"$root/dev\"
    mkdir -p \"$root$temporary\"
    mount --bind \"$temporary\" \"$root$temporary\"
    exec \"$@\"";

/// The arguments of `test` with the release that `--broker` names taken out of them.
pub(super) fn parse(args: &[String]) -> Result<(Option<Release>, Vec<String>)> {
    let (mut release, mut rest) = (None, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            rest.push(arg.clone());
            rest.extend(args.cloned());
            break;
        }
        if arg != "--broker" {
            rest.push(arg.clone());
            continue;
        }
        let known = || RELEASES.iter().map(|release| release.version).collect::<Vec<_>>().join(", ");
        let version = args.next().with_context(|| format!("--broker needs a version: {}", known()))?;
        let found = RELEASES.iter().find(|release| release.version == version);
        release = Some(*found.with_context(|| format!("--broker {version}: not one of: {}", known()))?);
    }
    Ok((release, rest))
}

/// Whether this process already runs where the release's root is mounted.
pub(super) fn is_entered() -> bool {
    std::env::var_os(BROKER_ROOT_VARIABLE).is_some()
}

/// Makes the root directory if need be, and replaces this process by `test` with the same arguments inside of the
/// namespace. Returns only when that is impossible.
pub(super) fn enter(release: Release, args: &[String]) -> Result<std::convert::Infallible> {
    require(release)?;
    let root = ensure_root(release)?;
    let temporary = std::fs::canonicalize(std::env::temp_dir()).context("the folder for temporary files")?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "sh"]);
    command.arg(&root).arg(&temporary).arg(std::env::current_exe()?).arg("test").args(args);
    let error = command.env(BROKER_ROOT_VARIABLE, &root).env("TMPDIR", &temporary).exec();
    Err(error).context("cannot run unshare")
}

fn require(release: Release) -> Result<()> {
    let version = release.version;
    ensure!(
        step::output(Command::new("id").arg("-u"))?.trim() == "0",
        "--broker {version} mounts a root directory: run it as root"
    );
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    ensure!(
        missing.is_empty(),
        "--broker {version} needs what is not installed: apt-get install {}",
        missing.join(" ")
    );
    Ok(())
}

/// The root directory with the release's RabbitMQ; made once.
fn ensure_root(release: Release) -> Result<PathBuf> {
    let folder = step::target_dir().join("debian").join(release.suite);
    let server = Path::new(SCRIPTS.trim_start_matches('/')).join("rabbitmq-server");
    if folder.join(&server).exists() {
        return Ok(folder);
    }
    let mirror = mirror(&sources()?, &codename()?)
        .context("no mirror of Debian in /etc/apt: the root directory comes from the one that apt uses")?;
    println!("test: making a root directory of Debian {} with its RabbitMQ, once", release.suite);
    // Under another name until it is whole.
    let unfinished = folder.with_extension("unfinished");
    step::run(Command::new("rm").args(["-rf", "--one-file-system"]).arg(&unfinished))?;
    std::fs::create_dir_all(&unfinished)?;
    let mut debootstrap = Command::new("unshare");
    debootstrap
        .args(["--mount", "--propagation", "private", "debootstrap", "--variant=minbase"])
        .args(["--include=rabbitmq-server", release.suite])
        .arg(&unfinished)
        .arg(mirror)
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
        bail!("debootstrap ended with {}:\n{end}", output.status);
    }
    ensure!(unfinished.join(&server).exists(), "the package rabbitmq-server brought no {}", server.display());
    std::fs::rename(&unfinished, &folder)?;
    Ok(folder)
}

/// The version's name of this Debian.
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

/// Returns the sources that apt reads its packages from.
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

/// The URI of the archive that has the main packages of `suite`, in either of apt's two forms.
fn mirror(sources: &[String], suite: &str) -> Option<String> {
    sources.iter().find_map(|text| in_lines(text, suite).or_else(|| in_stanzas(text, suite)))
}

/// `deb [options] URI SUITE COMPONENT…`
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

/// Paragraphs of `Types:`, `URIs:`, `Suites:`, `Components:`.
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
    use super::*;

    #[test]
    fn the_broker_is_told_from_what_is_cargos() {
        let check = |line: &str, expected: Result<(Option<&str>, &str), &str>| {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            match (parse(&args), expected) {
                (Ok((release, rest)), Ok((version, others))) => {
                    assert_eq!(release.map(|release| release.version), version, "{line}");
                    assert_eq!(rest.join(" "), others, "{line}");
                }
                (Err(error), Err(reason)) => assert_eq!(error.to_string(), reason, "{line}"),
                (found, _) => panic!("{line}: {found:?}"),
            }
        };
        check("", Ok((None, "")));
        check("-p osnl --test it", Ok((None, "-p osnl --test it")));
        check("--broker 4", Ok((Some("4"), "")));
        check("-p osnl --broker 4 stream -- --nocapture", Ok((Some("4"), "-p osnl stream -- --nocapture")));
        check("-- --broker 4", Ok((None, "-- --broker 4")));
        check("--broker", Err("--broker needs a version: 4"));
        check("--broker 3", Err("--broker 3: not one of: 4"));
    }

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
