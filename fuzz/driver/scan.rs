//! The targets: each function `pub(crate) fn NAME(data: &[u8])` of the files beside this folder. The build script and
//! `cargo xtask fuzz` share this file.

pub(crate) const FILES: [&str; 4] = ["entries", "daemon", "library", "wire"];

pub(crate) fn targets(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("pub(crate) fn ")?.strip_suffix("(data: &[u8]) {"))
        .map(str::to_owned)
        .collect()
}
