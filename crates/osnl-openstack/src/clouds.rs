//! `clouds.yaml`, found and merged.
//!
//! The first that is there of `clouds.yaml`, `clouds.yml`, `clouds.json` in `OS_CLIENT_CONFIG_FILE` (a file), the working
//! folder, `$XDG_CONFIG_HOME/openstack` (`~/.config/openstack`), `/etc/openstack`. Over it, option by option, the
//! first `secure.yaml` of the same folders (`OS_CLIENT_SECURE_FILE`), to keep secrets apart. Below it, what
//! `profile` names in `clouds-public.yaml`.

mod yaml;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::conf::{CloudConf, CloudConfError, Fields};

/// The variables of the environment; handed in, as everything of it.
#[derive(Clone, Debug, Default)]
pub struct CloudVariables {
    /// `OS_CLIENT_CONFIG_FILE`.
    pub config_file: Option<PathBuf>,
    /// `OS_CLIENT_SECURE_FILE`.
    pub secure_file: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// The working folder.
    pub working: Option<PathBuf>,
    /// `/etc/openstack`; another one in tests.
    pub site: Option<PathBuf>,
}

impl CloudVariables {
    /// Those of the process.
    #[must_use]
    pub fn of_process() -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            config_file: path("OS_CLIENT_CONFIG_FILE"),
            secure_file: path("OS_CLIENT_SECURE_FILE"),
            config_home: path("XDG_CONFIG_HOME"),
            home: path("HOME"),
            working: Some(PathBuf::from(".")),
            site: Some(PathBuf::from("/etc/openstack")),
        }
    }

    fn folders(&self) -> Vec<PathBuf> {
        let config = self.config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")));
        let config = config.map(|folder| folder.join("openstack"));
        [self.working.clone(), config, self.site.clone()].into_iter().flatten().collect()
    }

    fn find(&self, named: Option<&PathBuf>, stem: &str) -> Option<PathBuf> {
        let each = self.folders().into_iter();
        let each =
            each.flat_map(|folder| ["yaml", "yml", "json"].map(|end| folder.join(format!("{stem}.{end}"))));
        named.cloned().into_iter().chain(each).find(|path| path.is_file())
    }
}

/// The clouds that are written down.
#[derive(Clone)]
pub struct Clouds {
    file: PathBuf,
    clouds: Map<String, Value>,
    home: Option<PathBuf>,
    /// The clouds of which a file holds a secret.
    secrets: Vec<(PathBuf, Vec<String>)>,
}

/// Why a cloud cannot be had by its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudsError {
    /// No file.
    #[error("there is no clouds.yaml in {}; name one in OS_CLIENT_CONFIG_FILE", .searched.join(", "))]
    NoFile {
        /// The places that were searched.
        searched: Vec<String>,
    },
    /// A file that cannot be read.
    #[error("{}: {problem}", .file.display())]
    File {
        /// Its path.
        file: PathBuf,
        /// The problem and its place. No value of it.
        problem: String,
    },
    /// No such cloud.
    #[error("{}: there is no cloud {name}; it has {}", .file.display(), .have.join(", "))]
    NoCloud {
        /// The path of the file.
        file: PathBuf,
        /// The name that was asked for.
        name: String,
        /// The names that are there.
        have: Vec<String>,
    },
    /// A cloud that cannot be used.
    #[error("{}: cloud {name}: {error}", .file.display())]
    Cloud {
        /// The path of the file.
        file: PathBuf,
        /// The name of the cloud.
        name: String,
        /// The problem.
        error: CloudConfError,
    },
}

impl Clouds {
    /// The clouds of the first files that are there.
    ///
    /// # Errors
    /// No file, or one that is not YAML.
    pub fn find(variables: &CloudVariables) -> Result<Self, CloudsError> {
        let Some(file) = variables.find(variables.config_file.as_ref(), "clouds") else {
            let named = variables.config_file.iter().map(|file| file.display().to_string());
            let folders = variables.folders().into_iter().map(|folder| folder.display().to_string());
            return Err(CloudsError::NoFile { searched: named.chain(folders).collect() });
        };
        let mut clouds = section(&file, "clouds")?;
        let mut secrets = vec![(file.clone(), with_secrets(&clouds))];
        if let Some(secure) = variables.find(variables.secure_file.as_ref(), "secure") {
            let above = section(&secure, "clouds")?;
            secrets.push((secure, with_secrets(&above)));
            merge(&mut clouds, above);
        }
        if let Some(public) = variables.find(None, "clouds-public") {
            let public = section(&public, "public-clouds")?;
            for cloud in clouds.values_mut().filter_map(Value::as_object_mut) {
                let profile = cloud.get("profile").or_else(|| cloud.get("cloud")).and_then(Value::as_str);
                let Some(below) = profile.and_then(|profile| public.get(profile)?.as_object()) else {
                    continue;
                };
                let above = std::mem::replace(cloud, below.clone());
                merge(cloud, above);
            }
        }
        Ok(Self { file, clouds, home: variables.home.clone(), secrets })
    }

    /// The file that was found.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The files that hold a secret of this cloud.
    pub fn secret_files(&self, name: &str) -> impl Iterator<Item = &Path> {
        let of = self.secrets.iter().filter(move |(_, clouds)| clouds.iter().any(|cloud| cloud == name));
        of.map(|(file, _)| file.as_path())
    }

