//! The state of plug-ins and programs that an action runs, by which a reload detects changes, and who may write them.
//!
//! Files are compared by path, length and modification time, never by content.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use osnl_action::driver::ACTION;
use osnl_config::Warning;
use osnl_config::sections::Layers;

use super::findings::finding_at;
use crate::state_dir::judge_source;

const MOST_FILES: usize = 2000;
const DEEPEST: usize = 8;
/// The first argument with such an extension is a script.
const SCRIPTS: [&str; 7] = ["py", "sh", "pl", "rb", "js", "lua", "php"];

pub(super) fn files_of(option: &str, value: &str) -> Option<String> {
    let mut seen = String::new();
    match option {
        "plugin_path" => words(value).for_each(|path| modules(Path::new(path), 0, &mut 0, &mut seen)),
        "plugin_config" => words(value).for_each(|path| note(Path::new(path), &mut seen)),
        "command" | "python" => run_by(value).for_each(|path| note(path, &mut seen)),
        _ => return None,
    }
    Some(seen)
}

/// Warns of programs, plug-ins, and folders of plug-ins that other users can change, as these programs run as osnl's user.
pub(super) fn open_to_others(layers: &Layers) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for section in layers.sections.iter().filter(|section| section.def.kind == ACTION) {
        for option in ["command", "python", "plugin_path"] {
            let Some(value) = layers.resolve(section, option).ok().flatten() else { continue };
            let paths: Vec<&Path> = match option {
                "plugin_path" => words(&value).map(Path::new).collect(),
                _ => run_by(&value).collect(),
            };
            let unsafe_ones = paths.into_iter().filter_map(|path| judge_source(path).err());
            warnings.extend(
                unsafe_ones.map(|problem| Warning(finding_at(Some(section), option, &problem.to_string()))),
            );
        }
    }
    warnings
}

/// Returns the program of a command and its scripts. Other arguments may be files that the program writes.
fn run_by(command: &str) -> impl Iterator<Item = &Path> {
    let is_script =
        |path: &Path| path.extension().is_some_and(|own| SCRIPTS.iter().any(|known| own == *known));
    let words = words(command).map(Path::new).enumerate();
    let run = words.filter(move |(n, path)| path.is_absolute() && (*n == 0 || is_script(path)));
    run.map(|(_, path)| path)
}

fn words(value: &str) -> impl Iterator<Item = &str> {
    let list = value.trim().trim_start_matches('[').trim_end_matches(']');
    list.split(',').map(|word| word.trim().trim_matches('"')).filter(|word| !word.is_empty())
}

fn modules(path: &Path, depth: usize, count: &mut usize, seen: &mut String) {
    if depth > DEEPEST || *count >= MOST_FILES {
        return;
    }
    let Ok(entries) = fs::read_dir(path) else { return note(path, seen) };
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        // A link to a folder may be a cycle.
        if fs::symlink_metadata(&entry).is_ok_and(|found| found.is_dir()) {
            modules(&entry, depth + 1, count, seen);
        } else if entry.extension().is_some_and(|own| own == "py") {
            *count += 1;
            note(&entry, seen);
        }
    }
}

fn note(path: &Path, seen: &mut String) {
    let shown = path.display();
    let found = fs::metadata(path);
    let state = |m: &Metadata| (m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec());
    seen.push_str(&match found.as_ref().map(state) {
        Ok((dev, ino, length, seconds, nanos)) => format!("{shown} {dev} {ino} {length} {seconds}.{nanos}\n"),
        Err(error) => format!("{shown} {:?}\n", error.kind()),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_run_or_loaded_is_told_from_what_was_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("plugins/ours/__pycache__")).unwrap();
        for file in ["plugins/ours/tell.py", "plugins/notes.txt", "child.py", "data", "conf"] {
            fs::write(at(file), "1").unwrap();
        }
        let list =
            |names: &[&str]| names.iter().map(|n| at(n).display().to_string()).collect::<Vec<_>>().join(", ");
        let options = [
            ("plugin_path", list(&["plugins"])),
            ("plugin_config", list(&["conf"])),
            ("command", format!("/bin/sh, {}", list(&["child.py", "data"]))),
            ("command", format!("[\"{}\"]", at("data").display())),
        ];
        let snapshot = || options.clone().map(|(option, value)| files_of(option, &value).unwrap());
        let mut before = snapshot();
        let mut check = |what: &dyn Fn(), expected: &[usize]| {
            what();
            let after = snapshot();
            let changed: Vec<usize> = (0..options.len()).filter(|n| after[*n] != before[*n]).collect();
            assert_eq!(changed, expected);
            before = after;
        };
        check(&|| {}, &[]);
        check(&|| fs::write(at("plugins/ours/tell.py"), "12").unwrap(), &[0]);
        check(&|| fs::write(at("plugins/new.py"), "").unwrap(), &[0]);
        check(&|| fs::write(at("plugins/notes.txt"), "12").unwrap(), &[]);
        check(&|| fs::write(at("plugins/ours/__pycache__/tell.pyc"), "12").unwrap(), &[]);
        check(&|| fs::remove_file(at("plugins/new.py")).unwrap(), &[0]);
        check(&|| fs::write(at("conf"), "12").unwrap(), &[1]);
        check(&|| fs::write(at("child.py"), "12").unwrap(), &[2]);
        // A file that a program writes is no change; a replaced program is.
        check(&|| fs::write(at("data"), "12").unwrap(), &[3]);
        assert_eq!(files_of("url", "/x.py"), None);
    }
}
