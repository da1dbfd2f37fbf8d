//! Reads the usable parts of a faulty configuration: a command must find the socket of a daemon that runs on an earlier
//! one.

use std::path::PathBuf;

use osnl_config::sections::Layers;
use osnl_config::{Ini, files_of, read_text};

use super::Sources;
use super::kinds::DEFAULT;

/// Returns the state directory of these sources, else the default, whatever else is wrong.
#[must_use]
pub fn state_folder_of(sources: &Sources) -> Option<PathBuf> {
    let mut layers = Layers::new(sources.drivers.schema());
    let folders = sources.folders.iter().flat_map(|folder| files_of(folder).unwrap_or_default());
    for file in sources.files.iter().cloned().chain(folders) {
        if let Ok(text) = read_text(&file) {
            let _ = layers.apply(&Ini::parse(&file.display().to_string(), &text).0);
        }
    }
    let _ = layers.apply_environment(&sources.environment);
    let default = layers.sections.iter().find(|section| section.def.kind == DEFAULT)?;
    let named = layers.resolve(default, "state_dir").ok().flatten().filter(|text| !text.is_empty());
    named.map(PathBuf::from).or_else(crate::state_dir::default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_found_among_errors() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a.conf");
        let check = |text: &str, expected: Option<&str>| {
            std::fs::write(&file, text).unwrap();
            let sources = Sources { files: vec!["/nonexistent".into(), file.clone()], ..Sources::default() };
            let usual = crate::state_dir::default();
            assert_eq!(state_folder_of(&sources), expected.map(PathBuf::from).or(usual), "{text}");
        };
        check("[DEFAULT]\nstate_dir = /s\nnonsense\n[x]\n", Some("/s"));
        check("[rule:r]\nguard = many\n[DEFAULT]\nlog_file = /v\nstate_dir = $log_file/s\n", Some("/v/s"));
        check("[DEFAULT]\nstate_dir = $nowhere/s\n", None);
        check("", None);
    }
}
