//! `[enrich:NAME]`, with its `clouds.yaml`, which is read here like other files.

use std::time::Duration;

use osnl_config::sections::SectionReader;
use osnl_config::template::{NAMES, Template};
use osnl_config::{Kind as Type, OptionDef, Options as _, Rate, ReadBySection, options};
use osnl_openstack::Kind;
use serde_json::Value;

use crate::action::driver::{NativeReader as _, TEMPLATE_NAMES};
use crate::actions::cloud;
use crate::enrich::{EnrichConf, Limits, OnError};

const KINDS: &str = "server, port, floatingip, flavor, image, project, user, node, network, \
                     subnet, router, volume or domain";

options! {
    pub(super) struct EnrichOptions {
        kind: ReadBySection, written(KINDS) => "Kind of the object to query. Must be set.";
        id: ReadBySection, written("template") => "Id of the object. Without it: that of the object that the event is about or names, or that an earlier enrichment has found.";
        cloud: ReadBySection, written("name") => "Cloud in clouds.yaml. Options of this section override it.";
        clouds_file: ReadBySection, written("path") => "Path of clouds.yaml, if it is not in a place of openstacksdk. A secure.yaml beside it is read too.";
        auth_type: ReadBySection, written("password, v3applicationcredential or token") => "Kind of login. Without it, the other options decide.";
        auth_url: ReadBySection, written("URL") => "URL of Keystone. Version 3 is used, even if the URL ends in /v2.0 or in no version.";
        username: ReadBySection, written("name") => "User to log in as.";
        password: ReadBySection, written("text"), secret => "Password of the user.";
        user_domain_name: ReadBySection, written("name") => "Domain of the user. Without it and user_domain_id: the domain with the id default.";
        user_domain_id: ReadBySection, written("id") => "The same, by id.";
        project_name: ReadBySection, written("name") => "Project of the login. Without it and project_id the login has no scope; an application credential needs none.";
        project_id: ReadBySection, written("id") => "The same, by id.";
        project_domain_name: ReadBySection, written("name") => "Domain of the project. Without it and project_domain_id: the domain with the id default.";
        project_domain_id: ReadBySection, written("id") => "The same, by id.";
        system_scope: ReadBySection, written("all") => "Scope of the login: the whole system, instead of a project.";
        application_credential_id: ReadBySection, written("id") => "Application credential, instead of a user with a password.";
        application_credential_name: ReadBySection, written("name") => "The same, by name; needs username.";
        application_credential_secret: ReadBySection, written("text"), secret => "Secret of the application credential.";
        region_name: ReadBySection, written("name") => "Region of the services, if the catalogue has several. Without it: the first.";
        interface: ReadBySection, written("public, internal or admin") => "Interface of a service to call. Without it: public.";
        verify: ReadBySection, kind(Type::Bool) => "false: neither certificate nor host name is verified.";
        ca_file: ReadBySection, written("path") => "PEM file of the certificates to trust instead of the system's.";
        cache_size: usize = "10000", within("0", "10000000") => "Most answers in the cache; 0 for none.";
        cache_ttl: Duration = "60s" => "Time for which an object stays in the cache; 0 for none.";
        negative_ttl: Duration = "10s" => "Time for which the cache remembers that an object does not exist.";
        timeout: Duration = "10s", at_least("1ms") => "Longest time for one answer, including the login.";
        rate: Option<Rate> => "Most requests within a time, such as 50 per 1s; further ones wait, at most for timeout. Without it: no limit.";
        default: Value as default = "null", written("JSON") => "Value if the object is deleted and neither the event nor the journal has it.";
        on_error: OnError = "retry" => "Effect of an unreachable service. retry: the delivery waits. default: the value of default is used.";
    }
}

pub(super) fn enrich(reader: &mut SectionReader<'_>, all: &[&str]) -> Option<EnrichConf> {
    let name = named(reader);
    let kinds: Vec<(&str, Kind)> = Kind::ALL.iter().map(|kind| (kind.name(), *kind)).collect();
    let kind = match reader.is_set("kind") {
        true => reader.word("kind", kinds),
        false => {
            let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
            reader.required("kind", &format!("allowed: {}", names.join(", "))).and(None)
        }
    };
    let own = reader.name().to_owned();
    let others: Vec<&str> = all.iter().copied().filter(|name| *name != own).collect();
    let id = reader.compiled("id", |text| Template::compile(text, &others));
    let cloud = cloud::read(reader);
    let EnrichOptions { cache_size, cache_ttl, negative_ttl, timeout, rate, default, on_error, .. } =
        EnrichOptions::read(reader)?;
    Some(EnrichConf {
        name: name?.into(),
        kind: kind?,
        id: id.ok()?,
        cloud: cloud?,
        limits: Limits { cache_size, cache_ttl, negative_ttl, timeout, rate },
        default,
        on_error,
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

fn default(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Value> {
    let text = reader.text(option.name)?;
    serde_json::from_str(&text).map_or_else(
        |error| {
            let problem = format!("is not JSON: {error}");
            reader.refuse(option.name, &problem, "write null, or {\"name\": \"unknown\"}")
        },
        Some,
    )
}
