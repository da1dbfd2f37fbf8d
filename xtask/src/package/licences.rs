//! `THIRD-PARTY.txt`: the foreign parts of the program, or of the Python module, and their licences.
//!
//! cargo's metadata names every crate of the package on this platform, without tests and build scripts, but with the
//! sources of OpenSSL, which a build script compiles. A crate without a text is listed with its licence expression.
//!
//! cargo-about 0.9.3 (140 s to install, 67 s to run) finds none of the sixteen texts of librdkafka and the C sources
//! in it. The package must carry these, and each would be written down by hand at every new version.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::step;

/// A dependency of a build script whose sources are linked all the same: with the feature `kafka-static`.
const OPENSSL: &str = "openssl_src";

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ForeignCrate {
    name: String,
    version: String,
    licence: String,
    authors: Vec<String>,
    folder: PathBuf,
}

/// Returns the list of a package of this workspace, built with the features.
pub(super) fn text(package: &str, features: &str) -> Result<String> {
    let parts = parts(package, features)?;
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut out = String::from(
        "osnl contains these libraries, and of each the texts of its licence follow below the list.\n\
         It also contains SQLite, which its authors have put in the public domain, Rust's standard library \
         (MIT OR Apache-2.0), and notifications recorded from services of OpenStack (Apache-2.0).\n\n",
    );
    for part in &parts {
        let found = licence_texts(&part.folder)?;
        let note = if found.is_empty() { " (ships no text)" } else { "" };
        let authors =
            if part.authors.is_empty() { String::new() } else { format!(", by {}", part.authors.join(", ")) };
        let _ = writeln!(out, "{} {}: {}{authors}{note}", part.name, part.version, part.licence);
        for text in found {
            texts.entry(text).or_default().push(part.name.clone());
        }
    }
    for (text, names) in &texts {
        let _ = write!(out, "\n{}\n{}\n\n{}\n", "=".repeat(80), names.join(", "), text.trim_end());
    }
    Ok(out)
}

/// The licences of what no crate names: our code, SQLite, librdkafka, and the recorded notifications.
const OTHERS: [&str; 4] = ["MIT OR Apache-2.0", "blessing", "BSD-2-Clause", "Apache-2.0"];

/// Returns the licences of a package, of its libraries, and of what is beside it, as one SPDX expression.
pub(super) fn expression(package: &str, features: &str, beside: &[&str]) -> Result<String> {
    let parts = parts(package, features)?;
    let libraries = parts.iter().map(|part| part.licence.as_str());
    Ok(joined(libraries.chain(OTHERS).chain(beside.iter().copied())))
}

/// Joins expressions by AND, each term once. A choice between licences stays whole, in parentheses: no term is nested.
fn joined<'a>(licences: impl Iterator<Item = &'a str>) -> String {
    let mut terms = BTreeSet::new();
    for licence in licences {
        add_terms(&licence.replace('/', " OR "), &mut terms);
    }
    terms.into_iter().collect::<Vec<_>>().join(" AND ")
}

fn add_terms(expression: &str, terms: &mut BTreeSet<String>) {
    // AND binds tighter than OR.
    let choices: BTreeSet<&str> = split(expression, " OR ").into_iter().collect();
    if choices.len() > 1 {
        terms.insert(format!("({})", choices.into_iter().collect::<Vec<_>>().join(" OR ")));
        return;
    }
    match split(expression, " AND ").as_slice() {
        [term] => match term.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
            Some(inner) => add_terms(inner, terms),
            None => {
                terms.insert((*term).to_owned());
            }
        },
        parts => parts.iter().for_each(|part| add_terms(part, terms)),
    }
}

/// Splits an expression at an operator outside parentheses.
fn split<'a>(expression: &'a str, operator: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in expression.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && expression[at..].starts_with(operator) => {
                parts.push(&expression[start..at]);
                start = at + operator.len();
            }
            _ => {}
        }
    }
    parts.push(&expression[start..]);
    parts
}

fn parts(package: &str, features: &str) -> Result<Vec<ForeignCrate>> {
    let platform = platform()?;
    let mut cargo = step::cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform]);
    cargo.args(["--features", features]);
    let metadata: Value = serde_json::from_str(&step::output(&mut cargo)?).context("cargo metadata")?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut edges: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let contained = list(&node["deps"]).into_iter().filter(|dep| {
            dep["name"] == OPENSSL || list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null())
        });
        edges.insert(text(&node["id"]), contained.map(|dep| text(&dep["pkg"])).collect());
    }
    let packages = list(&metadata["packages"]);
    let start = packages.iter().find(|found| found["name"] == package);
    let start = start.with_context(|| format!("no {package}"))?;
    let mut reached = BTreeSet::new();
    let mut open = vec![text(&start["id"])];
    while let Some(id) = open.pop() {
        if reached.insert(id.clone()) {
            open.extend(edges.get(&id).into_iter().flatten().cloned());
        }
    }
    let others = packages
        .iter()
        .filter(|package| !package["source"].is_null() && reached.contains(&text(&package["id"])));
    let mut parts: Vec<ForeignCrate> = others
        .map(|package| ForeignCrate {
            name: text(&package["name"]),
            version: text(&package["version"]),
            licence: text(&package["license"]),
            authors: list(&package["authors"]).iter().map(text).collect(),
            folder: Path::new(&text(&package["manifest_path"]))
                .parent()
                .map(Path::to_owned)
                .unwrap_or_default(),
        })
        .collect();
    parts.sort();
    ensure!(!parts.is_empty(), "cargo metadata names no dependency of {package}");
    if let Some(part) = parts.iter().find(|part| part.licence.is_empty()) {
        anyhow::bail!("{} {} names no licence", part.name, part.version);
    }
    Ok(parts)
}

