//! The gallery of errors: `fixtures/errors/AREA/NAME.txt` has files, command lines and exactly what the program says.
//!
//! ```text
//! What it is about.
//! == file osnl.conf
//! [listener:neutron]
//! == $ osnl check --config-file osnl.conf
//! osnl: error: osnl.conf:1: [listener:neutron] transport_url: is not set; write …
//! == exit 78
//! ```
//!
//! `base.conf` beside the areas is there for each of them: a configuration that can be used. In contents `FOLDER` is where
//! the program runs, in a file marked `escaped` `\xNN` is a byte, `== folder NAME` makes a folder; before a command there
//! may be variables, behind it `< FILE`, and `| grep WORD`, which shows only such lines. Errors are shown before output.
//!
//! An error that only real parts show (a broker that refuses, a target's TLS) has its picture in the tests that make those
//! parts.

mod picture;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::picture::Picture;
use crate::snapshot::{is_updated, update};

/// Words that no error may hold: a secret of the fixtures, words of Rust, an error of an error.
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

/// Every picture, by name.
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

/// Checks the rules that hold of each picture, however it was updated.
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

/// `FILE:LINE` at the beginning.
fn place(said: &str) -> Option<(&str, u32)> {
    let mut parts = said.splitn(3, ':');
    Some((parts.next()?, parts.next()?.parse().ok()?))
}
