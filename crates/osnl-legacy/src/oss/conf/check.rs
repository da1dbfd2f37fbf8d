//! Checks each option of an `oss.conf` once, and collects all errors.

use osnl_config::sections::{Findings, Layers, SectionReader};
use osnl_config::{Value, ValueOrigin, shown};
use osnl_net::http::Url;

use super::schema::{DEFAULT, JOURNAL, OPENSTACK, OSS, OSS_OPTIONS, OWN_PLUGIN, RABBIT, REST};
use super::{Conf, OpenstackSection, Plugin, RestSection};
use osnl::native::journal::STORE;
use osnl_actions::transport_url;

pub(super) struct OssChecker<'a> {
    pub(super) file: &'a str,
    pub(super) layers: &'a Layers,
    pub(super) findings: &'a mut Findings,
}

impl OssChecker<'_> {
    pub(super) fn conf(&mut self) -> Option<Conf> {
        // Each call reports the errors of its own options; a `None` ends the check only afterwards.
        let plugins = self.plugins();
        let log_file = self.log_file();
        let creation = self.list(DEFAULT, "events_creation");
        let deletion = self.list(DEFAULT, "events_deletion");
        let plugin_path = self.list(DEFAULT, "plugin_path");
        let python = self.text(DEFAULT, "python");
        let broker = self.broker();
        let watch_queue = self.name(RABBIT, "watch_queue");
        let rest = match plugins.as_ref().is_none_or(|plugins| plugins.contains(&Plugin::Rest)) {
            true => self.rest().map(Some),
            false => Some(None),
        };
        let mut kept: Vec<&str> = STORE.iter().map(|row| row.name).collect();
        kept.retain(|name| *name == "connection" || self.is_set(JOURNAL, name));
        let journal = kept.into_iter().filter_map(|name| Some((name, self.plain(JOURNAL, name)?))).collect();
        let oss = OSS_OPTIONS.iter().filter_map(|row| Some((row.name, self.text(OSS, row.name)?))).collect();
        let openstack = self.openstack();
        Some(Conf {
            plugins: plugins?,
            log_file: log_file?,
            events_creation: creation?,
            events_deletion: deletion?,
            plugin_path: plugin_path.unwrap_or_default(),
            python,
            transport_url: broker?,
            watch_queue: watch_queue?,
            rest: rest?,
            openstack: openstack?,
            oss,
            journal,
        })
    }

    fn plugins(&mut self) -> Option<Vec<Plugin>> {
        let mut plugins = Vec::new();
        for name in self.list(DEFAULT, "enabled_plugins")? {
            let word = |word: &str| {
                let mut chars = word.chars();
                chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
                    && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
            };
            if !name.contains('.') || !name.split('.').all(word) {
                let problem = format!("{} is not a class in a module", shown(&name));
                return self.refuse(
                    DEFAULT,
                    "enabled_plugins",
                    &problem,
                    "write module.Class, such as rest_plugin.RESTNotify",
                );
            }
            let plugin = if name == OWN_PLUGIN { Plugin::Rest } else { Plugin::Python(name.clone()) };
            if plugins.contains(&plugin) {
                let problem = format!("{name} is listed twice, and is called once");
                self.warn(DEFAULT, "enabled_plugins", &problem, "remove one of the two");
            } else {
                plugins.push(plugin);
            }
        }
        match plugins.is_empty() {
            true => self.refuse(
                DEFAULT,
                "enabled_plugins",
                "is empty",
                &format!("write {OWN_PLUGIN}, or remove the line"),
            ),
            false => Some(plugins),
        }
    }

    fn log_file(&mut self) -> Option<String> {
        let path = self.text(DEFAULT, "log_file")?;
        match path.is_empty() {
            true => {
                self.refuse(DEFAULT, "log_file", "is empty", "write the path of a file, or remove the line")
            }
            false => Some(path),
        }
    }

    fn broker(&mut self) -> Option<String> {
        let host = self.name(RABBIT, "host");
        let port = self.port(RABBIT);
        let (user, password) = (self.text(RABBIT, "user"), self.text(RABBIT, "password"));
        let vhost = self.text(RABBIT, "virtual_host");
        let (host, port, user, password, vhost) = (host?, port?, user?, password?, vhost?);
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
        let vhost = if vhost == "/" { String::new() } else { encoded(&vhost) };
        let url = format!("rabbit://{}:{}@{host}:{port}/{vhost}", encoded(&user), encoded(&password));
        match transport_url::check(&url) {
            Ok(_) => Some(url),
            Err(_) => self.refuse(
                RABBIT,
                "host",
                "is not a host name or an address",
                "write the broker's name alone",
            ),
        }
    }

    fn rest(&mut self) -> Option<RestSection> {
        let (host, port) = (self.name(REST, "host"), self.port(REST));
        let (user, password) = (self.text(REST, "user"), self.text(REST, "password"));
        let mut host = host.unwrap_or_else(|| "http://host".to_owned());
        if !host.contains("://") {
            let problem = "has no scheme, http:// is used";
            self.warn(
                REST,
                "host",
                problem,
                "write https://host (without one the program could not call it)",
            );
            host = format!("http://{host}");
        }
        let origin = format!("{}:{}", host.trim_end_matches('/'), port?);
        if let Err(error) = Url::parse(&origin) {
            return self.refuse(
                REST,
                "host",
                error.problem,
                "write https://host; the port and the path have options of their own",
            );
        }
        let creation = self.url("url_creation", &origin);
        let deletion = self.url("url_deletion", &origin);
        let user = user?;
        if user.contains(':') {
            return self.refuse(REST, "user", "holds a colon", "a name for basic authentication has none");
        }
        let timeout = self.text(REST, "timeout").and_then(|text| match osnl_config::duration::parse(&text) {
            Some(timeout) if !timeout.is_zero() => Some(text),
            Some(_) | None => {
                let problem = format!("{} is not a duration", shown(&text));
                self.refuse(REST, "timeout", &problem, "write 30, 30s or 5m")
            }
        });
        if self.text(REST, "body").as_deref() == Some("xml_unescaped") {
            let problem = "a user who can write metadata can write any XML into the body";
            self.warn(REST, "body", problem, "xml escapes < and &, and is safe");
        }
        let verify = self.value(REST, "verify")? != Some(Value::Bool(false));
        Some(RestSection {
            url_creation: creation?,
            url_deletion: deletion?,
            user,
            password: password?,
            body: self.text(REST, "body")?,
            verify,
            ca_file: self.text(REST, "ca_file"),
            timeout: timeout?,
        })
    }

    /// Returns `Some(None)` if no option of the group is set: no operator has chosen the default
    /// cloud on this machine.
    fn openstack(&mut self) -> Option<Option<OpenstackSection>> {
        let names = ["auth_url", "user", "password", "tenant"];
        if !names.into_iter().any(|name| self.is_set(OPENSTACK, name)) {
            return Some(None);
        }
        let [auth_url, user, password, tenant] = names.map(|name| self.text(OPENSTACK, name));
        Some(Some(OpenstackSection {
            auth_url: auth_url?,
            user: user?,
            password: password?,
            tenant: tenant?,
        }))
    }

    fn url(&mut self, option: &str, origin: &str) -> Option<String> {
        let mut path = self.text(REST, option)?;
        if !path.starts_with('/') {
            self.warn(REST, option, "does not begin with /, which is put before it", "write /path");
            path.insert(0, '/');
        }
        match Url::parse(&format!("{origin}{path}")) {
            Ok(url) => Some(url.to_string()),
            Err(error) => self.refuse(REST, option, error.problem, error.allowed),
        }
    }

    fn port(&mut self, group: &str) -> Option<u16> {
        let number = self.value(group, "port")?.and_then(|value| value.as_integer()).unwrap_or_default();
        match u16::try_from(number) {
            Ok(port) if port > 0 => Some(port),
            Ok(_) | Err(_) => {
                self.refuse(group, "port", &format!("{number} is out of range"), "allowed: 1 to 65535")
            }
        }
    }

    fn name(&mut self, group: &str, option: &str) -> Option<String> {
        let text = self.text(group, option)?;
        match text.trim() {
            "" => self.refuse(group, option, "is empty", "write a name, or remove the line"),
            name => Some(name.to_owned()),
        }
    }

    fn list(&mut self, group: &str, option: &str) -> Option<Vec<String>> {
        let text = self.text(group, option)?;
        Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }

    fn text(&mut self, group: &str, option: &str) -> Option<String> {
        self.value(group, option)?.and_then(Value::into_text)
    }

    fn value(&mut self, group: &str, option: &str) -> Option<Option<Value>> {
        self.reader(group)?.value(option)
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

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