fn platform() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = step::output(std::process::Command::new(rustc).arg("-vV"))?;
    let host =
        said.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    Ok(host.to_owned())
}

fn licence_texts(folder: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    licence_files(folder, DEEPEST, &mut paths)?;
    // For a library with a choice of licences, COPYING is the GPL.
    paths.retain(|path| path.parent() == Some(folder) || !is_copying(path));
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
            Ok(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
        })
        .collect()
}

const DEEPEST: u8 = 3;
const APART: [&str; 3] = ["debian", "packaging", "tests"];

fn licence_files(folder: &Path, deepest: u8, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && is_licence(&name) {
            found.push(path);
        } else if path.is_dir() && deepest > 0 && !APART.contains(&name.as_str()) {
            licence_files(&path, deepest - 1, found)?;
        }
    }
    Ok(())
}

fn is_copying(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().to_ascii_uppercase().starts_with("COPY"))
}

fn is_licence(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
        .iter()
        .any(|word| name.starts_with(word))
        && !name.ends_with(".RS")
}

#[cfg(test)]
mod tests {
    use super::super::wheel::WHEELS;
    use super::super::{FEATURES, FEATURES_OF_WHEEL, PROGRAM};
    use super::*;

    #[test]
    fn licences_are_known_by_their_names() {
        let check = |name: &str, expected: bool| assert_eq!(is_licence(name), expected, "{name}");
        check("LICENSE", true);
        check("license-mit.txt", true);
        check("COPYING", true);
        check("licenses.rs", false);
        check("README.md", false);
    }

    #[test]
    fn licences_are_joined_and_each_expression_keeps_its_meaning() {
        let check = |licences: &[&str], expected: &str| {
            assert_eq!(joined(licences.iter().copied()), expected, "{licences:?}");
        };
        check(&["Apache-2.0/MIT", "ISC", "MIT OR Apache-2.0", "ISC"], "(Apache-2.0 OR MIT) AND ISC");
        check(&["MIT OR BSD-2-Clause AND Zlib"], "(BSD-2-Clause AND Zlib OR MIT)");
        check(&["(MIT OR Apache-2.0) AND Unicode-3.0", "MIT"], "(Apache-2.0 OR MIT) AND MIT AND Unicode-3.0");
        check(&["((Zlib OR MIT) AND ISC)"], "(MIT OR Zlib) AND ISC");
    }

    /// A source distribution and the wheels that are made of it must name the same licences, so a file names them.
    #[test]
    fn wheels_and_image_name_the_licences_of_all_that_they_contain() {
        let check = |file: &str, begin: &str, licences: String| {
            let text = std::fs::read_to_string(step::root().join(file)).unwrap();
            let line = format!("{begin}\"{licences}\"");
            assert!(text.lines().any(|found| found == line), "{file} must have the line {line}");
        };
        for (project, package, _) in WHEELS {
            let licences = expression(package, FEATURES_OF_WHEEL, &[]).unwrap();
            check(&format!("{project}/pyproject.toml"), "license = ", licences);
        }
        // glibc, libgcc, OpenSSL, zlib, and the CA certificates.
        let beside =
            ["LGPL-2.1-or-later", "GPL-3.0-or-later WITH GCC-exception-3.1", "Apache-2.0", "Zlib", "MPL-2.0"];
        let licences = expression(PROGRAM, FEATURES, &beside).unwrap();
        check("packaging/container/Containerfile", "LABEL org.opencontainers.image.licenses=", licences);
    }

    #[test]
    fn what_a_package_contains_is_listed_and_what_tests_need_is_not() {
        let check = |package: &str, its: &str, not_its: &str| {
            let parts = parts(package, FEATURES).unwrap();
            let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
            for name in ["lapin", "rdkafka-sys", "rusqlite", "rustls", "tokio", its] {
                assert!(names.contains(&name), "{package}: {name}: {names:?}");
            }
            for name in ["proptest", "tempfile", "osnl-model", "cc", not_its] {
                assert!(!names.contains(&name), "{package}: {name} is no part of it");
            }
        };
        check("osnl-cli", "ratatui", "pyo3");
        check("osnl-python", "pyo3", "ratatui");
    }

    #[test]
    fn the_c_sources_that_crates_carry_have_their_licences() {
        let text = text("osnl-cli", FEATURES).unwrap();
        for words in ["librdkafka - Apache Kafka C driver library", "Meta Platforms, Inc.", "Daan Leijen"] {
            assert!(text.contains(words), "{words}");
        }
        assert!(
            !text.contains("GNU GENERAL PUBLIC LICENSE\n                       Version 2"),
            "zstd's other licence"
        );
    }
}
