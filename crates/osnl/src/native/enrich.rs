//! `[enrich:NAME]`, with its `clouds.yaml`, which is read here like other files.

use std::time::Duration;

use osnl_config::rate::{self, RateError};
use osnl_config::sections::SectionReader;
use osnl_config::template::{NAMES, Template};
use osnl_config::{Kind as Type, OptionDef, shown};
use osnl_net::openstack::Kind;
use serde_json::Value;

use crate::action::driver::{NativeReader as _, TEMPLATE_NAMES, cloud};
use crate::enrich::{EnrichConf, Limits, OnError};

#[rustfmt::skip]
pub(super) static OPTIONS: &[OptionDef] = &[
    OptionDef::new("kind", "server, port, floatingip, flavor, image, project, user, node, network, subnet, router, volume or domain", "Kind of the object to query. Must be set."),
    OptionDef::new("id", "template", "Id of the object. Without it: that of the object that the event is about or names, or that an earlier enrichment has found."),
    OptionDef::new("cloud", "name", "Cloud in clouds.yaml. Options of this section override it."),
    OptionDef::new("clouds_file", "path", "Path of clouds.yaml, if it is not in a place of openstacksdk. A secure.yaml beside it is read too."),
    OptionDef::new("auth_type", "password, v3applicationcredential or token", "Kind of login. Without it, the other options decide."),
    OptionDef::new("auth_url", "URL", "URL of Keystone. Version 3 is used, even if the URL ends in /v2.0 or in no version."),
    OptionDef::new("username", "name", "User to log in as."),
    OptionDef::new("password", "text", "Password of the user.").secret(),
    OptionDef::new("user_domain_name", "name", "Domain of the user. Without it and user_domain_id: the domain with the id default."),
    OptionDef::new("user_domain_id", "id", "The same, by id."),
    OptionDef::new("project_name", "name", "Project of the login. Without it and project_id the login has no scope; an application credential needs none."),
    OptionDef::new("project_id", "id", "The same, by id."),
    OptionDef::new("project_domain_name", "name", "Domain of the project. Without it and project_domain_id: the domain with the id default."),
    OptionDef::new("project_domain_id", "id", "The same, by id."),
    OptionDef::new("system_scope", "all", "Scope of the login: the whole system, instead of a project."),
    OptionDef::new("application_credential_id", "id", "Application credential, instead of a user with a password."),
    OptionDef::new("application_credential_name", "name", "The same, by name; needs username."),
    OptionDef::new("application_credential_secret", "text", "Secret of the application credential.").secret(),
    OptionDef::new("region_name", "name", "Region of the services, if the catalogue has several. Without it: the first."),
    OptionDef::new("interface", "public, internal or admin", "Interface of a service to call. Without it: public."),
    OptionDef::typed("verify", Type::Bool, "false: neither certificate nor host name is verified."),
    OptionDef::new("ca_file", "path", "PEM file of the certificates to trust instead of the system's."),
    OptionDef::typed("cache_size", Type::Integer, "Most answers in the cache; 0 for none.").or("10000"),
    OptionDef::new("cache_ttl", "duration", "Time for which an object stays in the cache; 0 for none.").or("60s"),
    OptionDef::new("negative_ttl", "duration", "Time for which the cache remembers that an object does not exist.").or("10s"),
    OptionDef::new("timeout", "duration", "Longest time for one answer, including the login.").or("10s"),
    OptionDef::new("rate", "number per duration", "Most requests within a time, such as 50 per 1s; further ones wait, at most for timeout. Without it: no limit."),
    OptionDef::new("default", "JSON", "Value if the object is deleted and neither the event nor the journal has it.").or("null"),
    OptionDef::new("on_error", "retry or default", "Effect of an unreachable service. retry: the delivery waits. default: the value of default is used.").or("retry"),
];

/// Reads one section; `all` has the names of all.
pub(super) fn enrich(reader: &mut SectionReader<'_>, all: &[&str]) -> Option<EnrichConf> {
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

fn named(reader: &mut SectionReader<'_>) -> Option<String> {
    let name = reader.name().to_owned();
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !letters || name.starts_with(|c: char| c.is_ascii_digit()) {
        return reader.refuse("", "is not a name for templates", "use letters, digits, and _");
    }
    if NAMES.contains(&name.as_str()) || TEMPLATE_NAMES.contains(&name.as_str()) {
        let problem = format!("{name} is already a name in templates");
        return reader.refuse("", &problem, "choose another one");
    }
    Some(name)
}

fn limits(reader: &mut SectionReader<'_>) -> Option<Limits> {
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

fn default(reader: &mut SectionReader<'_>) -> Option<Value> {
    let text = reader.text("default")?;
    serde_json::from_str(&text).map_or_else(
        |error| {
            let problem = format!("is not JSON: {error}");
            reader.refuse("default", &problem, "write null, or {\"name\": \"unknown\"}")
        },
        Some,
    )
}
