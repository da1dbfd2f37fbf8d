//! The price of a client library in C: how long its last build took, and its part of the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::Result;

use crate::step;

/// Crates whose build scripts compile C, or find it on the system.
const CRATES: [&str; 4] = ["rdkafka-sys", "zstd-sys", "libz-sys", "openssl-sys"];

/// Returns the seconds that the build scripts ran when they last did, as cargo notes their begin and their end. `None` without
/// a build.
pub(super) fn seconds() -> Option<f64> {
    let builds = builds();
    let time = |folder: &Path, file: &str| fs::metadata(folder.join(file)).ok()?.modified().ok();
    let of = |folder: &PathBuf| {
        let (begin, end) = (time(folder, "invoked.timestamp")?, time(folder, "root-output")?);
        end.duration_since(begin).ok()
    };
    let found: Vec<f64> = builds.iter().filter_map(of).map(|took| took.as_secs_f64()).collect();
    (!found.is_empty()).then(|| found.iter().sum())
}

/// Returns the size of the program's functions and tables that come from the library, in MB. Texts have no symbols and are not in it.
pub(super) fn megabytes() -> Result<f64> {
    let mut names = BTreeSet::new();
    for build in builds() {
        for archive in [build.join("out/src/librdkafka.a"), build.join("out/libzstd.a")] {
            if archive.exists() {
                names.extend(symbols(&archive)?.into_iter().map(|symbol| symbol.name));
            }
        }
    }
    let program = symbols(&step::target_dir().join("release").join("osnl"))?;
    let of_it = program.iter().filter(|symbol| names.contains(&symbol.name) || symbol.is_of_crate());
    Ok(of_it.map(|symbol| symbol.bytes as f64).sum::<f64>() / 1e6)
}

/// The folders in which the build scripts ran last.
fn builds() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(step::target_dir().join("release").join("build")) else {
        return Vec::new();
    };
    let all: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    let newest = |name: &&str| {
        let of_it = all.iter().filter(|path| {
            let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            file.rsplit_once('-').is_some_and(|(package, _)| package == *name)
                && path.join("root-output").exists()
        });
        let ended = |path: &&PathBuf| {
            fs::metadata(path.join("root-output"))
                .and_then(|file| file.modified())
                .unwrap_or(SystemTime::UNIX_EPOCH)
        };
        of_it.max_by_key(ended).cloned()
    };
    CRATES.iter().filter_map(newest).collect()
}

/// A symbol that takes room in a file.
#[derive(Debug, PartialEq, Eq)]
struct Symbol {
    name: String,
    bytes: u64,
}

impl Symbol {
    /// Whether it is of the library's crate for Rust.
    fn is_of_crate(&self) -> bool {
        self.name.contains("7rdkafka")
    }

    /// Reads a line of `nm --print-size`.
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, bytes, kind, name] = words[..] else { return None };
        // Those of the kinds B and b are zeros, which no file has.
        if kind.eq_ignore_ascii_case("b") {
            return None;
        }
        Some(Self { name: name.to_owned(), bytes: u64::from_str_radix(bytes, 16).ok()? })
    }
}

fn symbols(file: &Path) -> Result<Vec<Symbol>> {
    let said = step::output(Command::new("nm").args(["--print-size", "--defined-only"]).arg(file))?;
    Ok(said.lines().filter_map(Symbol::parse).collect())
}

#[cfg(test)]
mod tests {
    use super::Symbol;

    #[test]
    fn symbols_are_those_that_take_room() {
        let check = |line: &str, expected: Option<(&str, u64)>| {
            let expected = expected.map(|(name, bytes)| Symbol { name: name.to_owned(), bytes });
            assert_eq!(Symbol::parse(line), expected, "{line}");
        };
        check("00000000000a1b20 0000000000000010 T rd_kafka_new", Some(("rd_kafka_new", 16)));
        check("00000000000a1b20 00000000000000ff r table", Some(("table", 255)));
        check("00000000000a1b20 0000000000000010 b zeros", None);
        check("00000000000a1b20 T without_size", None);
        check("rdkafka.o:", None);
    }
}
