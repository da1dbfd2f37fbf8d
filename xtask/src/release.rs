//! `release X.Y.Z [--sign KEY] [--dry-run]`: everything of a release but its tag and its publication.
//!
//! | step | leaves |
//! | --- | --- |
//! | [`changelog`] | `CHANGELOG.md` with a section of the fragments, and `changelog.d` empty |
//! | [`versions`] | the version wherever it is written |
//! | [`build`] | packages of two builds in two directories, which must be the same bytes |
//! | [`sbom`] | a bill of materials as CycloneDX JSON, judged by CycloneDX's own schema |
//! | here | `SHA256SUMS`, and with a key a detached signature of each file |
//!
//! Files are in `target/release-X.Y.Z`. The tree must be clean at the start; afterwards its changes are the commit of
//! the release. Nothing is tagged, pushed, or published: the last lines say what is left to do.

mod build;
mod changelog;
mod sbom;
mod versions;

pub(crate) use self::versions::present;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{package, step};

/// The words of the command.
#[derive(Debug, PartialEq, Eq)]
struct ReleaseOrder {
    version: String,
    key: Option<String>,
    is_dry: bool,
}

/// Makes the files of a release.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let order = ReleaseOrder::parse(args)?;
    let version = &order.version;
    let present = present()?;
    ensure!(
        versions::number(version)? >= versions::number(&present)?,
        "{version} is older than the present version, {present}"
    );
    let section = changelog::section(&step::root(), version, &package::moment_as("+%Y-%m-%d")?)?;
    let changed = versions::change(&step::root(), &present, version, order.is_dry)?;
    if order.is_dry {
        println!("{}", section.text);
        println!("release: {} fragments would go into CHANGELOG.md", section.fragments.len());
        for path in changed {
            println!("release: {present} would become {version} in {path}");
        }
        println!("release: nothing was changed");
        return Ok(ExitCode::SUCCESS);
    }
    section.write(&step::root())?;
    let folder = step::target_dir().join(format!("release-{version}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    build::twice(&folder)?;
    sbom::write(&folder, version)?;
    let files = checksums(&folder)?;
    if let Some(key) = &order.key {
        for file in &files {
            sign(file, key, None)?;
        }
    }
    for file in &files {
        println!("release: {}", file.display());
    }
    println!(
        "release: what is left to do:\n  git diff                  read CHANGELOG.md and the versions\n  \
         cargo xtask ci\n  git commit -am \"Version {version}\"\n  git tag -s v{version} -m \"osnl {version}\"\n  \
         git push --follow-tags\n  cargo publish --workspace\n  upload the files above"
    );
    Ok(ExitCode::SUCCESS)
}

impl ReleaseOrder {
    fn parse(args: &[String]) -> Result<Self> {
        let mut order = Self { version: String::new(), key: None, is_dry: false };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--dry-run" => order.is_dry = true,
                "--sign" => order.key = Some(words.next().context("--sign KEY: no key is given")?.clone()),
                version if order.version.is_empty() && !version.starts_with('-') => {
                    version.clone_into(&mut order.version);
                }
                other => bail!("unknown argument {other}; allowed: X.Y.Z, --sign KEY, --dry-run"),
            }
        }
        versions::number(&order.version)?;
        if !order.is_dry {
            let mut git = Command::new("git");
            git.args(["status", "--porcelain"]).current_dir(step::root());
            ensure!(
                step::output(&mut git)?.is_empty(),
                "there are changes that are not committed: git status"
            );
        }
        Ok(order)
    }
}

/// Writes `SHA256SUMS`, and returns it with the files that it names.
fn checksums(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .map_while(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let names = files.iter().filter_map(|path| path.file_name());
    let sums = step::output(Command::new("sha256sum").args(names).current_dir(folder))?;
    let list = folder.join("SHA256SUMS");
    fs::write(&list, sums)?;
    files.push(list);
    Ok(files)
}

/// Writes FILE.asc by a key that gpg has, in `home` or where it always looks.
fn sign(file: &Path, key: &str, home: Option<&Path>) -> Result<()> {
    let mut gpg = Command::new("gpg");
    if let Some(home) = home {
        gpg.arg("--homedir").arg(home);
    }
    gpg.args(["--batch", "--yes", "--armor", "--detach-sign", "--local-user", key]).arg(file);
    step::run(gpg.stdin(Stdio::null()))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{ReleaseOrder, checksums, sign};

    #[test]
    fn the_words_of_the_command() {
        let check = |words: &str, expected: Result<ReleaseOrder, &str>| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            let found = ReleaseOrder::parse(&words).map_err(|error| error.to_string());
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
                (found, expected) => panic!("{words:?}: {found:?}, expected {expected:?}"),
            }
        };
        let order = |key: Option<&str>| ReleaseOrder {
            version: "0.2.0".to_owned(),
            key: key.map(str::to_owned),
            is_dry: true,
        };
        check("0.2.0 --dry-run", Ok(order(None)));
        check("--dry-run --sign ABCD 0.2.0", Ok(order(Some("ABCD"))));
        check("--dry-run", Err("X.Y.Z"));
        check("0.2 --dry-run", Err("X.Y.Z"));
        check("0.2.0 0.3.0 --dry-run", Err("unknown argument 0.3.0"));
        check("0.2.0 --dry-run --sign", Err("no key"));
    }

    /// A key of its own, which is gone afterwards.
    #[test]
    fn files_are_summed_and_signed() {
        let home = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b"), "two").unwrap();
        std::fs::write(folder.path().join("a"), "one").unwrap();
        let files = checksums(folder.path()).unwrap();
        let names: Vec<_> = files.iter().filter_map(|file| file.file_name()?.to_str()).collect();
        assert_eq!(names, ["a", "b", "SHA256SUMS"]);
        let judge = |folder: &std::path::Path| {
            let mut sum = Command::new("sha256sum");
            sum.args(["--check", "--quiet", "SHA256SUMS"]).current_dir(folder).stdout(Stdio::null());
            sum.stderr(Stdio::null()).status().unwrap().success()
        };
        assert!(judge(folder.path()));
        std::fs::write(folder.path().join("a"), "other").unwrap();
        assert!(!judge(folder.path()));

        let gpg = |args: &[&str]| {
            let mut gpg = Command::new("gpg");
            gpg.arg("--homedir")
                .arg(home.path())
                .args(["--batch", "--quiet"])
                .args(args)
                .stdin(Stdio::null());
            gpg.stderr(Stdio::null()).status().unwrap().success()
        };
        assert!(
            sign(&files[1], "other@osnl.invalid", Some(home.path())).is_err(),
            "a key that gpg does not have"
        );
        assert!(gpg(&["--passphrase", "", "--quick-gen-key", "release@osnl.invalid", "ed25519"]));
        sign(&files[1], "release@osnl.invalid", Some(home.path())).unwrap();
        let signature = folder.path().join("b.asc");
        let [signature, file] = [&signature, &files[1]].map(|path| path.to_str().unwrap());
        assert!(gpg(&["--verify", signature, file]));
        std::fs::write(file, "forged").unwrap();
        assert!(!gpg(&["--verify", signature, file]));
        assert!(
            Command::new("gpgconf")
                .arg("--homedir")
                .arg(home.path())
                .args(["--kill", "all"])
                .status()
                .unwrap()
                .success()
        );
    }
}
