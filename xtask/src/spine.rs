//! The spine: the crates that carry the guarantees of README. They name no other crate of this workspace, and
//! `cargo xtask test --spine` builds and tests them alone.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use toml::Table;

/// The crates, lowest first.
pub(crate) const SPINE: [&str; 9] = [
    "osnl-model",
    "osnl-config",
    "osnl-net",
    "osnl-transport",
    "osnl-core",
    "osnl-journal",
    "osnl-delivery",
    "osnl-action",
    "osnl-engine",
];
/// Tests of the spine use this crate too.
const TESTKIT: &str = "osnl-testkit";

/// Returns a line for each crate that a manifest of the spine names, and that is not of the spine.
pub(crate) fn named_edges(root: &Path) -> Result<Vec<(String, String)>> {
    let mut named = Vec::new();
    for name in SPINE {
        let path = format!("crates/{name}/Cargo.toml");
        let text =
            std::fs::read_to_string(root.join(&path)).with_context(|| format!("cannot read {path}"))?;
        let edges = edges(&text).with_context(|| format!("cannot read {path}"))?;
        named.extend(edges.into_iter().map(|edge| (path.clone(), edge)));
    }
    Ok(named)
}

fn edges(manifest: &str) -> Result<BTreeSet<String>> {
    let manifest: Table = manifest.parse()?;
    let target = manifest.get("target").and_then(|value| value.as_table());
    let tables = target.into_iter().flatten().filter_map(|(_, value)| value.as_table()).chain([&manifest]);
    let mut found = BTreeSet::new();
    for table in tables {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let names = table.get(kind).and_then(|value| value.as_table()).into_iter().flatten();
            let own = names.map(|(name, _)| name).filter(|name| *name == "osnl" || name.starts_with("osnl-"));
            let is_allowed = |name: &&String| {
                SPINE.contains(&name.as_str()) || kind == "dev-dependencies" && *name == TESTKIT
            };
            found.extend(own.filter(|name| !is_allowed(name)).cloned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_found_in_each_table_of_dependencies() {
        let check = |manifest: &str, expected: &[&str]| {
            let expected = expected.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(edges(manifest).unwrap(), expected, "{manifest}");
        };
        check("[dependencies]\nosnl-model.workspace = true\nserde = \"1\"\n", &[]);
        check("[dependencies]\nosnl = { path = \"..\", optional = true }\n", &["osnl"]);
        check("[dependencies]\nosnl-testkit.workspace = true\n", &["osnl-testkit"]);
        check(
            "[dev-dependencies]\nosnl-testkit.workspace = true\nosnl-cli.workspace = true\n",
            &["osnl-cli"],
        );
        check("[target.'cfg(unix)'.build-dependencies]\nosnl-admin = \"1\"\n", &["osnl-admin"]);
    }
}
