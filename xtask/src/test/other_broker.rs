//! `--broker 4` and `--broker 4.3` of `test` and `chaos`: tests with the RabbitMQ of a newer Debian.
//!
//! That Debian is a root directory under `target/`, made by [`crate::debian`] once. Its `/proc`, `/dev` and temporary
//! folder are mounted in a private mount namespace, so that no mount survives the last process of the run. The root
//! gets this machine's `/etc/hosts`, without which Erlang 29 does not find its own node. Needs root.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use osnl_testkit::{BROKER_ROOT_VARIABLE, SCRIPTS};

use crate::debian::DebianRoot;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    version: &'static str,
    suite: &'static str,
}

const RELEASES: &[Release] =
    &[Release { version: "4", suite: "trixie" }, Release { version: "4.3", suite: "sid" }];

const ENTER: &str = "set -eu
    root=$1 temporary=$2; shift 2
    mount -t proc proc \"$root/proc\"
    mount --rbind /dev \"$root/dev\"
    cp /etc/hosts \"$root/etc/hosts\"
    mkdir -p \"$root$temporary\"
    mount --bind \"$temporary\" \"$root$temporary\"
    exec \"$@\"";

pub(crate) fn parse(args: &[String]) -> Result<(Option<Release>, Vec<String>)> {
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

pub(crate) fn is_entered() -> bool {
    std::env::var_os(BROKER_ROOT_VARIABLE).is_some()
}

pub(crate) fn enter(release: Release, command: &[&str], args: &[String]) -> Result<std::convert::Infallible> {
    let root = ensure_root(release)?;
    let temporary = std::fs::canonicalize(std::env::temp_dir()).context("the folder for temporary files")?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "sh"]);
    unshare.arg(&root).arg(&temporary).arg(std::env::current_exe()?).args(command).args(args);
    let error = unshare.env(BROKER_ROOT_VARIABLE, &root).env("TMPDIR", &temporary).exec();
    Err(error).context("cannot run unshare")
}

fn ensure_root(release: Release) -> Result<PathBuf> {
    let server = Path::new(SCRIPTS.trim_start_matches('/')).join("rabbitmq-server");
    let root = DebianRoot {
        suite: release.suite,
        folder: release.suite,
        packages: "rabbitmq-server",
        proof: &server,
    };
    root.ensure(&format!("--broker {}", release.version))
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
        check("--broker 4.3 -p osnl", Ok((Some("4.3"), "-p osnl")));
        check("-- --broker 4", Ok((None, "-- --broker 4")));
        check("--broker", Err("--broker needs a version: 4, 4.3"));
        check("--broker 3", Err("--broker 3: not one of: 4, 4.3"));
    }
}
