use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use osnl_config::sections::normalized;
use osnl_config::{Ini, ReadError, read_text};
use serde::{Serialize, Serializer};

/// All values of one file by group and option, in its order. Any value may be a secret.
type Texts = BTreeMap<String, BTreeMap<String, Vec<String>>>;

#[derive(Clone, Default)]
pub struct PluginConfig {
    files: Vec<PathBuf>,
    texts: Vec<Texts>,
}

impl PluginConfig {
    /// Each start of a plug-in reads the files. The last value of an option counts, unless the
    /// option is multi-valued.
    #[must_use]
    pub fn files_of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { files: files.into_iter().collect(), texts: Vec::new() }
    }

    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    pub(super) fn read(&self) -> Result<Self, String> {
        let mut texts = Vec::new();
        for path in &self.files {
            let name = path.display().to_string();
            let text = read_text(path).map_err(|error| format!("{name}: {}", reason(&error)))?;
            let (ini, errors) = Ini::parse(&name, &text);
            if let Some(error) = errors.first() {
                return Err(error.to_string());
            }
            let mut of_file = Texts::new();
            for section in ini.sections {
                let group = of_file.entry(normalized(&section.name)).or_default();
                for entry in section.entries {
                    group.entry(entry.key).or_default().push(entry.value);
                }
            }
            texts.push(of_file);
        }
        Ok(Self { files: self.files.clone(), texts })
    }

    pub fn check(path: &Path) -> Result<(), String> {
        Self::files_of([path.to_owned()]).read().map(drop)
    }
}

fn reason(error: &ReadError) -> String {
    match error {
        ReadError::Missing => "there is no such file".to_owned(),
        ReadError::NotRegular => "is not a regular file".to_owned(),
        ReadError::TooLarge => "holds more than 16 MiB".to_owned(),
        ReadError::Unreadable(error) => format!("cannot be read: {error}"),
        ReadError::NotUtf8(line) => format!("line {line} is not UTF-8"),
    }
}

impl Serialize for PluginConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.texts.serialize(serializer)
    }
}

impl fmt::Debug for PluginConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginConfig").field("files", &self.files).finish_non_exhaustive()
    }
}
