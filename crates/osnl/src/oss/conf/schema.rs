//! Every option an `oss.conf` may set: the names, types and defaults that the program registers in its code, plus osnl's own.

use osnl_config::{Kind, OptionDef, Schema};

pub(super) const DEFAULT: &str = "DEFAULT";
pub(super) const RABBIT: &str = "rabbit";
pub(super) const REST: &str = "rest";
pub(super) const OPENSTACK: &str = "openstack";
pub(super) const OSS: &str = "oss";
pub(super) const JOURNAL: &str = "journal";

/// The plug-in that the program brings.
pub(super) const OWN_PLUGIN: &str = "rest_plugin.RESTNotify";

pub(super) static SCHEMA: Schema = Schema { options: OPTIONS, unapplied: &[] };

const KEYS: Kind = Kind::Choice(&["documented", "flattened", "metadata"]);
const VALUES: Kind = Kind::Choice(&["original", "uniform"]);
const BODIES: Kind = Kind::Choice(&["json", "xml", "xml_unescaped"]);

const OPTIONS: &[OptionDef] = &[
    option(DEFAULT, "enabled_plugins", Kind::Text, Some(OWN_PLUGIN)),
    option(DEFAULT, "log_file", Kind::Text, Some("/var/log/oss.log")),
    option(DEFAULT, "events_creation", Kind::Text, Some("compute.instance.create.end,floatingip.update.end")),
    option(DEFAULT, "events_deletion", Kind::Text, Some("compute.instance.delete.end,floatingip.update.end")),
    // osnl's own, as are those marked so below: the program's plug-ins stood in its own package.
    option(DEFAULT, "plugin_path", Kind::Text, None),
    option(DEFAULT, "python", Kind::Text, None),
    option(RABBIT, "host", Kind::Text, Some("127.0.0.1")),
    option(RABBIT, "port", Kind::Integer, Some("5672")),
    option(RABBIT, "user", Kind::Text, Some("nova")),
    secret(RABBIT, "password", Some("password")),
    option(RABBIT, "watch_queue", Kind::Text, Some("notifications.info")),
    // Own: the program's was always this.
    option(RABBIT, "virtual_host", Kind::Text, Some("/")),
    option(REST, "host", Kind::Text, Some("127.0.0.1")),
    option(REST, "port", Kind::Integer, Some("80")),
    option(REST, "user", Kind::Text, Some("nova")),
    secret(REST, "password", Some("password")),
    option(REST, "url_creation", Kind::Text, Some("/")),
    option(REST, "url_deletion", Kind::Text, Some("/")),
    // Own.
    option(REST, "body", BODIES, Some("json")),
    option(REST, "verify", Kind::Bool, Some("True")),
    option(REST, "ca_file", Kind::Text, None),
    option(REST, "timeout", Kind::Text, Some("30s")),
    option(OPENSTACK, "auth_url", Kind::Text, Some("http://localhost:5000/v2.0")),
    option(OPENSTACK, "user", Kind::Text, Some("user")),
    secret(OPENSTACK, "password", Some("password")),
    option(OPENSTACK, "tenant", Kind::Text, Some("admin")),
    // Own: what stood in the code.
    option(OSS, "keys", KEYS, Some("documented")),
    option(OSS, "values", VALUES, Some("original")),
    option(OSS, "ip_type", Kind::Text, Some("Public")),
    option(OSS, "datacenter", Kind::Text, Some("KDC")),
    option(OSS, "security_domain", Kind::Text, Some("DQT")),
    // Own: the program kept no state.
    option(JOURNAL, "connection", Kind::Text, Some("memory://")),
    option(JOURNAL, "retention", Kind::Text, None),
    option(JOURNAL, "max_size", Kind::Text, None),
    option(JOURNAL, "max_pending", Kind::Text, None),
    option(JOURNAL, "max_dead", Kind::Text, None),
    option(JOURNAL, "allow_volatile", Kind::Text, None),
];

const fn option(
    group: &'static str,
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
) -> OptionDef {
    OptionDef { group, name, kind, default, secret: false }
}

const fn secret(group: &'static str, name: &'static str, default: Option<&'static str>) -> OptionDef {
    OptionDef { group, name, kind: Kind::Text, default, secret: true }
}
