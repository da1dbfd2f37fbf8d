//! Reads the files that secret options name, and finds those that every user of this machine can read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::layers::Layers;
use super::raw::RawSection;
use super::schema::Dialect;
use crate::secret_file::{SCHEME, SecretFile, SecretFileError, is_readable_by_all, read, shown};
use crate::{Environment, Finding, ValueOrigin, Warning};

const OPEN_SECRET: &str = "every user of this machine can read this secret";
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

pub fn read_all(layers: &mut Layers, environment: &Environment) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for at in 0..layers.sections.len() {
        let names: Vec<String> = secret_options(&layers.sections[at]).collect();
        for option in names {
            let Some((file, open)) = read_option(layers, at, &option, environment) else { continue };
            let section = &mut layers.sections[at];
            let heading = section.heading();
            let Some(entry) = section.entries.iter_mut().find(|entry| entry.option == option) else {
                continue;
            };
            if open {
                let problem = format!("{} is open to every user of this machine", shown(&file.path));
                let finding = Finding::new("", problem).allowed("remove that permission: chmod o= FILE");
                let finding = finding.group(&heading).option(&option).from_origin(&entry.origin);
                warnings.push(Warning(finding));
            }
            entry.file = Some(file);
        }
    }
    warnings
}

pub fn open_files(layers: &Layers) -> Vec<Warning> {
    let remedy = match layers.schema().dialect {
        Dialect::Strict { .. } => "chmod o= on the file, or write file:///path and keep the secret there",
        Dialect::Oslo { .. } => "chmod o= on the file",
    };
    let mut first: BTreeMap<&str, (u32, Warning)> = BTreeMap::new();
    for section in &layers.sections {
        for option in secret_options(section) {
            let Some(entry) = section.entry(&option).filter(|entry| entry.file.is_none()) else { continue };
            let ValueOrigin::File { path, line } = &entry.origin else { continue };
            if first.get(path.as_str()).is_none_or(|(other, _)| line < other) {
                let finding = Finding::new("", OPEN_SECRET.to_owned()).allowed(remedy);
                let finding = finding.group(&section.heading()).option(&option).from_origin(&entry.origin);
                first.insert(path, (*line, Warning(finding)));
            }
        }
    }
    let open = first.into_iter().filter(|(path, _)| is_readable_by_all(Path::new(path)));
    open.map(|(_, (_, warning))| warning).collect()
}

fn secret_options(section: &RawSection) -> impl Iterator<Item = String> + '_ {
    let secret = |option: &str| section.option(option).is_some_and(|known| known.row.secret);
    section.entries.iter().map(|entry| entry.option.clone()).filter(move |option| secret(option))
}

fn read_option(
    layers: &mut Layers,
    at: usize,
    option: &str,
    environment: &Environment,
) -> Option<(SecretFile, bool)> {
    let written = layers.sections[at].entry(option)?.text.clone();
    let rest = written.strip_prefix(SCHEME).and_then(|path| {
        let name = format!("${CREDENTIALS}/");
        let braced = format!("${{{CREDENTIALS}}}/");
        path.strip_prefix(&name).or_else(|| path.strip_prefix(&braced))
    });
    let refused = |path: PathBuf, error| Some((SecretFile { path, content: Err(error) }, false));
    let mut credential = None;
    if let Some(name) = rest {
        let Some(folder) = environment.get(CREDENTIALS).filter(|folder| folder.starts_with('/')) else {
            return refused(PathBuf::new(), SecretFileError::NoCredentials);
        };
        credential = Some(name.to_owned());
        let text = format!("{SCHEME}{}/{name}", folder.trim_end_matches('/').replace('$', "$$"));
        let entry = layers.sections[at].entries.iter_mut().find(|entry| entry.option == option)?;
        entry.text = text;
    }
    // The later read of the option reports an unresolved `$name`.
    let text = layers.resolve(&layers.sections[at], option).ok()??;
    let path = PathBuf::from(text.strip_prefix(SCHEME)?);
    if !path.is_absolute() {
        return refused(path, SecretFileError::Relative);
    }
    match read(&path) {
        Ok((content, open)) => Some((SecretFile { path, content: Ok(content) }, open)),
        Err(SecretFileError::Missing(_)) if credential.is_some() => {
            let name = credential.unwrap_or_default();
            refused(path, SecretFileError::NoCredential(name.escape_debug().to_string()))
        }
        Err(error) => refused(path, error),
    }
}
