//! ```text
//! What it is about.
//! == file osnl.conf
//! [listener:neutron]
//! == $ osnl check --config-file osnl.conf
//! osnl: error: osnl.conf:1: [listener:neutron] transport_url: is not set; write …
//! == exit 78
//! ```
//!
//! `base.conf` beside the areas is a valid configuration for all. In contents `FOLDER` is the
//! working directory, in a file marked `escaped` `\xNN` is a byte, `== folder NAME` makes a folder.
//! Variables may precede a command, and `< FILE` or `| grep WORD`, which filters lines, may follow.
//! Errors are shown before output.
//!
//! Errors of real parts (a broker that refuses, a target's TLS) are in the tests that start those
//! parts.

mod picture;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::picture::Picture;
use crate::snapshot::{is_updated, update};

/// Words that no error may contain: a secret of the fixtures, words of Rust, an error about an
/// error.
const NEVER: [&str; 11] = [
    "hunter2",
    "Some(",
    "None",
    "Ok(",
    "Err(",
    "Os {",
    "os error",
    "panicked",
    "error: error",
    "\\u{",
    "RUST_BACKTRACE",
];

fn gallery() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/errors")
}

fn all() -> Vec<PathBuf> {
    let listed = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let areas = listed(&gallery()).into_iter().filter(|path| path.is_dir());
    let mut pictures: Vec<PathBuf> = areas.flat_map(|area| listed(&area)).collect();
    pictures.sort();
    pictures
}

#[test]
fn every_error_is_as_pictured() {
    let (pictures, next, wrong) = (all(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    assert!(pictures.len() > 20, "the gallery is not there");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(path) = pictures.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (kept, taken) = (std::fs::read_to_string(path).unwrap(), Picture::read(path).taken());
                    if kept != taken && !is_updated() {
                        wrong.lock().unwrap().push(format!("{}\n{taken}", path.display()));
                    }
                    update(path, &taken);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let advice = "OSNL_UPDATE_SNAPSHOTS=1 writes them anew, and git shows what changed";
    assert!(
        wrong.is_empty(),
        "{} pictures are not as they were; {advice}\n\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn no_picture_is_poor() {
    for path in all() {
        let picture = Picture::read(&path);
        let mut places: Vec<(String, u32)> = Vec::new();
        for line in picture.shown() {
            for word in NEVER {
                assert!(!line.contains(word), "{word} in {}: {line}", path.display());
            }
            let error = line.split_once(": error: ").map(|(_, said)| said);
            let Some(said) = error.or_else(|| line.strip_prefix("warning: ")) else {
                places.clear();
                continue;
            };
            if let Some((file, line)) = place(said) {
                if let Some((before, last)) = places.last() {
                    assert!(before != file || *last <= line, "{}: out of order: {said}", path.display());
                }
                places.push((file.to_owned(), line));
            }
        }
    }
}

fn place(said: &str) -> Option<(&str, u32)> {
    let mut parts = said.splitn(3, ':');
    Some((parts.next()?, parts.next()?.parse().ok()?))
}
