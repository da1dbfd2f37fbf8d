//! Checks each option of an `oss.conf` once, and collects all errors.

use std::net::Ipv6Addr;

use osnl_config::OptionValue;
use osnl_config::sections::{Findings, Layers, SectionReader};
use osnl_config::{OptionDef, Options as _, ValueOrigin, shown};
use osnl_net::http::Url;

use super::schema::{
    BrokerOptions, DEFAULT, JOURNAL, NodeOptions, OPENSTACK, OSS, OWN_PLUGIN, OpenstackOptions,
    ProgramOptions, RABBIT, REST, RestOptions,
};
use super::{Conf, Plugin, RestSection};
use osnl_actions::transport_url;
use osnl_transport::RabbitOptions;

const NO_TLS: &str = "this form has no TLS: write the native form with osnl config show --show-secrets --oss-watcher FILE, \
                      and set tls = verify and the broker's port with TLS in its listener";

pub(super) struct OssChecker<'a> {
    pub(super) file: &'a str,
    pub(super) layers: &'a Layers,
    pub(super) findings: &'a mut Findings,
}

impl OssChecker<'_> {
    pub(super) fn conf(&mut self) -> Option<Conf> {
        // Each call reports the errors of its own options; a `None` ends the check only afterwards.
        let program = ProgramOptions::read(&mut self.reader(DEFAULT)?);
        if program
            .as_ref()
            .is_some_and(|own| own.events_creation.is_empty() && own.events_deletion.is_empty())
        {
            let problem = "is empty, and so is events_deletion";
            self.refuse::<()>(DEFAULT, "events_creation", problem, "name the events of one of the two");
        }
        let broker = BrokerOptions::read(&mut self.reader(RABBIT)?);
        let place = broker.as_ref().and_then(|broker| self.broker(broker));
        let rest = match program.as_ref().is_none_or(|own| own.enabled_plugins.contains(&Plugin::Rest)) {
            true => self.rest().map(Some),
            false => Some(None),
        };
        let section = self.layers.unnamed(JOURNAL)?;
        let mut kept: Vec<&str> = section.def.all_options().map(|option| option.row.name).collect();
        kept.retain(|name| *name == "connection" || self.is_set(JOURNAL, name));
        let journal = kept.into_iter().filter_map(|name| Some((name, self.plain(JOURNAL, name)?))).collect();
        let forms = NodeOptions::OPTIONS.iter();
        let oss = forms.filter_map(|row| Some((row.name, self.reader(OSS)?.text(row.name)?))).collect();
        let openstack = self.openstack();
        Some(Conf {
            program: program?,
            transport_url: place?,
            watch_queue: broker?.watch_queue,
            rest: rest?,
            openstack: openstack?,
            oss,
            journal,
        })
    }

    fn broker(&mut self, own: &BrokerOptions) -> Option<String> {
        let BrokerOptions { host, port, user, password, virtual_host: vhost, .. } = own;
        let host =
            if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.clone() };
        let vhost = if vhost == "/" { String::new() } else { encoded(vhost) };
        let url = format!("rabbit://{}:{}@{host}:{port}/{vhost}", encoded(user), encoded(password));
        // A URL reads a comma, a slash, or an @ as the end of the name.
        match transport_url::check(&url) {
            Ok(checked) if is_host(&host) => {
                for login in RabbitOptions::default().logins(&checked, NO_TLS) {
                    if let Some((problem, remedy)) = login.finding() {
                        self.warn(RABBIT, "host", &problem, remedy);
                    }
                }
                Some(url)
            }
            Ok(_) | Err(_) => self.refuse(
                RABBIT,
                "host",
                "is not a host name or an address",
                "write the broker's name alone",
            ),
        }
    }

    fn rest(&mut self) -> Option<RestSection> {
        let mut reader = self.reader(REST)?;
        let own = RestOptions::read(&mut reader);
        let mut host: String = OptionValue::valid(&reader, "host")?;
        let port = own.as_ref().map_or(80, |own| own.port);
        let paths =
            ["url_creation", "url_deletion"].map(|option| Some((option, String::valid(&reader, option)?)));
        if !host.contains("://") {
            let problem = "has no scheme, http:// is used";
            self.warn(
                REST,
                "host",
                problem,
                "write https://host, and the port with TLS into port (without a scheme the program could not call it)",
            );
            host = format!("http://{host}");
        }
        let origin = format!("{}:{port}", host.trim_end_matches('/'));
        let has_path = origin.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?']));
        let refused = Url::parse(&origin).err().map(|error| error.problem);
        if let Some(problem) = refused.or(has_path.then_some("has a path")) {
            return self.refuse(
                REST,
                "host",
                problem,
                "write https://host; the port and the path have options of their own",
            );
        }
        let [creation, deletion] =
            paths.map(|path| path.and_then(|(option, path)| self.url(option, path, &origin)));
        let own = own?;
        if !self.is_set(REST, "body") {
            let problem = "is not set, so the target gets JSON, and not the XML of oss_watcher";
            self.warn(REST, "body", problem, "set json or xml, as the target reads it");
        }
        Some(RestSection { url_creation: creation?, url_deletion: deletion?, own })
    }

    /// Returns `Some(None)` if no option of the group is set: no operator has chosen the default
    /// cloud on this machine.
    fn openstack(&mut self) -> Option<Option<OpenstackOptions>> {
        if !OpenstackOptions::OPTIONS.iter().any(|option| self.is_set(OPENSTACK, option.name)) {
            return Some(None);
        }
        OpenstackOptions::read(&mut self.reader(OPENSTACK)?).map(Some)
    }

    fn url(&mut self, option: &str, mut path: String, origin: &str) -> Option<String> {
        if !path.starts_with('/') {
            self.warn(REST, option, "does not begin with /, which is put before it", "write /path");
            path.insert(0, '/');
        }
        match Url::parse(&format!("{origin}{path}")) {
            Ok(url) => Some(url.to_string()),
            Err(error) => self.refuse(REST, option, error.problem, error.allowed),
        }
    }

    fn plain(&mut self, group: &str, option: &str) -> Option<String> {
        match self.layers.resolve(self.layers.unnamed(group)?, option) {
            Ok(text) => text,
            Err(refusal) => self.reader(group)?.refused(option, refusal),
        }
    }

    fn is_set(&self, group: &str, option: &str) -> bool {
        self.layers.origin(group, option) != ValueOrigin::Default
    }

    fn refuse<T>(&mut self, group: &str, option: &str, problem: &str, allowed: &str) -> Option<T> {
        self.reader(group)?.refuse(option, problem, allowed)
    }

    fn warn(&mut self, group: &str, option: &str, problem: &str, allowed: &str) {
        if let Some(mut reader) = self.reader(group) {
            reader.warn(option, problem, allowed);
        }
    }

    fn reader(&mut self, group: &str) -> Option<SectionReader<'_>> {
        let section = self.layers.unnamed(group)?;
        Some(SectionReader { file: self.file, layers: self.layers, section, findings: self.findings })
    }
}

