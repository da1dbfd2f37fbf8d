//! Crates that can be published: what their manifests must say, from `cargo metadata`.
//!
//! A published crate has a description, a licence, a page, and keywords. What it depends on here is published too, and by
//! a version. A dev-dependency that needs the crate itself is by path alone, which cargo leaves out.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Violation;
use crate::step;

/// Checks all crates of the workspace.
pub(super) fn check() -> Result<Vec<Violation>> {
    let mut cargo = step::cargo();
    cargo.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let metadata: Value = serde_json::from_str(&step::output(&mut cargo)?).context("cargo metadata")?;
    let root = step::root().display().to_string();
    Ok(judge(metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default(), &root))
}

fn judge(packages: &[Value], root: &str) -> Vec<Violation> {
    let by_name: BTreeMap<&str, &Value> =
        packages.iter().filter_map(|package| Some((package["name"].as_str()?, package))).collect();
    let mut violations = Vec::new();
    for package in packages.iter().filter(|package| is_published(package)) {
        let path = package["manifest_path"].as_str().unwrap_or_default();
        let path = path.strip_prefix(root).unwrap_or(path).trim_start_matches('/').to_owned();
        let mut say = |text: String| violations.push(Violation { path: path.clone(), line: 1, text });
        for field in ["description", "license", "readme"] {
            if package[field].as_str().is_none_or(str::is_empty) {
                say(format!("a published crate has a {field}; or write publish.workspace = true"));
            }
        }
        if package["keywords"].as_array().is_none_or(Vec::is_empty) {
            say("a published crate has keywords: keywords.workspace = true".to_owned());
        }
        let name = package["name"].as_str().unwrap_or_default();
        for dependency in ours(package) {
            let on = dependency["name"].as_str().unwrap_or_default();
            let has_version = dependency["req"] != "*";
            if dependency["kind"] == "dev" {
                if has_version && needs(&by_name, on, name) {
                    say(format!(
                        "{on} needs {name}: as a dev-dependency it is by path alone, without a version"
                    ));
                }
            } else if !has_version {
                say(format!(
                    "{on} is a dependency without a version; give it one in the workspace's Cargo.toml"
                ));
            } else if by_name.get(on).is_some_and(|package| !is_published(package)) {
                say(format!("{on} is a dependency and is not published"));
            }
        }
    }
    violations
}

fn is_published(package: &Value) -> bool {
    package["publish"].is_null()
}

/// The dependencies that are crates of this workspace.
fn ours(package: &Value) -> impl Iterator<Item = &Value> {
    package["dependencies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|dependency| dependency["path"].is_string())
}

/// Whether a crate, or one that it needs, depends on another; its tests do not count.
fn needs(by_name: &BTreeMap<&str, &Value>, name: &str, other: &str) -> bool {
    let Some(package) = by_name.get(name) else { return false };
    ours(package).filter(|dependency| dependency["kind"] != "dev").any(|dependency| {
        let on = dependency["name"].as_str().unwrap_or_default();
        on == other || needs(by_name, on, other)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::judge;

    fn package(name: &str, dependencies: Value) -> Value {
        json!({
            "name": name, "manifest_path": format!("/r/{name}/Cargo.toml"), "publish": null, "description": "d",
            "license": "MIT", "readme": "README.md", "keywords": ["k"], "dependencies": dependencies,
        })
    }

    fn on(name: &str, kind: Option<&str>, req: &str) -> Value {
        json!({"name": name, "kind": kind, "req": req, "path": "/r"})
    }

    #[test]
    fn what_keeps_a_crate_from_being_published() {
        let check = |packages: &[Value], expected: &[&str]| {
            let found: Vec<String> = judge(packages, "/r").iter().map(ToString::to_string).collect();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.contains(expected), "{found}, expected {expected}");
            }
        };
        let base = package("base", json!([]));
        check(&[base.clone(), package("top", json!([on("base", None, "^0.1.0")]))], &[]);
        check(
            &[base.clone(), package("top", json!([on("base", None, "*")]))],
            &["base is a dependency without"],
        );
        let mut own = base.clone();
        own["publish"] = json!([]);
        check(
            &[own.clone(), package("top", json!([on("base", None, "^0.1.0")]))],
            &["base is a dependency and is not"],
        );
        check(&[own, package("top", json!([on("base", Some("dev"), "*")]))], &[]);
        let tests = |req: &str| package("base", json!([on("top", Some("dev"), req)]));
        let middle = package("middle", json!([on("base", None, "^0.1.0")]));
        let top = package("top", json!([on("middle", None, "^0.1.0")]));
        check(&[tests("^0.1.0"), middle.clone(), top.clone()], &["base/Cargo.toml:1: top needs base"]);
        check(&[tests("*"), middle, top], &[]);
        let mut bare = base;
        bare["description"] = Value::Null;
        bare["keywords"] = json!([]);
        check(&[bare], &["has a description", "has keywords"]);
    }
}
