//! `release X.Y.Z [--dry-run]`: prepares the commit of a release.
//!
//! The command writes the version to all places, and the fragments of `changelog.d` into `CHANGELOG.md`. The tree
//! must be clean at the start; afterwards its changes are the commit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};

use crate::step;

const MANIFEST: &[&str] = &["[workspace.package]\nversion = \"@\"", "\", version = \"@\""];
const DEB: &str = "osnl_@-1_amd64.deb";
const PLACES: [(&str, &[&str]); 15] = [
    ("Cargo.toml", MANIFEST),
    ("library/Cargo.toml", MANIFEST),
    ("crates/osnl-python/pyproject.toml", &["\"osnl==@\""]),
    ("README.md", &[DEB]),
    ("docs/getting-started.md", &["version=@ ", "osnl @, process"]),
    ("docs/install.md", &[DEB, "osnl-@-1.x86_64.rpm"]),
    ("docs/kolla-ansible.md", &[DEB]),
    ("docs/openstack-ansible.md", &[DEB]),
    ("docs/running.md", &["osnl @, process"]),
    ("library/README.md", &["osnl-notify = \"@\""]),
    ("library/osnl-notify/src/versioned/guide.md", &["osnl-notify = \"@\""]),
    ("packaging/ansible/site.yml", &[DEB]),
    ("packaging/container/Containerfile", &["image.version=\"@\""]),
    ("packaging/helm/osnl/Chart.yaml", &["\nversion: @\nappVersion: @\n"]),
    ("packaging/openstack-ansible/group_vars/osnl_all.yml", &[DEB]),
];

const KINDS: [(&str, &str); 5] = [
    ("summary", ""),
    ("removal", "### Removed\n\n"),
    ("feature", "### New\n\n"),
    ("change", "### Changed\n\n"),
    ("fix", "### Fixed\n\n"),
];

pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let (version, is_dry) = parse(args)?;
    let fragments = fragments(&step::root())?;
    let section = section(&fragments, &version, &source_date_as("+%Y-%m-%d")?)?;
    let present = self::version()?;
    if is_dry {
        println!("{section}\nrelease: {present} would become {version}; nothing was changed");
        return Ok(ExitCode::SUCCESS);
    }
    ensure_clean()?;
    let changelog = read("CHANGELOG.md")?;
    ensure!(
        !changelog.contains(&heading(&version)),
        "CHANGELOG.md has {version} already: write into it by hand"
    );
    set_version(&present, &version)?;
    let (above, below) = changelog.split_at(changelog.find("\n## ").unwrap_or(changelog.len()));
    fs::write(step::root().join("CHANGELOG.md"), format!("{above}\n{section}{below}"))?;
    for fragment in fragments {
        fs::remove_file(&fragment).with_context(|| fragment.display().to_string())?;
    }
    ensure_prepared(&version)?;
    println!(
        "release: next: git diff; git commit -am \"Version {version}\"; cargo xtask ci; cargo xtask package release"
    );
    Ok(ExitCode::SUCCESS)
}

fn parse(args: &[String]) -> Result<(String, bool)> {
    let (flags, versions): (Vec<&String>, Vec<&String>) = args.iter().partition(|word| *word == "--dry-run");
    let [version] = versions.as_slice() else { bail!("allowed: X.Y.Z, --dry-run") };
    let numbers: Vec<_> = version.split('.').map(str::parse::<u32>).collect();
    ensure!(
        numbers.len() == 3 && numbers.iter().all(Result::is_ok),
        "\"{version}\" is not a version; write X.Y.Z, such as 0.2.0"
    );
    Ok(((*version).clone(), !flags.is_empty()))
}

pub(crate) fn ensure_clean() -> Result<()> {
    let changes =
        step::output(Command::new("git").args(["status", "--porcelain"]).current_dir(step::root()))?;
    ensure!(changes.is_empty(), "the tree has changes that are not committed:\n{changes}");
    Ok(())
}

/// Fails unless each place has the version, and the changelog begins with a section of the version and has all fragments.
pub(crate) fn ensure_prepared(version: &str) -> Result<()> {
    let mut wrong = misplaced(version)?;
    let waiting = fragments(&step::root())?;
    wrong.extend(waiting.iter().map(|path| format!("{} is not in CHANGELOG.md", path.display())));
    ensure!(wrong.is_empty(), "{}\nrun `cargo xtask release {version}`, and commit", wrong.join("\n"));
    Ok(())
}

fn misplaced(version: &str) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (file, words) in PLACES {
        let text = read(file)?;
        let words = words.iter().map(|word| word.replace('@', version));
        wrong.extend(words.filter(|word| !text.contains(word)).map(|word| format!("{file} lacks {word:?}")));
    }
    let changelog = read("CHANGELOG.md")?;
    let newest = changelog.find("\n## ").unwrap_or_default();
    if !changelog[newest..].starts_with(&heading(version)) {
        wrong.push(format!("the newest section of CHANGELOG.md is not of {version}"));
    }
    Ok(wrong)
}

