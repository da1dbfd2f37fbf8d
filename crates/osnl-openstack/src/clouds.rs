//! Finds `clouds.yaml` and merges its parts.
//!
//! The first existing of `clouds.yaml`, `clouds.yml`, `clouds.json` counts, in
//! `OS_CLIENT_CONFIG_FILE` (a file), the working folder, `$XDG_CONFIG_HOME/openstack`
//! (`~/.config/openstack`), `/etc/openstack`. Options of the first `secure.yaml` in the same
//! folders (`OS_CLIENT_SECURE_FILE`) override it, to keep secrets apart. A `profile` of
//! `clouds-public.yaml` gives defaults.

mod yaml;

use std::path::{Path, PathBuf};

use osnl_config::{LARGEST_FILE, read_regular};
use serde_json::{Map, Value};

use crate::conf::{CloudConf, CloudConfError, Fields};

#[derive(Clone, Debug, Default)]
pub struct CloudVariables {
    pub config_file: Option<PathBuf>,
    pub secure_file: Option<PathBuf>,
    pub config_home: Option<PathBuf>,
    pub home: Option<PathBuf>,
    pub working: Option<PathBuf>,
    pub site: Option<PathBuf>,
}

impl CloudVariables {
    #[must_use]
    pub fn from_process() -> Self {
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

#[derive(Clone)]
pub struct Clouds {
    file: PathBuf,
    clouds: Map<String, Value>,
    home: Option<PathBuf>,
    secrets: Vec<(PathBuf, Vec<String>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudsError {
    #[error("there is no clouds.yaml in {}; name one in OS_CLIENT_CONFIG_FILE", .searched.join(", "))]
    NoFile { searched: Vec<String> },
    #[error("{}: {problem}", .file.display())]
    File { file: PathBuf, problem: String },
    #[error("{}: there is no cloud {name}; it has {}", .file.display(), .have.join(", "))]
    NoCloud { file: PathBuf, name: String, have: Vec<String> },
    #[error("{}: cloud {name}: {error}", .file.display())]
    Cloud { file: PathBuf, name: String, error: CloudConfError },
}

impl Clouds {
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

    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    pub fn secret_files(&self, name: &str) -> impl Iterator<Item = &Path> {
        let of = self.secrets.iter().filter(move |(_, clouds)| clouds.iter().any(|cloud| cloud == name));
        of.map(|(file, _)| file.as_path())
    }

    /// Returns all of a cloud's input, to detect changes: its options, and the content of
    /// certificates and keys. The result holds secrets and must only be hashed.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let cloud = self.clouds.get(name)?;
        let mut content = cloud.to_string().into_bytes();
        for option in ["cacert", "cert", "key"] {
            if let Some(path) = cloud.get(option).and_then(Value::as_str) {
                let path = self.expanded(option, path.to_owned());
                content.extend(osnl_net::tls::content_or_state(Path::new(&path)));
            }
        }
        Some(content)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.clouds.keys().map(String::as_str)
    }

    pub fn cloud(&self, name: &str, more: &[(&str, String)]) -> Result<CloudConf, CloudsError> {
        let Some(cloud) = self.clouds.get(name).and_then(Value::as_object) else {
            let have = self.clouds.keys().cloned().collect();
            return Err(CloudsError::NoCloud { file: self.file.clone(), name: name.to_owned(), have });
        };
        let error = |error| CloudsError::Cloud { file: self.file.clone(), name: name.to_owned(), error };
        let mut fields = Fields::default();
        let wanted =
            more.iter().find(|(option, _)| *option == "region_name").map(|(_, region)| region.as_str());
        let cloud = &find_region(cloud, wanted, &mut fields).map_err(error)?;
        let auth = cloud.get("auth").and_then(Value::as_object);
        for (option, value) in cloud.iter().chain(auth.into_iter().flatten()) {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => continue,
            };
            // Other keys are for other programs.
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
            (Some(_), _) | (None, None) => CloudConf::from_fields(&fields).map_err(error),
        }
    }

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

/// Returns a cloud's options for one of its `regions`: the requested region, else that of
/// `region_name`, else the first. A list of regions is exhaustive.
fn find_region(
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

fn with_secrets(clouds: &Map<String, Value>) -> Vec<String> {
    const SECRETS: [&str; 3] = ["password", "application_credential_secret", "token"];
    let has = |map: &Map<String, Value>| SECRETS.iter().any(|key| map.contains_key(*key));
    let secret = |cloud: &Value| {
        let auth = cloud.get("auth").and_then(Value::as_object);
        cloud.as_object().into_iter().chain(auth).any(has)
    };
    clouds.iter().filter(|(_, cloud)| secret(cloud)).map(|(name, _)| name.clone()).collect()
}

fn section(file: &Path, name: &str) -> Result<Map<String, Value>, CloudsError> {
    let problem = |problem: String| CloudsError::File { file: file.to_owned(), problem };
    let bytes =
        read_regular(file, LARGEST_FILE).map_err(|error| problem(format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| problem("is not UTF-8".to_owned()))?;
    let mut whole = yaml::read(&text).map_err(problem)?;
    match whole.get_mut(name).map(Value::take) {
        Some(Value::Object(map)) => Ok(map),
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(problem(format!("`{name}` is not a map")))
        }
    }
}

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
