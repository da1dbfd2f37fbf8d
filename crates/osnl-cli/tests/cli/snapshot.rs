use std::path::Path;

/// The variable that updates the files: `OSNL_UPDATE_SNAPSHOTS=1 cargo xtask test -p osnl-cli`.
const UPDATE: &str = "OSNL_UPDATE_SNAPSHOTS";

#[track_caller]
pub(crate) fn is_as_kept(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/snapshots").join(format!("{name}.txt"));
    update(&path, text);
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, kept, "{name} is not as it was; {UPDATE}=1 writes it anew, and git shows what changed");
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
