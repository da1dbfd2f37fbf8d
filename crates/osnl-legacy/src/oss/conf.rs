//! The file `oss.conf`, read, checked, and translated to the native form, in which it runs.
//!
//! The syntax is [`osnl_config`]'s. Unknown names, which the program ignored silently, are ignored
//! with a warning. Values are checked at load time, and all errors are reported at once.

mod check;
mod schema;
mod shown;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use osnl_config::sections::{Findings, Layers};
use osnl_config::{
    ConfigError, ConfigErrors, Environment, Finding, Ini, ValueOrigin, Warning, files_of, folder_finding,
    in_order, read_text,
};

use self::check::OssChecker;
pub use self::schema::ProgramOptions;
use self::schema::{OpenstackOptions, RestOptions};
use crate::oss::drivers::drivers;
use osnl::native::{self, Document};
use osnl_config::secret_file::open_files;

#[derive(Clone)]
pub struct Conf {
    pub program: ProgramOptions,
    transport_url: String,
    pub watch_queue: String,
    rest: Option<RestSection>,
    openstack: Option<OpenstackOptions>,
    oss: Vec<(&'static str, String)>,
    journal: Vec<(&'static str, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plugin {
    Rest,
    Python(String),
}

#[derive(Clone)]
struct RestSection {
    url_creation: String,
    url_deletion: String,
    own: RestOptions,
}

/// A `--config-file` or a `--config-dir`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfPlace {
    File(PathBuf),
    Folder(PathBuf),
}

#[derive(Clone)]
pub struct LoadedConf {
    pub conf: Conf,
    pub warnings: Vec<Warning>,
    pub files: Vec<String>,
    pub native: native::LoadedConf,
    document: Document,
    layers: Layers,
}

impl std::fmt::Debug for LoadedConf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { conf, warnings, files, native: _, document: _, layers: _ } = self;
        let mut out = f.debug_struct("LoadedConf");
        out.field("conf", conf).field("warnings", warnings).field("files", files).finish_non_exhaustive()
    }
}

impl Plugin {
    #[must_use]
    pub fn action(&self) -> String {
        match self {
            Self::Rest => "oss_watcher".to_owned(),
            Self::Python(class) => class.replace('.', "-"),
        }
    }

    #[must_use]
    pub fn loaded_as(&self) -> String {
        match self {
            Self::Rest => format!("oss_framework.plugins.{}", schema::OWN_PLUGIN),
            Self::Python(class) => format!("oss_framework.plugins.{class}"),
        }
    }
}

impl std::fmt::Debug for Conf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conf")
            .field("plugins", &self.program.enabled_plugins)
            .field("watch_queue", &self.watch_queue)
            .field("events_creation", &self.program.events_creation)
            .field("events_deletion", &self.program.events_deletion)
            .finish_non_exhaustive()
    }
}

impl LoadedConf {
    #[must_use]
    pub fn document(&self) -> Document {
        self.document.clone()
    }

    #[must_use]
    pub fn origin(&self, group: &str, option: &str) -> ValueOrigin {
        self.layers.origin(group, option)
    }
}

/// Returns the files that the program reads by default, in its order: of each name the first in
/// `~/.oss_framework`, `~`, `/etc/oss_framework` and `/etc`.
#[must_use]
pub fn default_files(home: Option<&Path>, root: &Path) -> Vec<PathBuf> {
    let homes = home.into_iter().flat_map(|home| [home.join(".oss_framework"), home.to_owned()]);
    let folders: Vec<PathBuf> = homes.chain([root.join("etc/oss_framework"), root.join("etc")]).collect();
    let first = |name: &str| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    ["oss_framework.conf", "oss_watcher.conf"].into_iter().filter_map(first).collect()
}

impl Conf {
    /// Of two places with the same option the later one wins.
    pub fn load(places: &[ConfPlace], environment: &Environment) -> Result<LoadedConf, ConfigErrors> {
        let mut paths = Vec::new();
        let mut errors = Vec::new();
        for place in places {
            match place {
                ConfPlace::File(path) => paths.push(path.clone()),
                ConfPlace::Folder(folder) => match files_of(folder) {
                    Ok(more) => paths.extend(more),
                    Err(error) => errors.push(ConfigError(folder_finding(folder, &error))),
                },
            }
        }
        let mut texts = Vec::new();
        for path in &paths {
            match read_text(path) {
                Ok(text) => texts.push((absolute(path), text)),
                Err(error) => errors.push(ConfigError(error.finding(&path.display().to_string()))),
            }
        }
        if errors.is_empty() { Self::from_texts(&texts, environment) } else { Err(ConfigErrors(errors)) }
    }

