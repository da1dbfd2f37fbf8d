//! `release X.Y.Z [--sign KEY] [--dry-run]`: everything of a release except its tag and its publication.
//!
//! The command writes the version to all places, and the fragments of `changelog.d` into `CHANGELOG.md`.
//! `target/release-X.Y.Z` gets the packages, a bill of materials by cargo-cyclonedx, `SHA256SUMS`, and with a key a
//! signature of each file. The tree must be clean at the start; afterwards its changes are the commit of the release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{package, setup, step};

const MANIFEST: &[&str] = &["[workspace.package]\nversion = \"@\"", ", version = \"@\" }"];
const PACKAGES: &[&str] = &["osnl_@-1_amd64.deb", "osnl-@-1.x86_64.rpm"];
const PLACES: [(&str, &[&str]); 5] = [
    ("Cargo.toml", MANIFEST),
    ("library/Cargo.toml", MANIFEST),
    ("README.md", PACKAGES),
    ("docs/install.md", PACKAGES),
    ("packaging/ansible/site.yml", PACKAGES),
];

/// The kinds of fragments by the ends of their names, and their headings.
const KINDS: [(&str, &str); 5] = [
    ("summary", ""),
    ("removal", "### Removed\n\n"),
    ("feature", "### New\n\n"),
    ("change", "### Changed\n\n"),
    ("fix", "### Fixed\n\n"),
];
const UNRELEASED: &str = "## Unreleased\n\nThe fragments in [changelog.d](changelog.d/).\n";

#[derive(Debug, Default, PartialEq, Eq)]
struct ReleaseOrder {
    version: String,
    key: Option<String>,
    is_dry: bool,
}

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let ReleaseOrder { version, key, is_dry } = ReleaseOrder::parse(args)?;
    let (section, fragments) = section(&step::root(), &version, &package::source_date_as("+%Y-%m-%d")?)?;
    if is_dry {
        println!("{section}\nrelease: {} would become {version}; nothing was changed", package::version()?);
        return Ok(ExitCode::SUCCESS);
    }
    let changes =
        step::output(Command::new("git").args(["status", "--porcelain"]).current_dir(step::root()))?;
    ensure!(changes.is_empty(), "there are changes that are not committed: git status");
    set_version(&package::version()?, &version)?;
    let changelog = step::root().join("CHANGELOG.md");
    let before = fs::read_to_string(&changelog).context("CHANGELOG.md")?;
    ensure!(before.contains(UNRELEASED), "CHANGELOG.md has lost its section Unreleased");
    fs::write(&changelog, before.replacen(UNRELEASED, &format!("{UNRELEASED}\n{section}"), 1))?;
    for fragment in fragments {
        fs::remove_file(&fragment).with_context(|| fragment.display().to_string())?;
    }

    let folder = step::target_dir().join(format!("release-{version}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for made in package::of_release()? {
        fs::copy(&made, folder.join(made.file_name().context("a package without a name")?))?;
    }
    bill_of_materials(&folder.join(format!("osnl-{version}.cdx.json")))?;
    for file in checksums(&folder)? {
        if let Some(key) = &key {
            sign(&file, key)?;
        }
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
        let mut order = Self::default();
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
        let numbers: Vec<_> = order.version.split('.').map(str::parse::<u32>).collect();
        ensure!(
            numbers.len() == 3 && numbers.iter().all(Result::is_ok),
            "\"{}\" is not a version; write X.Y.Z, such as 0.2.0",
            order.version
        );
        Ok(order)
    }
}

fn set_version(from: &str, to: &str) -> Result<()> {
    for (file, words) in PLACES {
        let path = step::root().join(file);
        let mut text = fs::read_to_string(&path).with_context(|| file.to_owned())?;
        for word in words {
            text = text.replace(&word.replace('@', from), &word.replace('@', to));
        }
        fs::write(&path, text).with_context(|| file.to_owned())?;
    }
    // Only the workspace's own crates change their version, so that no registry is needed.
    for manifest in ["Cargo.toml", "library/Cargo.toml"] {
        let args = ["update", "--workspace", "--offline", "--quiet", "--manifest-path", manifest];
        step::run(step::cargo().args(args))?;
    }
    Ok(())
}

