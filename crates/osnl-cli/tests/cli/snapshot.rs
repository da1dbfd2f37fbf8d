use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use similar::TextDiff;

use crate::harness::SOON;

/// The variable that updates the files: `OSNL_UPDATE_SNAPSHOTS=1 cargo xtask test -p osnl-cli`.
const UPDATE: &str = "OSNL_UPDATE_SNAPSHOTS";

#[track_caller]
pub(crate) fn is_as_kept(name: &str, text: &str) {
    update(&path(name), text);
    let kept = kept(name);
    let diff = TextDiff::from_lines(&kept, text);
    let changes = diff.unified_diff().header("kept", "now").to_string();
    assert!(text == kept, "{name} is not as it was; {UPDATE}=1 writes it anew:\n{changes}");
}

/// Looks until a screen is right, because a moment's words come and go, such as those of a probe that is under way.
/// A screen that is still wrong at the end is returned too, for a comparison that names the difference.
pub(crate) fn look_until<T>(mut look: impl FnMut() -> T, is_right: impl Fn(&T) -> bool) -> T {
    let end = Instant::now() + SOON;
    loop {
        let screen = look();
        if is_right(&screen) || Instant::now() > end {
            return screen;
        }
        // A look starts programs, and six faults are looked at side by side.
        std::thread::park_timeout(Duration::from_millis(250));
    }
}

/// The text of a picture; empty if there is none yet.
pub(crate) fn kept(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_default()
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/snapshots").join(format!("{name}.txt"))
}

pub(crate) fn is_updated() -> bool {
    std::env::var_os(UPDATE).is_some()
}

pub(crate) fn update(path: &Path, text: &str) {
    if is_updated() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}