    pub(crate) fn from_texts(
        texts: &[(String, String)],
        environment: &Environment,
    ) -> Result<LoadedConf, ConfigErrors> {
        let mut layers = Layers::new(&schema::SCHEMA);
        let mut findings = Findings::default();
        for (name, text) in texts {
            let (ini, syntax) = Ini::parse(name, text);
            findings.errors.extend(syntax);
            findings.extend(layers.apply(&ini));
        }
        findings.extend(layers.apply_environment(environment));
        findings.warnings.extend(open_files(&layers));
        let file = texts.last().map_or("oss.conf", |(name, _)| name.as_str());
        let conf = OssChecker { file, layers: &layers, findings: &mut findings }.conf();
        let Findings { mut errors, mut warnings } = findings;
        let files: Vec<String> = texts.iter().map(|(name, _)| name.clone()).collect();
        in_order(&mut errors, |error| &error.0, &files);
        let conf = match conf {
            Some(conf) if errors.is_empty() => conf,
            Some(_) | None => return Err(ConfigErrors(errors)),
        };
        if conf.program.enabled_plugins.iter().any(|plugin| *plugin != Plugin::Rest) {
            // A plug-in finds unknown sections in its CONF, so they cause no warning.
            warnings.retain(|warning| warning.0.option.is_some() || warning.0.group.is_none());
        }
        let sources = native::Sources { drivers: drivers(), ..native::Sources::default() };
        let sections = shown::sections(&conf, &layers, &files);
        let document = Document { sections, drivers: sources.drivers };
        let native =
            native::load_texts(&[("oss.conf in osnl's form".to_owned(), document.text(true))], &sources)
                .map_err(|errors| at_home(errors, &layers, &files))?;
        let told = native.warnings.iter().filter(|warning| !said(warning));
        let told = ConfigErrors(told.map(|warning| ConfigError(warning.0.clone())).collect());
        let told = at_home(told, &layers, &files).0;
        warnings.extend(told.into_iter().map(|finding| Warning(finding.0)));
        in_order(&mut warnings, |warning| &warning.0, &files);
        Ok(LoadedConf { conf, warnings, files, native, document, layers })
    }
}

fn said(warning: &Warning) -> bool {
    matches!(warning.0.option.as_deref(), Some("body" | "transport_url"))
}

fn at_home(errors: ConfigErrors, layers: &Layers, files: &[String]) -> ConfigErrors {
    let file = files.last().map_or("oss.conf", String::as_str);
    let home = |error: ConfigError| {
        let mut finding = error.0;
        let mut groups = vec![schema::DEFAULT, schema::JOURNAL, schema::OSS, schema::REST, schema::RABBIT];
        if finding.group.as_deref() == Some(shown::CLOUD) {
            groups = vec![schema::OPENSTACK];
            finding.option = finding.option.map(|option| shown::openstack_option(&option).to_owned());
        }
        // The paths are checked before; the scheme is that of the host, and the port is another option.
        if matches!(finding.option.as_deref(), Some("url_creation" | "url_deletion")) {
            groups = vec![schema::REST];
            finding.option = Some("host".to_owned());
            let with_port =
                |mend: String| mend.replace("https://,", "https://, and the port with TLS into port,");
            finding.allowed = finding.allowed.map(with_port);
        }
        let option = finding.option.clone().unwrap_or_default();
        let origin = groups.into_iter().map(|group| (group, layers.origin(group, &option)));
        let found = origin.into_iter().find(|(_, origin)| *origin != ValueOrigin::Default);
        let finding = Finding { file: file.to_owned(), line: None, ..finding };
        ConfigError(match found {
            Some((group, origin)) => finding.group(group).from_origin(&origin),
            None => finding,
        })
    };
    let mut errors: Vec<ConfigError> = errors.0.into_iter().map(home).collect();
    in_order(&mut errors, |error| &error.0, files);
    ConfigErrors(errors)
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
