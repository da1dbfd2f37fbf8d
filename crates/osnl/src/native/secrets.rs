//! Reads secrets in files again without the rest of the configuration.

use osnl_config::sections::{Layers, RawEntry, RawSection};
use osnl_config::{ConfigErrors, Environment, secret_file};
use osnl_model::BodyDigest;

use super::change::{NamedFile, named_files, needs_a_restart};
use super::{LoadedConf, check};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChangedSecret {
    pub(crate) section: String,
    pub(crate) option: String,
    pub(crate) file: String,
    /// Whether the file stands for the system's CA certificates, which several sections may use.
    pub(crate) is_system: bool,
    digest: Option<String>,
}

impl From<NamedFile> for ChangedSecret {
    fn from(named: NamedFile) -> Self {
        let is_system = named.is_system();
        let NamedFile { section, option, file, digest } = named;
        Self { section, option, file, is_system, digest: Some(digest) }
    }
}

impl LoadedConf {
    pub(crate) fn has_secret_files(&self) -> bool {
        let mut sections = self.layers.sections.iter().filter(|section| !needs_a_restart(section.def.kind));
        !self.named_files.is_empty()
            || sections.any(|section| section.entries.iter().any(|entry| entry.file.is_some()))
    }

    pub(crate) fn changed_secrets(&self, environment: &Environment) -> Vec<ChangedSecret> {
        let new = self.read_again(environment);
        let of_section = |(was, is): (&RawSection, &RawSection)| -> Vec<ChangedSecret> {
            let heading = is.heading();
            let changed = was.entries.iter().zip(&is.entries).filter_map(|(was, is)| {
                let content =
                    |entry: &RawEntry| entry.file.as_ref().and_then(|file| file.content.clone().ok());
                let file = is.file.as_ref()?.path.display().to_string();
                let digest = content(is).map(|text| BodyDigest::new(text.as_bytes()).to_string());
                let (section, option) = (heading.clone(), is.option.clone());
                let secret = ChangedSecret { section, option, file, is_system: false, digest };
                (content(was) != content(is)).then_some(secret)
            });
            changed.collect()
        };
        let values = self.layers.sections.iter().zip(&new.sections).flat_map(of_section);
        let named = named_files(&new).into_iter().filter(|named| !self.named_files.contains(named));
        values.chain(named.map(ChangedSecret::from)).collect()
    }

    /// Returns the configuration with the present secrets of its files.
    ///
    /// # Errors
    /// A secret is invalid for its option, or its file cannot be read.
    pub(crate) fn with_secrets_read_again(&self, environment: &Environment) -> Result<Self, ConfigErrors> {
        let layers = self.read_again(environment);
        let file = self.files.last().map_or("configuration", String::as_str);
        let checked = check::check(file, &layers, self.drivers);
        match checked.conf {
            Some(conf) if checked.errors.is_empty() => Ok(Self {
                conf,
                warnings: self.warnings.clone(),
                named_files: named_files(&layers),
                layers,
                drivers: self.drivers,
                files: self.files.clone(),
            }),
            Some(_) | None => Err(ConfigErrors(checked.errors)),
        }
    }

    fn read_again(&self, environment: &Environment) -> Layers {
        let mut layers = self.layers.clone();
        layers
            .sections
            .iter_mut()
            .flat_map(|section| &mut section.entries)
            .for_each(|entry| entry.file = None);
        // The start already warned of files that every user can read.
        let _ = secret_file::read_all(&mut layers, environment);
        for (new, old) in layers.sections.iter_mut().zip(&self.layers.sections) {
            if needs_a_restart(new.def.kind) {
                new.clone_from(old);
            }
        }
        layers
    }
}
