//! `[enrich:NAME]`: what is asked for, whom, as whom, and how often. A `clouds.yaml` is read here, with the files.

use std::path::PathBuf;
use std::time::Duration;

use osnl_config::rate::{self, RateError};
use osnl_config::sections::Reader;
use osnl_config::{nearest, shown, typed};
use osnl_http::Scheme;
use osnl_openstack::{CloudConf, Clouds, CloudsError, Fields, Kind, Variables};
use osnl_template::{NAMES, Template};
use serde_json::Value;

use super::native_reader::NativeReader;
use crate::enrich::{EnrichConf, Limits, OnError};

/// What an action's templates may name besides the event and its enrichments.
const TAKEN: [&str; 6] = ["rule", "action", "idempotency_key", "secret", "count", "failure"];

/// Options that say who we are, with the names that they have in a `clouds.yaml`.
pub(crate) const LOGIN: [(&str, &str); 18] = [
    ("auth_type", "auth_type"),
    ("auth_url", "auth_url"),
    ("username", "username"),
    ("password", "password"),
    ("user_domain_name", "user_domain_name"),
    ("user_domain_id", "user_domain_id"),
    ("project_name", "project_name"),
    ("project_id", "project_id"),
    ("project_domain_name", "project_domain_name"),
    ("project_domain_id", "project_domain_id"),
    ("system_scope", "system_scope"),
    ("application_credential_id", "application_credential_id"),
    ("application_credential_name", "application_credential_name"),
    ("application_credential_secret", "application_credential_secret"),
    ("region_name", "region_name"),
    ("interface", "interface"),
    ("verify", "verify"),
    ("ca_file", "cacert"),
];

/// One section; `all` are the names of all of them.
pub(super) fn enrich(reader: &mut Reader<'_>, all: &[&str]) -> Option<EnrichConf> {
    let name = named(reader);
    let kinds: Vec<(&str, Kind)> = Kind::ALL.iter().map(|kind| (kind.name(), *kind)).collect();
    let kind = match reader.is_set("kind") {
        true => reader.word("kind", &kinds),
        false => {
            let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
            reader.required("kind", &format!("allowed: {}", names.join(", "))).and(None)
        }
    };
    let own = reader.name().to_owned();
    let others: Vec<&str> = all.iter().copied().filter(|name| *name != own).collect();
    let id = reader.compiled("id", |text| Template::compile(text, &others));
    let cloud = cloud(reader);
    let limits = limits(reader);
    let default = default(reader);
    let on_error = reader.word("on_error", &[("retry", OnError::Retry), ("default", OnError::Default)]);
    Some(EnrichConf {
        name: name?.into(),
        kind: kind?,
        id: id.ok()?,
        cloud: cloud?,
        limits: limits?,
        default: default?,
        on_error: on_error?,
    })
}

/// The section's name, which templates use.
fn named(reader: &mut Reader<'_>) -> Option<String> {
    let name = reader.name().to_owned();
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !letters || name.starts_with(|c: char| c.is_ascii_digit()) {
        return reader.refuse("", "is no name for templates", "name it with letters, digits and _");
    }
    if NAMES.contains(&name.as_str()) || TAKEN.contains(&name.as_str()) {
        let problem = format!("{name} is the event's own name in templates");
        return reader.refuse("", &problem, "name it otherwise");
    }
    Some(name)
}

/// Whom to ask, and who we are to them.
pub(crate) fn cloud(reader: &mut Reader<'_>) -> Option<CloudConf> {
    let mut written = Vec::new();
    for (option, field) in LOGIN {
        if reader.is_set(option) {
            written.push((field, reader.text(option)?));
        }
    }
    let file = reader.path("clouds_file", "write the path of a clouds.yaml, or remove the line")?;
    // Other files are looked for where one of the environment is not there, but who names it here means this one.
    if file.as_ref().is_some_and(|file| !file.is_file()) {
        let allowed = "name a clouds.yaml that is there, or remove the line";
        return reader.refuse("clouds_file", "there is no such file", allowed);
    }
    let found = named_cloud(reader, file, written)?;
    if found.auth_url.scheme() == Scheme::Http && !found.auth_url.is_loopback() {
        let option = if reader.is_set("cloud") { "cloud" } else { "auth_url" };
        let problem = "logs in to Keystone on another machine in clear, where anyone on the network can read the password";
        reader.warn(option, problem, "use an auth_url that begins with https://");
    }
    Some(found)
}

