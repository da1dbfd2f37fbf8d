//! The file of a listener's positions in streams: `<state_dir>/streams/<listener>.json`.
//!
//! ```json
//! {"format":1,"streams":{"audit":{"offset":4711},"quiet":{"since":1790000000}}}
//! ```
//!
//! A Kafka consumer group has only the time of its first reading: brokers keep its offsets, and delete the offsets with
//! their topic.
//!
//! A new file that is already on disk replaces the old.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use osnl_journal::files;
use osnl_transport::{Resume, Subscription};
use serde_json::{Value, json};

const FORMAT: u64 = 1;

#[derive(Clone, Debug)]
pub(crate) struct PositionStore {
    path: PathBuf,
    before: BTreeMap<String, Resume>,
}

impl PositionStore {
    /// Opens the listener's file, in a directory created if missing (0700).
    ///
    /// # Errors
    /// The folder or file cannot be written. An existing file cannot be read, so reading would begin anywhere.
    pub(crate) fn open(state_dir: &Path, listener: &str) -> io::Result<Self> {
        let folder = state_dir.join("streams");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = folder.join(format!("{listener}.json"));
        let store = Self { before: read_at(&path)?, path };
        // Fails now rather than later if the file cannot be written.
        store.write(&store.before)?;
        Ok(store)
    }

    /// Looks whether `open` would succeed, and creates nothing.
    ///
    /// # Errors
    /// As [`PositionStore::open`].
    pub(crate) fn check(state_dir: &Path, listener: &str) -> io::Result<()> {
        let folder = state_dir.join("streams");
        files::may_write_in(&folder)?;
        read_at(&folder.join(format!("{listener}.json"))).map(drop)
    }

    /// Reads the file again; an unreadable file leaves the known positions.
    pub(super) fn recheck(&mut self) {
        if let Some(now) = fs::read(&self.path).ok().and_then(|text| read(&text)) {
            self.before = now;
        }
    }

    pub(super) fn read_before(&self) -> &BTreeMap<String, Resume> {
        &self.before
    }

    /// Records the groups that are read. A group whose topics are all missing has read nothing.
    pub(super) async fn remember(
        &self,
        listener: &str,
        known: &mut BTreeMap<String, Resume>,
        found: &Subscription,
    ) {
        let groups = found.queues().into_iter().filter(|_| !found.bindings.is_empty());
        let new: Vec<String> =
            groups.filter(|group| !known.contains_key(*group)).map(str::to_owned).collect();
        if new.is_empty() {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        known.extend(new.into_iter().map(|group| (group, Resume::Since(now))));
        let (store, positions) = (self.clone(), known.clone());
        let written = tokio::task::spawn_blocking(move || store.write(&positions)).await;
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

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn write(&self, positions: &BTreeMap<String, Resume>) -> io::Result<()> {
        files::replace(&self.path, text(positions).as_bytes())
    }
}

fn read_at(path: &Path) -> io::Result<BTreeMap<String, Resume>> {
    match fs::read(path) {
        Ok(text) => read(&text).ok_or_else(|| {
            let problem =
                "it does not say how far the streams were read; remove it to begin at stream_offset";
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {problem}", path.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

fn text(positions: &BTreeMap<String, Resume>) -> String {
    let streams: serde_json::Map<String, Value> =
        positions.iter().map(|(queue, resume)| (queue.clone(), position(*resume))).collect();
    format!("{}\n", json!({"format": FORMAT, "streams": streams}))
}

fn position(resume: Resume) -> Value {
    match resume {
        Resume::At(offset) => json!({"offset": offset}),
        Resume::Since(seconds) => json!({"since": seconds}),
    }
}

fn resume(position: &Value) -> Option<Resume> {
    let at = position["offset"].as_u64().map(Resume::At);
    at.or_else(|| position["since"].as_u64().map(Resume::Since))
}

fn read(text: &[u8]) -> Option<BTreeMap<String, Resume>> {
    let found: Value = serde_json::from_slice(text).ok()?;
    (found["format"] == FORMAT).then_some(())?;
    let entry = |(queue, position): (&String, &Value)| Some((queue.clone(), resume(position)?));
    found["streams"].as_object()?.iter().map(entry).collect()
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
        let store = PositionStore::open(&state_dir, "audit").unwrap();
        assert_eq!(store.read_before(), &BTreeMap::new());
        let positions = BTreeMap::from([
            ("a \"b\"".to_owned(), Resume::At(u64::MAX)),
            ("q".to_owned(), Resume::Since(5)),
        ]);
        store.write(&positions).unwrap();
        assert_eq!(PositionStore::open(&state_dir, "audit").unwrap().read_before(), &positions);
        assert_eq!(PositionStore::open(&state_dir, "other").unwrap().read_before(), &BTreeMap::new());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(store.path()), mode(&state_dir.join("streams"))), (0o600, 0o700));
    }

    #[tokio::test]
    async fn a_group_is_remembered_once_it_reads_a_topic() {
        let (folder, mut found) = (tempfile::tempdir().unwrap(), subscription("osnl").await);
        let bindings = std::mem::take(&mut found.bindings);
        let mut store = PositionStore::open(folder.path(), "l").unwrap();
        let mut known = BTreeMap::new();
        store.remember("l", &mut known, &found).await;
        assert!(known.is_empty(), "its topics are missing: {known:?}");
        found.bindings = bindings;
        store.remember("l", &mut known, &found).await;
        assert!(matches!(known["osnl"], Resume::Since(1..)), "{known:?}");
        let first = known.clone();
        store.remember("l", &mut known, &found).await;
        store.recheck();
        assert_eq!((&known, store.read_before()), (&first, &first));
    }

    #[test]
    fn what_cannot_be_understood_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = PositionStore::open(folder.path(), "l").unwrap().path;
        for text in
            ["", "{", "{\"format\":2,\"streams\":{}}", "{\"format\":1,\"streams\":{\"q\":{\"at\":1}}}", "[]"]
        {
            fs::write(&path, text).unwrap();
            let error = PositionStore::open(folder.path(), "l").unwrap_err().to_string();
            assert!(error.contains("l.json") && error.contains("remove it"), "{text}: {error}");
        }
    }
}