fn section(root: &Path, version: &str, date: &str) -> Result<(String, Vec<PathBuf>)> {
    let mut fragments = Vec::new();
    for entry in fs::read_dir(root.join("changelog.d")).context("changelog.d")? {
        fragments.push(entry?.path());
    }
    fragments.sort();
    let mut text = format!("## {version} - {date}\n");
    let mut gathered = Vec::new();
    for (kind, heading) in KINDS {
        let ending = format!(".{kind}.md");
        let (of_kind, others) =
            fragments.into_iter().partition(|path| path.to_string_lossy().ends_with(&ending));
        fragments = others;
        let of_kind: Vec<PathBuf> = of_kind;
        for (index, path) in of_kind.iter().enumerate() {
            let fragment = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let fragment = fragment.trim();
            text.push_str(if index == 0 || heading.is_empty() { "\n" } else { "" });
            text.push_str(if index == 0 { heading } else { "" });
            text.push_str(&match heading {
                "" => format!("{fragment}\n"),
                _ => format!("- {}\n", fragment.replace('\n', "\n  ").replace("\n  \n", "\n\n")),
            });
        }
        gathered.extend(of_kind);
    }
    if let Some(stranger) = fragments.first() {
        bail!(
            "{}: a fragment is named SLUG.feature.md, fix, change, removal, or summary",
            stranger.display()
        );
    }
    ensure!(!gathered.is_empty(), "changelog.d has no fragment: nothing has changed");
    Ok((text, gathered))
}

/// Writes the program's bill of materials, and removes cargo-cyclonedx's files for the other crates.
fn bill_of_materials(path: &Path) -> Result<()> {
    let mut cyclonedx = Command::new(setup::cargo_cyclonedx()?);
    cyclonedx.args([
        "cyclonedx",
        "--format",
        "json",
        "--spec-version",
        "1.5",
        "--override-filename",
        "osnl.cdx",
    ]);
    cyclonedx
        .args(package::PROGRAM)
        .env("SOURCE_DATE_EPOCH", package::source_date()?)
        .env("CARGO_NET_OFFLINE", "true");
    step::run(cyclonedx.current_dir(step::root()).stdin(Stdio::null()))?;
    // References to our own crates contain this machine's path.
    let kept = "sed \"s|file://$PWD|file:///usr/src/osnl|\" crates/osnl-cli/osnl.cdx.json > \"$1\" && rm -f crates/*/osnl.cdx.json xtask/osnl.cdx.json";
    step::run(Command::new("sh").args(["-euc", kept, "sh"]).arg(path).current_dir(step::root()))
}

fn checksums(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let names = files.iter().filter_map(|path| path.file_name());
    let sums = step::output(Command::new("sha256sum").args(names).current_dir(folder))?;
    let list = folder.join("SHA256SUMS");
    fs::write(&list, sums)?;
    files.push(list);
    Ok(files)
}

fn sign(file: &Path, key: &str) -> Result<()> {
    let mut gpg = Command::new("gpg");
    gpg.args(["--batch", "--yes", "--armor", "--detach-sign", "--local-user", key]).arg(file);
    step::run(gpg.stdin(Stdio::null()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{PLACES, ReleaseOrder, section};
    use crate::package;
    use crate::step;

    #[test]
    fn the_words_of_the_command() {
        let parse = |words: &str| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            ReleaseOrder::parse(&words).map_err(|error| error.to_string())
        };
        let signed = ReleaseOrder { version: "0.2.0".to_owned(), key: Some("ABCD".to_owned()), is_dry: true };
        assert_eq!(parse("--dry-run --sign ABCD 0.2.0"), Ok(signed));
        for (words, part) in [
            ("--dry-run", "X.Y.Z"),
            ("0.2", "X.Y.Z"),
            ("0.2.x", "X.Y.Z"),
            ("0.2.0 0.3.0", "unknown argument 0.3.0"),
            ("0.2.0 --sign", "no key"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(part), "{words}: {error}");
        }
    }

    #[test]
    fn the_version_is_where_the_table_says() {
        let present = package::version().unwrap();
        for (file, words) in PLACES.iter().filter(|(file, _)| *file != "README.md") {
            let text = fs::read_to_string(step::root().join(file)).unwrap();
            assert!(words.iter().any(|word| text.contains(&word.replace('@', &present))), "{file}");
        }
    }

    #[test]
    fn fragments_become_a_section_by_kind() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("changelog.d");
        fs::create_dir(&folder).unwrap();
        assert!(section(root.path(), "0.2.0", "2026-12-01").is_err(), "nothing has changed");
        for (name, text) in [
            ("b.fix.md", "A fault is gone.\n"),
            ("a.fix.md", "Another\nis too.\n\n    code\n"),
            ("y.summary.md", "In short.\n"),
            ("z.feature.md", "There is more.\n"),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        let (text, fragments) = section(root.path(), "0.2.0", "2026-12-01").unwrap();
        let expected = "## 0.2.0 - 2026-12-01\n\nIn short.\n\n### New\n\n- There is more.\n\n### Fixed\n\n\
                        - Another\n  is too.\n\n      code\n- A fault is gone.\n";
        assert_eq!(text, expected);
        assert_eq!(fragments.len(), 4);
        fs::write(folder.join("b.fixed.md"), "x").unwrap();
        let error = section(root.path(), "0.3.0", "2026-12-02").unwrap_err().to_string();
        assert!(error.contains("b.fixed.md"), "{error}");
    }
}