fn named_cloud(
    reader: &mut Reader<'_>,
    file: Option<PathBuf>,
    written: Vec<(&'static str, String)>,
) -> Option<CloudConf> {
    if !reader.is_set("cloud") {
        if file.is_some() {
            return reader.refuse(
                "clouds_file",
                "is of no use without cloud",
                "set cloud, or remove the line",
            );
        }
        if !reader.is_set("auth_url") {
            return reader.refuse(
                "auth_url",
                "is not set",
                "write cloud = NAME of a clouds.yaml, or auth_url",
            );
        }
        let mut fields = Fields::default();
        for (field, value) in written {
            fields.set(field, value);
        }
        return login(reader, fields);
    }
    let name = reader.text("cloud")?;
    let clouds = match Clouds::find(&variables(file)) {
        Ok(clouds) => clouds,
        Err(error) => {
            return reader.refuse("cloud", &error.to_string(), "or write auth_url and a login here");
        }
    };
    match clouds.cloud(&name, &written) {
        Ok(cloud) => Some(cloud),
        Err(error @ CloudsError::NoCloud { .. }) => {
            let near = nearest(&name, clouds.names()).map(str::to_owned);
            let refusal = typed::Refusal::new(error.to_string(), "name one of them");
            reader.refused("cloud", typed::Refusal { suggestion: near, ..refusal })
        }
        Err(error) => reader.refuse("cloud", &error.to_string(), "or name one that is complete"),
    }
}

/// All that is wrong with a login: each thing is said, and put right with what nobody uses, to hear of the next.
fn login(reader: &mut Reader<'_>, mut fields: Fields) -> Option<CloudConf> {
    let mut said: Vec<&str> = Vec::new();
    loop {
        let error = match CloudConf::of(&fields) {
            Ok(conf) => return said.is_empty().then_some(conf),
            Err(error) => error,
        };
        if said.contains(&error.option) {
            return None;
        }
        let option = LOGIN.iter().find(|(_, field)| *field == error.option);
        let option = option.map_or(error.option, |(option, _)| option);
        reader.refuse::<()>(option, &error.problem, &error.allowed);
        let right = match error.option {
            "auth_url" => "http://keystone/v3",
            // What else there must be depends on what is meant.
            "auth_type" | "application_credential_name" => return None,
            "interface" => "public",
            "system_scope" => "all",
            "verify" => "true",
            _ => "x",
        };
        fields.set(error.option, right.to_owned());
        said.push(error.option);
    }
}

/// With a file named, what is beside it.
fn variables(file: Option<PathBuf>) -> Variables {
    let of_process = Variables::of_process();
    match file {
        None => of_process,
        Some(file) => Variables {
            working: file.parent().map(PathBuf::from),
            config_file: Some(file),
            home: of_process.home,
            ..Variables::default()
        },
    }
}

fn limits(reader: &mut Reader<'_>) -> Option<Limits> {
    let cache_size = reader.number("cache_size", 0, 10_000_000);
    let cache_ttl = reader.duration("cache_ttl", Duration::ZERO);
    let negative_ttl = reader.duration("negative_ttl", Duration::ZERO);
    let timeout = reader.duration("timeout", Duration::from_millis(1));
    let rate = match reader.is_set("rate") {
        false => Some(None),
        true => reader.text("rate").and_then(|text| match rate::parse(&text) {
            Ok(rate) => Some(Some(rate)),
            Err(RateError::Form) => {
                let problem = format!("{} is not a rate", shown(&text));
                reader.refuse("rate", &problem, "write 100 per 1s or 1000 per 1m")
            }
            Err(RateError::Range) => {
                let problem = format!("{} is out of range", shown(&text));
                reader.refuse("rate", &problem, "allowed: 1 to 1000000 per 1s to 7d")
            }
        }),
    };
    Some(Limits {
        cache_size: usize::try_from(cache_size?).ok()?,
        cache_ttl: cache_ttl?,
        negative_ttl: negative_ttl?,
        timeout: timeout?,
        rate: rate?,
    })
}

fn default(reader: &mut Reader<'_>) -> Option<Value> {
    let text = reader.text("default")?;
    serde_json::from_str(&text).map_or_else(
        |error| {
            let problem = format!("is no JSON: {error}");
            reader.refuse("default", &problem, "write null, or {\"name\": \"unknown\"}")
        },
        Some,
    )
}
