use osnl_config::ValueOrigin;
use osnl_config::sections::Layers;
use osnl_model::nova::other_name;
use osnl_transport::{HEARTBEAT_OPTION, OSLO_HEARTBEAT};

use super::schema::{DEFAULT, JOURNAL, OPENSTACK, OSS, OpenstackOptions, RABBIT, REST};
use super::{Conf, Plugin, RestSection};
use osnl::native::{DocEntry, DocSection};

const NAME: &str = "oss_watcher";
pub(super) const CLOUD: &str = "enrich:openstack";
const ASKED: &str = "openstack";
const FIXED: &str = "as oss_watcher does it";

const REMEMBERED: [&str; 13] = [
    "compute.instance.create.end",
    "compute.instance.delete.start",
    "compute.instance.delete.end",
    "instance.create.end",
    "instance.delete.start",
    "instance.delete.end",
    "port.create.end",
    "port.update.end",
    "port.delete.end",
    "floatingip.create.end",
    "floatingip.update.start",
    "floatingip.update.end",
    "floatingip.delete.end",
];

pub(super) fn sections(conf: &Conf, layers: &Layers, files: &[String]) -> Vec<DocSection> {
    let from = |group: &str, option: &str| match layers.origin(group, option) {
        ValueOrigin::Default => format!("default of [{group}] {option}"),
        origin => format!("{origin}, [{group}] {option}"),
    };
    let log = vec![
        entry("log_level", "info", FIXED),
        entry("libs_log_level", "warn", FIXED),
        entry("log_file", &conf.program.log_file, from(DEFAULT, "log_file")),
    ];
    let journal = conf.journal.iter().map(|(name, text)| entry(name, text, from(JOURNAL, name))).collect();
    let listener = vec![
        entry(
            "transport_url",
            &conf.transport_url,
            format!("{}; user, password, port and virtual_host", from(RABBIT, "host")),
        ),
        entry("queue", &conf.watch_queue, from(RABBIT, "watch_queue")),
        entry(HEARTBEAT_OPTION, OSLO_HEARTBEAT.to_string(), "oslo.messaging's own; osnl's is 10"),
    ];
    let actions: Vec<String> = conf.program.enabled_plugins.iter().map(Plugin::action).collect();
    let rule = vec![
        entry("listeners", NAME, FIXED),
        entry("event_type", pattern(conf), "the listed events, and those that tell what they leave out"),
        entry("actions", actions.join(", "), from(DEFAULT, "enabled_plugins")),
    ];
    let mut sections = vec![
        section("DEFAULT", log),
        section("journal", journal),
        section(&format!("listener:{NAME}"), listener),
        section(&format!("rule:{NAME}"), rule),
    ];
    for plugin in &conf.program.enabled_plugins {
        let mut entries = match (plugin, &conf.rest) {
            (Plugin::Rest, Some(rest)) => rest_entries(rest, &from),
            (Plugin::Rest, None) => Vec::new(),
            (Plugin::Python(class), _) => {
                let mut entries = vec![
                    entry("driver", "python", FIXED),
                    entry("plugin", class, from(DEFAULT, "enabled_plugins")),
                    entry("node_detail", "oss", FIXED),
                    entry("plugin_config", files.join(", "), "the files of this configuration"),
                ];
                if !conf.program.plugin_path.is_empty() {
                    entries.push(entry(
                        "plugin_path",
                        conf.program.plugin_path.join(", "),
                        from(DEFAULT, "plugin_path"),
                    ));
                }
                if let Some(python) = &conf.program.python {
                    entries.push(entry("python", python, from(DEFAULT, "python")));
                }
                entries
            }
        };
        for (option, list) in [
            ("events_creation", &conf.program.events_creation),
            ("events_deletion", &conf.program.events_deletion),
        ] {
            entries.push(entry(option, list.join(", "), from(DEFAULT, option)));
        }
        if conf.openstack.is_some() {
            entries.push(entry("ask", ASKED, "[openstack]"));
        }
        entries.push(entry("retry_max_age", "none", FIXED));
        entries.extend(conf.oss.iter().map(|(name, text)| entry(name, text, from(OSS, name))));
        sections.push(section(&format!("action:{}", plugin.action()), entries));
    }
    sections.extend(conf.openstack.iter().map(|openstack| section(CLOUD, cloud_entries(openstack, &from))));
    sections
}

fn cloud_entries(openstack: &OpenstackOptions, from: &dyn Fn(&str, &str) -> String) -> Vec<DocEntry> {
    let OpenstackOptions { auth_url, user, password, tenant } = openstack;
    let values =
        [("auth_url", auth_url), ("username", user), ("password", password), ("project_name", tenant)];
    let mut entries = vec![entry("kind", "server", FIXED)];
    entries
        .extend(values.map(|(option, text)| entry(option, text, from(OPENSTACK, openstack_option(option)))));
    entries
}

pub(super) fn openstack_option(option: &str) -> &str {
    match option {
        "username" => "user",
        "project_name" => "tenant",
        option => option,
    }
}

fn rest_entries(rest: &RestSection, from: &dyn Fn(&str, &str) -> String) -> Vec<DocEntry> {
    let url = |option: &str| format!("{}; host and port", from(REST, option));
    let mut entries = vec![
        entry("driver", "oss_rest", FIXED),
        entry("url_creation", &rest.url_creation, url("url_creation")),
        entry("url_deletion", &rest.url_deletion, url("url_deletion")),
        entry("user", &rest.own.user, from(REST, "user")),
        entry("password", &rest.own.password, from(REST, "password")),
        entry("body", &rest.own.body, from(REST, "body")),
        entry("timeout", &rest.own.timeout, from(REST, "timeout")),
        entry("verify", rest.own.verify.to_string(), from(REST, "verify")),
    ];
    if let Some(path) = &rest.own.ca_file {
        entries.push(entry("ca_file", path, from(REST, "ca_file")));
    }
    entries
}

fn pattern(conf: &Conf) -> String {
    let mut names: Vec<String> = Vec::new();
    let listed = conf.program.events_creation.iter().chain(&conf.program.events_deletion);
    for name in listed.cloned().chain(REMEMBERED.map(str::to_owned)) {
        let other = other_name(&name);
        for name in [Some(name), other].into_iter().flatten() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let escaped: Vec<String> = names.iter().map(|name| escape(name)).collect();
    format!("^(?:{})$", escaped.join("|"))
}

fn escape(name: &str) -> String {
    name.chars()
        .flat_map(|c| [(!c.is_alphanumeric() && c != '_').then_some('\\'), Some(c)])
        .flatten()
        .collect()
}

fn section(heading: &str, entries: Vec<DocEntry>) -> DocSection {
    DocSection { heading: heading.to_owned(), entries }
}

fn entry(option: &str, text: impl Into<String>, from: impl Into<String>) -> DocEntry {
    DocEntry { option: option.to_owned(), text: text.into(), from: from.into() }
}
