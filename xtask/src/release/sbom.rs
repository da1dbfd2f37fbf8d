//! The bill of materials: CycloneDX 1.6 as JSON, of the program as it is packaged.
//!
//! From cargo's metadata, with the dependencies of each crate; checksums are those of `Cargo.lock`. It has no random
//! number and no time but that of the last commit. CycloneDX's own schema judges it, by the library of its authors.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::package::{Materials, materials, moment_as};
use crate::{setup, step};

/// Reads a file, and fails with what the schema says.
const JUDGE: &str = "import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(error and 'the bill of materials is not CycloneDX 1.6: %s' % (error,) or 0)";

/// Writes the file, and has it judged.
pub(super) fn write(folder: &Path, version: &str) -> Result<()> {
    let path = folder.join(format!("osnl-{version}.cdx.json"));
    let bill = bill(&materials()?, version, &sums(&lock()?), &moment_as("+%Y-%m-%dT%H:%M:%SZ")?);
    fs::write(&path, format!("{bill:#}\n")).with_context(|| path.display().to_string())?;
    judge(&path)
}

fn judge(path: &Path) -> Result<()> {
    let python = setup::packaging()?.join("bin/python");
    step::run(Command::new(python).args(["-c", JUDGE]).arg(path).stdin(Stdio::null()))
}

fn bill(
    materials: &Materials,
    version: &str,
    sums: &BTreeMap<(String, String), String>,
    time: &str,
) -> Value {
    let components: Vec<Value> = materials
        .parts
        .iter()
        .map(|part| {
            let reference = purl(&part.name, &part.version);
            let mut component = json!({
                "type": "library", "bom-ref": reference, "purl": reference, "name": part.name, "version": part.version,
                "licenses": [{"expression": part.licence.replace('/', " OR ")}],
            });
            if let Some(sum) = sums.get(&(part.name.clone(), part.version.clone())) {
                component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
            }
            if !part.authors.is_empty() {
                component["authors"] = part.authors.iter().map(|author| json!({"name": author})).collect();
            }
            component
        })
        .collect();
    let dependencies: Vec<Value> = materials
        .edges
        .iter()
        .map(|((name, version), on)| {
            let on: Vec<String> = on.iter().map(|(name, version)| purl(name, version)).collect();
            json!({"ref": purl(name, version), "dependsOn": on})
        })
        .collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time,
            "component": {
                "type": "application", "bom-ref": purl("osnl-cli", version), "purl": purl("osnl-cli", version),
                "name": "osnl", "version": version, "licenses": [{"expression": "MIT OR Apache-2.0"}],
            },
        },
        "components": components,
        "dependencies": dependencies,
    })
}

fn purl(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{version}")
}

fn lock() -> Result<String> {
    fs::read_to_string(step::root().join("Cargo.lock")).context("Cargo.lock")
}

/// The checksums of `Cargo.lock`, by name and version.
fn sums(lock: &str) -> BTreeMap<(String, String), String> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").skip(1);
    blocks
        .filter_map(|block| {
            Some(((field(block, "name")?, field(block, "version")?), field(block, "checksum")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{bill, lock, sums};
    use crate::package::materials;

    /// Each part has a checksum, and each dependency is a part.
    #[test]
    fn the_bill_names_every_part_with_its_sum() {
        let (materials, sums) = (materials().unwrap(), sums(&lock().unwrap()));
        let bill = bill(&materials, "0.1.0", &sums, "2026-11-21T00:00:00Z");
        let components = bill["components"].as_array().unwrap();
        assert!(components.len() > 100, "{}", components.len());
        for component in components {
            let ours = component["name"].as_str().unwrap().starts_with("osnl");
            assert_eq!(component["hashes"].is_null(), ours, "{component}");
            assert!(component["licenses"][0]["expression"].is_string(), "{component}");
        }
        let known = |reference: &serde_json::Value| {
            components.iter().any(|component| component["bom-ref"] == *reference)
                || bill["metadata"]["component"]["bom-ref"] == *reference
        };
        for dependency in bill["dependencies"].as_array().unwrap() {
            assert!(known(&dependency["ref"]), "{dependency}");
            assert!(dependency["dependsOn"].as_array().unwrap().iter().all(known), "{dependency}");
        }
    }
}
