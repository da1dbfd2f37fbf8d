//! The section of a release in `CHANGELOG.md`: the fragments of `changelog.d`, by kind.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

/// The kind of a fragment that stands above the others as it is.
const SUMMARY: &str = "summary";

/// The kinds of fragments, as their names end, and their headings.
const KINDS: [(&str, &str); 4] =
    [("removal", "Removed"), ("feature", "New"), ("change", "Changed"), ("fix", "Fixed")];

const UNRELEASED: &str = "## Unreleased\n\nThe fragments in [changelog.d](changelog.d/).\n";

/// A section, and the files that it is made of.
pub(super) struct ChangelogSection {
    pub(super) text: String,
    pub(super) fragments: Vec<PathBuf>,
}

/// Reads the fragments below `root`.
pub(super) fn section(root: &Path, version: &str, date: &str) -> Result<ChangelogSection> {
    let folder = root.join("changelog.d");
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut fragments: Vec<PathBuf> = entries
        .map_while(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    fragments.sort();
    ensure!(!fragments.is_empty(), "{} has no fragment: nothing has changed", folder.display());
    if let Some(stranger) = fragments.iter().find(|path| kind_of(path).is_none()) {
        bail!(
            "{}: a fragment is named SLUG.feature.md, fix, change, removal, or summary",
            stranger.display()
        );
    }
    let mut text = format!("## {version} - {date}\n");
    for path in fragments.iter().filter(|path| kind_of(path) == Some(SUMMARY)) {
        let summary = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        text.push_str(&format!("\n{}\n", summary.trim()));
    }
    for (kind, heading) in KINDS {
        let of_kind = fragments.iter().filter(|path| kind_of(path) == Some(kind));
        let items = of_kind
            .map(|path| Ok(item(&fs::read_to_string(path).with_context(|| path.display().to_string())?)))
            .collect::<Result<Vec<String>>>()?;
        if !items.is_empty() {
            text.push_str(&format!("\n### {heading}\n\n{}", items.concat()));
        }
    }
    Ok(ChangelogSection { text, fragments })
}

impl ChangelogSection {
    /// Puts the section above the older ones, and removes the fragments.
    pub(super) fn write(&self, root: &Path) -> Result<()> {
        let path = root.join("CHANGELOG.md");
        let before = fs::read_to_string(&path).context("CHANGELOG.md")?;
        ensure!(before.contains(UNRELEASED), "CHANGELOG.md has lost its section Unreleased");
        let after = before.replacen(UNRELEASED, &format!("{UNRELEASED}\n{}", self.text), 1);
        fs::write(&path, after).context("CHANGELOG.md")?;
        for fragment in &self.fragments {
            fs::remove_file(fragment).with_context(|| fragment.display().to_string())?;
        }
        Ok(())
    }
}

fn kind_of(path: &Path) -> Option<&'static str> {
    let stem = path.file_stem()?.to_str()?;
    let (_, kind) = stem.rsplit_once('.')?;
    KINDS.iter().map(|(name, _)| *name).chain([SUMMARY]).find(|name| *name == kind)
}

/// A fragment as an item of a list: later lines are indented, code and lists in it too.
fn item(fragment: &str) -> String {
    let mut lines = fragment.trim().lines();
    let mut out = format!("- {}\n", lines.next().unwrap_or_default());
    for line in lines {
        out.push_str(if line.is_empty() { "" } else { "  " });
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{UNRELEASED, section};

    #[test]
    fn fragments_become_a_section_by_kind_and_are_gone() {
        let root = tempfile::tempdir().unwrap();
        let fragments = root.path().join("changelog.d");
        fs::create_dir(&fragments).unwrap();
        assert!(section(root.path(), "0.2.0", "2026-12-01").is_err(), "nothing has changed");
        fs::write(fragments.join("b.fix.md"), "A fault is gone.\n").unwrap();
        fs::write(fragments.join("a.fix.md"), "Another\nis too.\n\n    code\n").unwrap();
        fs::write(fragments.join("y.summary.md"), "In short.\n").unwrap();
        fs::write(fragments.join("z.feature.md"), "There is more.\n").unwrap();
        fs::write(
            root.path().join("CHANGELOG.md"),
            format!("# Changelog\n\n{UNRELEASED}\n## 0.1.0 - 2026-11-21\n"),
        )
        .unwrap();
        let made = section(root.path(), "0.2.0", "2026-12-01").unwrap();
        made.write(root.path()).unwrap();
        let text = fs::read_to_string(root.path().join("CHANGELOG.md")).unwrap();
        let expected = "## 0.2.0 - 2026-12-01\n\nIn short.\n\n### New\n\n- There is more.\n\n### Fixed\n\n\
                        - Another\n  is too.\n\n      code\n- A fault is gone.\n";
        assert_eq!(text, format!("# Changelog\n\n{UNRELEASED}\n{expected}\n## 0.1.0 - 2026-11-21\n"));
        assert_eq!(fs::read_dir(&fragments).unwrap().count(), 0);

        fs::write(fragments.join("b.fixed.md"), "x").unwrap();
        let error = section(root.path(), "0.3.0", "2026-12-02").map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("b.fixed.md"), "{error}");
    }
}
