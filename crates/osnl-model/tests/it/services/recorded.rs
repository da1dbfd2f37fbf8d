use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use osnl_model::Notification;
use serde_json::Value;

pub(crate) struct RecordedMessage {
    pub(crate) file: String,
    pub(crate) n: Notification,
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/emission")
}

pub(crate) fn recorded() -> &'static [RecordedMessage] {
    static READ: LazyLock<Vec<RecordedMessage>> = LazyLock::new(read);
    &READ
}

fn read() -> Vec<RecordedMessage> {
    let mut found = Vec::new();
    for part in ["captures", "captures2"] {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder().join(part)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for path in files {
            let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let read: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            for messages in read["cases"].as_object().unwrap().values() {
                let messages = messages.as_array().or_else(|| messages["messages"].as_array()).unwrap();
                for message in messages {
                    let body = message["body_text"].as_str().unwrap();
                    let n = Notification::decode(body.as_bytes()).unwrap();
                    found.push(RecordedMessage { file: file.clone(), n });
                }
            }
        }
    }
    assert_eq!(found.len(), 949, "recorded messages");
    found
}

pub(crate) fn recorded_in(file: &str) -> Vec<&'static RecordedMessage> {
    recorded().iter().filter(|recorded| recorded.file == file).collect()
}