fn is_host(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match address.and_then(|address| address.split('%').next()) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_')),
    }
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

pub(super) fn plugins(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Vec<Plugin>> {
    let mut plugins = Vec::new();
    for name in items(reader, option)? {
        let word = |word: &str| {
            let mut chars = word.chars();
            chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
                && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if !name.contains('.') || !name.split('.').all(word) {
            let problem = format!("{} is not a class in a module", shown(&name));
            let allowed = "write module.Class, such as rest_plugin.RESTNotify";
            return reader.refuse(option.name, &problem, allowed);
        }
        let plugin = if name == OWN_PLUGIN { Plugin::Rest } else { Plugin::Python(name.clone()) };
        if plugins.contains(&plugin) {
            let problem = format!("{name} is listed twice, and is called once");
            reader.warn(option.name, &problem, "remove one of the two");
        } else {
            plugins.push(plugin);
        }
    }
    match plugins.is_empty() {
        true => reader.refuse(option.name, "is empty", &format!("write {OWN_PLUGIN}, or remove the line")),
        false => Some(plugins),
    }
}

pub(super) fn log_file(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<String> {
    let path = reader.text(option.name)?;
    match path.is_empty() {
        true => reader.refuse(option.name, "is empty", "write the path of a file, or remove the line"),
        false => Some(path),
    }
}

pub(super) fn name(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<String> {
    let text = reader.text(option.name)?;
    match text.trim() {
        "" => reader.refuse(option.name, "is empty", "write a name, or remove the line"),
        name => Some(name.to_owned()),
    }
}

/// Refuses a blank number, which oslo.config takes for the default.
pub(super) fn port(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<u16> {
    let number = reader.value(option.name)?.and_then(|value| value.as_integer()).unwrap_or_default();
    match u16::try_from(number) {
        Ok(port) if port > 0 => Some(port),
        Ok(_) | Err(_) => {
            reader.refuse(option.name, &format!("{number} is out of range"), "allowed: 1 to 65535")
        }
    }
}

pub(super) fn items(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Vec<String>> {
    if option.default.is_none() && !reader.is_set(option.name) {
        return Some(Vec::new());
    }
    let text = reader.text(option.name)?;
    Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
}

pub(super) fn user(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<String> {
    let user = reader.text(option.name)?;
    match user.contains(':') {
        true => reader.refuse(option.name, "holds a colon", "a name for basic authentication has none"),
        false => Some(user),
    }
}

pub(super) fn timeout(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<String> {
    let text = reader.text(option.name)?;
    match osnl_config::duration::parse(&text) {
        Some(timeout) if !timeout.is_zero() => Some(text),
        Some(_) | None => {
            let problem = format!("{} is not a duration", shown(&text));
            reader.refuse(option.name, &problem, "write 30, 30s or 5m")
        }
    }
}