pub(crate) fn version() -> Result<String> {
    let text = read("Cargo.toml")?;
    let found =
        text.split_once("[workspace.package]\nversion = \"").and_then(|(_, rest)| rest.split_once('"'));
    Ok(found.context("Cargo.toml has no version")?.0.to_owned())
}

pub(crate) fn source_date() -> Result<String> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(source_date) => Ok(source_date),
        Err(_) => {
            let mut git = Command::new("git");
            git.args(["log", "-1", "--format=%ct"]).current_dir(step::root());
            Ok(step::output(&mut git)?.trim().to_owned())
        }
    }
}

pub(crate) fn source_date_as(format: &str) -> Result<String> {
    let mut date = Command::new("date");
    date.args(["-u", "-d", &format!("@{}", source_date()?), format]).env("LC_ALL", "C");
    Ok(step::output(&mut date)?.trim().to_owned())
}

fn heading(version: &str) -> String {
    format!("\n## {version} - ")
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(step::root().join(file)).with_context(|| file.to_owned())
}

fn set_version(from: &str, to: &str) -> Result<()> {
    for (file, words) in PLACES {
        let mut text = read(file)?;
        for word in words {
            text = text.replace(&word.replace('@', from), &word.replace('@', to));
        }
        fs::write(step::root().join(file), text).with_context(|| file.to_owned())?;
    }
    // Only the workspace's own crates change their version, so that no registry is needed.
    for manifest in ["Cargo.toml", "library/Cargo.toml"] {
        let args = ["update", "--workspace", "--offline", "--quiet", "--manifest-path", manifest];
        step::run(step::cargo().args(args))?;
    }
    Ok(())
}

fn fragments(root: &Path) -> Result<Vec<PathBuf>> {
    let mut fragments = Vec::new();
    // Without fragments, git has no folder.
    for entry in fs::read_dir(root.join("changelog.d")).into_iter().flatten() {
        fragments.push(entry?.path());
    }
    fragments.sort();
    Ok(fragments)
}

fn section(fragments: &[PathBuf], version: &str, date: &str) -> Result<String> {
    ensure!(!fragments.is_empty(), "changelog.d has no fragment: nothing has changed");
    let mut text = format!("## {version} - {date}\n");
    let mut gathered = 0;
    for (kind, heading) in KINDS {
        let ending = format!(".{kind}.md");
        let of_kind = fragments.iter().filter(|path| path.to_string_lossy().ends_with(&ending));
        for (index, path) in of_kind.enumerate() {
            let fragment = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let fragment = fragment.trim();
            text.push_str(if index == 0 || heading.is_empty() { "\n" } else { "" });
            text.push_str(if index == 0 { heading } else { "" });
            text.push_str(&match heading {
                "" => format!("{fragment}\n"),
                _ => format!("- {}\n", fragment.replace('\n', "\n  ").replace("\n  \n", "\n\n")),
            });
            gathered += 1;
        }
    }
    ensure!(
        gathered == fragments.len(),
        "changelog.d: a fragment is named SLUG.feature.md, fix, change, removal, or summary"
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{fragments, misplaced, parse, section, version};

    #[test]
    fn the_words_of_the_command() {
        let parse = |words: &str| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            parse(&words).map_err(|error| error.to_string())
        };
        assert_eq!(parse("--dry-run 0.2.0"), Ok(("0.2.0".to_owned(), true)));
        assert_eq!(parse("0.2.0"), Ok(("0.2.0".to_owned(), false)));
        for words in ["", "--dry-run", "0.2", "0.2.x", "0.2.0 0.3.0", "0.2.0 --sign"] {
            let error = parse(words).unwrap_err();
            assert!(error.contains("X.Y.Z"), "{words}: {error}");
        }
    }

    #[test]
    fn the_version_is_in_each_place_and_in_the_changelog() {
        assert_eq!(misplaced(&version().unwrap()).unwrap(), Vec::<String>::new());
        let wrong = misplaced("99.0.0").unwrap().join("\n");
        for file in ["library/Cargo.toml", "packaging/helm/osnl/Chart.yaml", "section of CHANGELOG.md"] {
            assert!(wrong.contains(file), "{wrong}");
        }
    }

    #[test]
    fn fragments_become_a_section_by_kind() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("changelog.d");
        fs::create_dir(&folder).unwrap();
        let section = |version: &str| section(&fragments(root.path()).unwrap(), version, "2026-12-01");
        assert!(section("0.2.0").is_err(), "nothing has changed");
        for (name, text) in [
            ("b.fix.md", "A fault is gone.\n"),
            ("a.fix.md", "Another\nis too.\n\n    code\n"),
            ("y.summary.md", "In short.\n"),
            ("z.feature.md", "There is more.\n"),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        let text = section("0.2.0").unwrap();
        let expected = "## 0.2.0 - 2026-12-01\n\nIn short.\n\n### New\n\n- There is more.\n\n### Fixed\n\n\
                        - Another\n  is too.\n\n      code\n- A fault is gone.\n";
        assert_eq!(text, expected);
        fs::write(folder.join("b.fixed.md"), "x").unwrap();
        let error = section("0.3.0").unwrap_err().to_string();
        assert!(error.contains("SLUG.feature.md"), "{error}");
    }
}
