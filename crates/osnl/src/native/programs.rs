//! The state of plug-ins and programs that an action runs, by which a reload detects changes.
//!
//! Files are compared by path, length and modification time, never by content.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const MOST_FILES: usize = 2000;
const DEEPEST: usize = 8;
/// The first argument with such an extension is a script.
const SCRIPTS: [&str; 7] = ["py", "sh", "pl", "rb", "js", "lua", "php"];

pub(super) fn files_of(option: &str, value: &str) -> Option<String> {
    let mut seen = String::new();
    match option {
        "plugin_path" => words(value).for_each(|path| modules(Path::new(path), 0, &mut 0, &mut seen)),
        "plugin_config" => words(value).for_each(|path| note(Path::new(path), &mut seen)),
        "command" | "python" => {
            for (n, word) in words(value).enumerate() {
                let path = Path::new(word);
                let is_script = path.extension().is_some_and(|own| SCRIPTS.iter().any(|known| own == *known));
                // Other arguments may be files that the program writes.
                if path.is_absolute() && (n == 0 || is_script) {
                    note(path, &mut seen);
                }
            }
        }
        _ => return None,
    }
    Some(seen)
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
        let look = || options.clone().map(|(option, value)| files_of(option, &value).unwrap());
        let mut before = look();
        let mut check = |what: &dyn Fn(), expected: &[usize]| {
            what();
            let after = look();
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
