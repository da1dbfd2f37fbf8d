//! `cargo xtask catalogue`: writes the binary's knowledge about notifications, `crates/osnl-model/data/*.json`.
//!
//! | source | gives |
//! | --- | --- |
//! | `catalog/{nova,ironic,masakari}.json` | the classes of versioned payloads: fields, types, version |
//! | `catalog/history.json` | the version of its class that added each field |
//! | `catalog/nova-events.json` | the classes of nova's events |
//! | `captures`, `captures2` | events, exchanges, topics, priorities, publishers, the fields of plain payloads, samples |
//! | [`more`] | events without a recording |
//!
//! Two files, each an object a line, sorted, so that a change is a small difference:

mod classes;
mod events;
mod more;
mod sample;
mod shape;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

type DataFile = (&'static str, String);

pub(crate) fn run() -> Result<ExitCode> {
    for (name, text) in generate()? {
        let path = root().join("crates/osnl-model/data").join(name);
        std::fs::write(&path, &text).with_context(|| path.display().to_string())?;
        println!("{} ({} kB)", path.display(), text.len() / 1000);
    }
    Ok(ExitCode::SUCCESS)
}

fn generate() -> Result<[DataFile; 2]> {
    let classes = classes::read(&root().join("fixtures/emission/catalog"))?;
    let found = events::collect(&root().join("fixtures/emission"), &classes)?;
    let catalogue = [
        ("services", found.services),
        ("classes", classes.to_json()),
        ("shapes", found.shapes),
        ("events", found.events),
    ];
    Ok([
        ("catalogue.json", lines(catalogue.iter().map(|(name, value)| (*name, value)))),
        ("samples.json", lines(std::iter::once(("samples", &found.samples)))),
    ])
}

fn lines<'a>(parts: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let mut parts_out = Vec::new();
    for (name, value) in parts {
        let (open, close, inner): (_, _, Vec<String>) = match value {
            Value::Array(items) => ('[', ']', items.iter().map(Value::to_string).collect()),
            Value::Object(object) => {
                ('{', '}', object.iter().map(|(key, value)| format!("{}: {value}", json!(key))).collect())
            }
            other => (' ', ' ', vec![other.to_string()]),
        };
        parts_out.push(format!("{}: {open}\n{}\n{close}", json!(name), inner.join(",\n")));
    }
    format!("{{\n{}\n}}\n", parts_out.join(",\n"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_catalogue_is_what_the_sources_give() {
        for (name, text) in generate().unwrap() {
            let committed =
                std::fs::read_to_string(root().join("crates/osnl-model/data").join(name)).unwrap();
            assert!(committed == text, "crates/osnl-model/data/{name} is old: run cargo xtask catalogue");
        }
    }
}
