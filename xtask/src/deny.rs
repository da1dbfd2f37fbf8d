//! `deny`: what may come in as a dependency, asked of `cargo metadata` for the platform at hand.
//!
//! - a licence that can be fulfilled with those that `deny.toml` allows;
//! - one version of a crate, unless `deny.toml` says why there are two;
//! - from cargo's own registry: no git repositories, no other registries, no folders outside of the workspace.

mod list;
mod spdx;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};
use list::List;
use serde_json::Value;

use crate::step;

const LIST: &str = "deny.toml";
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A package as far as the rules ask.
#[derive(Debug, Clone)]
struct Package {
    name: String,
    version: String,
    /// An SPDX expression.
    licence: Option<String>,
    /// `None` for a folder.
    source: Option<String>,
    /// Whether it is a member of this workspace.
    ours: bool,
}

/// Checks all dependencies; fails when one breaks a rule.
pub(crate) fn run() -> Result<ExitCode> {
    let text =
        std::fs::read_to_string(step::root().join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    let list = List::parse(&text).with_context(|| format!("cannot read {LIST}"))?;
    let packages = packages()?;
    let violations = check(&packages, &list);
    for violation in &violations {
        println!("{violation}");
    }
    if violations.is_empty() {
        println!("deny: {} packages are fine", packages.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("deny: {} violations", violations.len());
    Ok(ExitCode::FAILURE)
}

fn packages() -> Result<Vec<Package>> {
    let about = step::output(Command::new("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let mut cargo = step::cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host]);
    let metadata: Value = serde_json::from_str(&step::output(cargo.stdin(Stdio::null()))?)?;
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(packages
        .iter()
        .map(|package| Package {
            name: text(&package["name"]).unwrap_or_default(),
            version: text(&package["version"]).unwrap_or_default(),
            licence: text(&package["license"]),
            source: text(&package["source"]),
            ours: package["id"].as_str().is_some_and(|id| members.contains(id)),
        })
        .collect())
}

/// One line for each violation.
fn check(packages: &[Package], list: &List) -> Vec<String> {
    let mut found = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        let Package { name, version, licence, source, ours } = package;
        versions.entry(name).or_default().insert(version);
        if !ours && source.as_deref() != Some(REGISTRY) {
            let source = source.as_deref().unwrap_or("a folder outside of the workspace");
            found.push(format!(
                "{name} {version}: comes from {source}; depend on a release in cargo's own registry"
            ));
        }
        let fulfilled = match licence {
            None => Err("no licence expression".to_owned()),
            Some(expression) => spdx::is_fulfilled(expression, &|id| list.licences.contains_key(id)),
        };
        match fulfilled {
            Ok(true) => {}
            Ok(false) => found.push(format!(
                "{name} {version}: licence {} is not allowed; take another crate, or argue for it in {LIST}",
                licence.as_deref().unwrap_or_default()
            )),
            Err(reason) => {
                found.push(format!("{name} {version}: {reason}; ask its author, or take another crate"))
            }
        }
    }
    for (name, versions) in &versions {
        if versions.len() > 1 && !list.duplicates.contains_key(*name) {
            let versions: Vec<&str> = versions.iter().copied().collect();
            found.push(format!(
                "{name}: versions {}; `cargo tree -i {name}@VERSION` says who wants which; unify, or give the reason in {LIST}",
                versions.join(" and ")
            ));
        }
    }
    for name in list.duplicates.keys() {
        if versions.get(name.as_str()).is_none_or(|versions| versions.len() < 2) {
            found
                .push(format!("{name}: {LIST} excuses two versions, but there are not two; remove the line"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, licence: Option<&str>, source: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: licence.map(str::to_owned),
            source: source.map(str::to_owned),
            ours: source.is_none(),
        }
    }

    #[test]
    fn each_rule_finds_its_violation() {
        let list = List::parse("[licences]\nMIT = \"\"\n[duplicates]\nsyn = \"two\"\n").unwrap();
        let syn = [
            package("syn", "2.0.0", Some("MIT"), Some(REGISTRY)),
            package("syn", "3.0.0", Some("MIT"), Some(REGISTRY)),
        ];
        let check = |more: &[Package], expected: &[&str]| {
            let found = check(&[&syn[..], more].concat(), &list);
            assert_eq!(found.len(), expected.len(), "{found:#?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.contains(expected), "{found}");
            }
        };
        check(&[], &[]);
        check(&[package("ours", "0.1.0", Some("MIT"), None)], &[]);
        check(
            &[package("a", "1.0.0", Some("GPL-3.0-only"), Some(REGISTRY))],
            &["a 1.0.0: licence GPL-3.0-only"],
        );
        check(&[package("a", "1.0.0", None, Some(REGISTRY))], &["a 1.0.0: no licence"]);
        check(&[package("a", "1.0.0", Some("MIT"), Some("git+https://example.com/a"))], &["comes from git+"]);
        check(
            &[package("a", "1.0.0", Some("MIT"), Some("registry+https://example.com"))],
            &["comes from registry+"],
        );
        let outside = Package { ours: false, ..package("a", "1.0.0", Some("MIT"), None) };
        check(&[outside], &["a folder outside"]);
        let twice = [
            package("a", "1.0.0", Some("MIT"), Some(REGISTRY)),
            package("a", "2.0.0", Some("MIT"), Some(REGISTRY)),
        ];
        check(&twice, &["a: versions 1.0.0 and 2.0.0"]);
    }

    #[test]
    fn an_excuse_without_need_is_a_violation() {
        let list = List::parse("[licences]\n[duplicates]\nsyn = \"two\"\n").unwrap();
        assert_eq!(
            check(&[], &list),
            ["syn: deny.toml excuses two versions, but there are not two; remove the line"]
        );
    }
}
