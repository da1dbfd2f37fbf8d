//! The file of a listener's Kafka groups that have read: `<state_dir>/groups/<listener>.json`.
//!
//! ```json
//! {"format":1,"groups":["osnl"]}
//! ```
//!
//! Brokers keep the offsets of a group, and delete the offsets with their topic. The file tells such a group from a new
//! one.
//!
//! A new file that is already on disk replaces the old.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use osnl_journal::files;
use osnl_transport::Subscription;
use serde_json::{Value, json};

const FORMAT: u64 = 1;

/// The groups of a listener that have read, and their file.
#[derive(Clone, Debug)]
pub struct GroupStore {
    path: PathBuf,
    known: BTreeSet<String>,
}

impl GroupStore {
    /// Opens the listener's file, in a directory created if missing (0700).
    ///
    /// # Errors
    /// The folder or file cannot be written, or an existing file cannot be read.
    pub fn open(state_dir: &Path, listener: &str) -> io::Result<Self> {
        let folder = state_dir.join("groups");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = folder.join(format!("{listener}.json"));
        let store = Self { known: read_at(&path)?, path };
        // Fails now rather than later if the file cannot be written.
        store.write(&store.known)?;
        Ok(store)
    }

    /// Reads the file again; an unreadable file leaves the known groups.
    pub(super) fn recheck(&mut self) {
        if let Some(now) = fs::read(&self.path).ok().and_then(|text| read(&text)) {
            self.known = now;
        }
    }

    pub(super) fn known(&self) -> &BTreeSet<String> {
        &self.known
    }

    /// Records the groups that are read. A group whose topics are all missing has read nothing.
    pub(super) async fn remember(&self, listener: &str, known: &mut BTreeSet<String>, found: &Subscription) {
        let groups = found.queues().into_iter().filter(|_| !found.bindings.is_empty());
        let new: Vec<String> = groups.filter(|group| !known.contains(*group)).map(str::to_owned).collect();
        if new.is_empty() {
            return;
        }
        known.extend(new);
        let (store, groups) = (self.clone(), known.clone());
        let written = tokio::task::spawn_blocking(move || store.write(&groups)).await;
        if let Err(error) = written.map_err(io::Error::other).flatten() {
            tracing::warn!(
                listener.name = listener,
                path = %self.path.display(),
                error = error.to_string(),
                "that the consumer group is read can't be written: if its topic is deleted and created anew while osnl is \
                 stopped, messages may be skipped"
            );
        }
    }

    fn write(&self, groups: &BTreeSet<String>) -> io::Result<()> {
        files::replace(&self.path, text(groups).as_bytes())
    }
}

fn read_at(path: &Path) -> io::Result<BTreeSet<String>> {
    match fs::read(path) {
        Ok(text) => read(&text).ok_or_else(|| {
            let problem = "it does not say which groups have read; remove it to read them like new groups";
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {problem}", path.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

fn text(groups: &BTreeSet<String>) -> String {
    format!("{}\n", json!({"format": FORMAT, "groups": groups}))
}

fn read(text: &[u8]) -> Option<BTreeSet<String>> {
    let found: Value = serde_json::from_slice(text).ok()?;
    (found["format"] == FORMAT).then_some(())?;
    found["groups"].as_array()?.iter().map(|group| group.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::subscription;
    use super::*;

    #[test]
    fn what_is_written_is_read_by_the_next_and_nobody_else() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let state_dir = folder.path().join("new/state");
        let store = GroupStore::open(&state_dir, "audit").unwrap();
        assert_eq!(store.known(), &BTreeSet::new());
        let groups = BTreeSet::from(["a \"b\"".to_owned(), "q".to_owned()]);
        store.write(&groups).unwrap();
        assert_eq!(GroupStore::open(&state_dir, "audit").unwrap().known(), &groups);
        assert_eq!(GroupStore::open(&state_dir, "other").unwrap().known(), &BTreeSet::new());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&store.path), mode(&state_dir.join("groups"))), (0o600, 0o700));
    }

    #[tokio::test]
    async fn a_group_is_remembered_once_it_reads_a_topic() {
        let (folder, mut found) = (tempfile::tempdir().unwrap(), subscription("osnl").await);
        let bindings = std::mem::take(&mut found.bindings);
        let mut store = GroupStore::open(folder.path(), "l").unwrap();
        let mut known = BTreeSet::new();
        store.remember("l", &mut known, &found).await;
        assert!(known.is_empty(), "its topics are missing: {known:?}");
        found.bindings = bindings;
        store.remember("l", &mut known, &found).await;
        let expected = BTreeSet::from(["osnl".to_owned()]);
        assert_eq!(known, expected);
        store.recheck();
        assert_eq!(store.known(), &expected);
    }

    #[test]
    fn what_cannot_be_understood_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = GroupStore::open(folder.path(), "l").unwrap().path;
        for text in ["", "{", "{\"format\":2,\"groups\":[]}", "{\"format\":1,\"groups\":[1]}", "[]"] {
            fs::write(&path, text).unwrap();
            let error = GroupStore::open(folder.path(), "l").unwrap_err().to_string();
            assert!(error.contains("l.json") && error.contains("remove it"), "{text}: {error}");
        }
    }
}
