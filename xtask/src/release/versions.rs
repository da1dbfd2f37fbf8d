//! The version wherever it is written: in `Cargo.toml`, and in the names of packages on pages.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::step;

/// The words of `Cargo.toml` that a version is in; `@` is the version. Each must be there.
const MANIFEST: [&str; 2] = ["[workspace.package]\nversion = \"@\"", ", version = \"@\" }"];
/// Pages that name packages by their files, and these names.
const PAGES: [&str; 3] = ["README.md", "docs/install.md", "packaging/ansible/site.yml"];
const PACKAGES: [&str; 2] = ["osnl_@-1_amd64.deb", "osnl-@-1.x86_64.rpm"];

/// The version that the workspace has now.
pub(crate) fn present() -> Result<String> {
    let text = fs::read_to_string(step::root().join("Cargo.toml")).context("Cargo.toml")?;
    let (_, rest) =
        text.split_once("[workspace.package]\nversion = \"").context("Cargo.toml has no version")?;
    let (version, _) = rest.split_once('"').context("Cargo.toml has no version")?;
    Ok(version.to_owned())
}

/// The three numbers of a version.
pub(super) fn number(version: &str) -> Result<[u64; 3]> {
    let numbers: Option<Vec<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
    let numbers: Option<[u64; 3]> = numbers.and_then(|numbers| numbers.try_into().ok());
    numbers.with_context(|| format!("\"{version}\" is not a version; write X.Y.Z, such as 0.2.0"))
}

/// Changes the version in all places, and returns the files; only looks if it is `dry`.
pub(super) fn change(root: &Path, from: &str, to: &str, dry: bool) -> Result<Vec<String>> {
    let mut changed = Vec::new();
    let manifest = ("Cargo.toml", &MANIFEST, true);
    for (file, words, must) in PAGES.map(|page| (page, &PACKAGES, false)).into_iter().chain([manifest]) {
        let path = root.join(file);
        let before = fs::read_to_string(&path).with_context(|| file.to_owned())?;
        let mut after = before.clone();
        for word in words {
            let old = word.replace('@', from);
            ensure!(
                !must || after.contains(&old),
                "{file} has lost \"{old}\", which xtask/src/release/versions.rs names"
            );
            after = after.replace(&old, &word.replace('@', to));
        }
        if after != before {
            changed.push(file.to_owned());
            if !dry {
                fs::write(&path, after).with_context(|| file.to_owned())?;
            }
        }
    }
    if from != to {
        changed.push("Cargo.lock".to_owned());
        if !dry {
            // Only the crates of the workspace have another version; nothing is asked of a registry.
            step::run(step::cargo().args(["update", "--workspace", "--offline", "--quiet"]))?;
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::{change, number, present};
    use crate::step;

    #[test]
    fn a_version_is_three_numbers() {
        let check =
            |text: &str, expected: Option<[u64; 3]>| assert_eq!(number(text).ok(), expected, "{text}");
        check("0.1.0", Some([0, 1, 0]));
        check("1.20.3", Some([1, 20, 3]));
        check("1.2", None);
        check("1.2.3.4", None);
        check("1.2.x", None);
        check("v1.2.3", None);
        check("", None);
    }

    #[test]
    fn the_version_is_where_the_table_says() {
        let changed = change(&step::root(), &present().unwrap(), "99.0.0", true).unwrap();
        for file in ["Cargo.toml", "docs/install.md", "packaging/ansible/site.yml"] {
            assert!(changed.contains(&file.to_owned()), "{file}: {changed:?}");
        }
    }
}