    /// Everything that a cloud consists of, for a comparison with an earlier reading: its options, and the content of
    /// the certificates and keys that they name. Holds secrets: to be hashed, never shown.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let cloud = self.clouds.get(name)?;
        let mut content = cloud.to_string().into_bytes();
        for option in ["cacert", "cert", "key"] {
            if let Some(path) = cloud.get(option).and_then(Value::as_str) {
                content.extend(std::fs::read(self.expanded(option, path.to_owned())).unwrap_or_default());
            }
        }
        Some(content)
    }

    /// The names of the clouds.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.clouds.keys().map(String::as_str)
    }

    /// The cloud of this name, and over it what is written elsewhere: `more` counts more.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub fn cloud(&self, name: &str, more: &[(&str, String)]) -> Result<CloudConf, CloudsError> {
        let Some(cloud) = self.clouds.get(name).and_then(Value::as_object) else {
            let have = self.clouds.keys().cloned().collect();
            return Err(CloudsError::NoCloud { file: self.file.clone(), name: name.to_owned(), have });
        };
        let error = |error| CloudsError::Cloud { file: self.file.clone(), name: name.to_owned(), error };
        let mut fields = Fields::default();
        let wanted =
            more.iter().find(|(option, _)| *option == "region_name").map(|(_, region)| region.as_str());
        let cloud = &of_region(cloud, wanted, &mut fields).map_err(error)?;
        let auth = cloud.get("auth").and_then(Value::as_object);
        for (option, value) in cloud.iter().chain(auth.into_iter().flatten()) {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => continue,
            };
            // What else stands there is for other programs.
            fields.set(option, self.expanded(option, value));
        }
        for (option, value) in more {
            fields.set(option, value.clone());
        }
        let profile = cloud.get("profile").or_else(|| cloud.get("cloud")).and_then(Value::as_str);
        match (fields.get("auth_url"), profile) {
            (None, Some(profile)) => {
                let problem = format!("{profile} is not in clouds-public.yaml, or has no auth_url there");
                Err(error(CloudConfError::new("profile", problem, "write auth_url beside it")))
            }
            (Some(_), _) | (None, None) => CloudConf::of(&fields).map_err(error),
        }
    }

    /// Files may begin with `~`.
    fn expanded(&self, option: &str, value: String) -> String {
        let file = matches!(option, "cacert" | "cert" | "key");
        match (value.strip_prefix("~/").filter(|_| file), &self.home) {
            (Some(rest), Some(home)) => home.join(rest).to_string_lossy().into_owned(),
            (Some(_) | None, _) => value,
        }
    }
}

impl std::fmt::Debug for Clouds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.clouds.keys().collect();
        f.debug_struct("Clouds").field("file", &self.file).field("clouds", &names).finish_non_exhaustive()
    }
}

/// The options of a cloud as one of its `regions` has them: the one that is asked for, else that of `region_name`, else the
/// first. A list of regions is all that there are.
fn of_region(
    cloud: &Map<String, Value>,
    wanted: Option<&str>,
    fields: &mut Fields,
) -> Result<Map<String, Value>, CloudConfError> {
    let regions = cloud.get("regions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let name = |region: &Value| {
        region.as_str().or_else(|| region.get("name")?.as_str()).unwrap_or_default().to_owned()
    };
    let wanted = wanted.or_else(|| cloud.get("region_name")?.as_str()).filter(|name| !name.is_empty());
    let region = match wanted {
        Some(wanted) => regions.iter().find(|region| name(region) == wanted),
        None => regions.first(),
    };
    match (region, wanted) {
        (Some(region), _) => {
            let mut merged = cloud.clone();
            if let Some(values) = region.get("values").and_then(Value::as_object) {
                merge(&mut merged, values.clone());
            }
            fields.set("region_name", name(region));
            merged.remove("region_name");
            Ok(merged)
        }
        (None, Some(wanted)) if !regions.is_empty() => {
            let all = regions.iter().map(name).collect::<Vec<_>>().join(", ");
            Err(CloudConfError::new(
                "region_name",
                format!("{wanted} is not one of its regions"),
                format!("allowed: {all}"),
            ))
        }
        (None, _) => Ok(cloud.clone()),
    }
}

/// The clouds with a password or another secret in them.
fn with_secrets(clouds: &Map<String, Value>) -> Vec<String> {
    const SECRETS: [&str; 3] = ["password", "application_credential_secret", "token"];
    let has = |map: &Map<String, Value>| SECRETS.iter().any(|key| map.contains_key(*key));
    let secret = |cloud: &Value| {
        let auth = cloud.get("auth").and_then(Value::as_object);
        cloud.as_object().into_iter().chain(auth).any(has)
    };
    clouds.iter().filter(|(_, cloud)| secret(cloud)).map(|(name, _)| name.clone()).collect()
}

/// The map of this name in a file; JSON is YAML too.
fn section(file: &Path, name: &str) -> Result<Map<String, Value>, CloudsError> {
    let problem = |problem: String| CloudsError::File { file: file.to_owned(), problem };
    let text = std::fs::read_to_string(file).map_err(|error| problem(format!("cannot be read: {error}")))?;
    let mut whole = yaml::read(&text).map_err(problem)?;
    match whole.get_mut(name).map(Value::take) {
        Some(Value::Object(map)) => Ok(map),
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(problem(format!("`{name}` is not a map")))
        }
    }
}

/// Lays `above` over `below`, maps within maps.
fn merge(below: &mut Map<String, Value>, above: Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
