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
    OptionDef::new(DEFAULT, "enabled_plugins", Kind::Text, Some(OWN_PLUGIN)),
    OptionDef::new(DEFAULT, "log_file", Kind::Text, Some("/var/log/oss.log")),
    OptionDef::new(
        DEFAULT,
        "events_creation",
        Kind::Text,
        Some("compute.instance.create.end,floatingip.update.end"),
    ),
    OptionDef::new(
        DEFAULT,
        "events_deletion",
        Kind::Text,
        Some("compute.instance.delete.end,floatingip.update.end"),
    ),
    // osnl's own, as are those marked so below: the program's plug-ins stood in its own package.
    OptionDef::new(DEFAULT, "plugin_path", Kind::Text, None),
    OptionDef::new(DEFAULT, "python", Kind::Text, None),
    OptionDef::new(RABBIT, "host", Kind::Text, Some("127.0.0.1")),
    OptionDef::new(RABBIT, "port", Kind::Integer, Some("5672")),
    OptionDef::new(RABBIT, "user", Kind::Text, Some("nova")),
    OptionDef::new(RABBIT, "password", Kind::Text, Some("password")).secret(),
    OptionDef::new(RABBIT, "watch_queue", Kind::Text, Some("notifications.info")),
    // Own: the program's was always this.
    OptionDef::new(RABBIT, "virtual_host", Kind::Text, Some("/")),
    OptionDef::new(REST, "host", Kind::Text, Some("127.0.0.1")),
    OptionDef::new(REST, "port", Kind::Integer, Some("80")),
    OptionDef::new(REST, "user", Kind::Text, Some("nova")),
    OptionDef::new(REST, "password", Kind::Text, Some("password")).secret(),
    OptionDef::new(REST, "url_creation", Kind::Text, Some("/")),
    OptionDef::new(REST, "url_deletion", Kind::Text, Some("/")),
    // Own.
    OptionDef::new(REST, "body", BODIES, Some("json")),
    OptionDef::new(REST, "verify", Kind::Bool, Some("True")),
    OptionDef::new(REST, "ca_file", Kind::Text, None),
    OptionDef::new(REST, "timeout", Kind::Text, Some("30s")),
    OptionDef::new(OPENSTACK, "auth_url", Kind::Text, Some("http://localhost:5000/v2.0")),
    OptionDef::new(OPENSTACK, "user", Kind::Text, Some("user")),
    OptionDef::new(OPENSTACK, "password", Kind::Text, Some("password")).secret(),
    OptionDef::new(OPENSTACK, "tenant", Kind::Text, Some("admin")),
    // Own: what stood in the code.
    OptionDef::new(OSS, "keys", KEYS, Some("documented")),
    OptionDef::new(OSS, "values", VALUES, Some("original")),
    OptionDef::new(OSS, "ip_type", Kind::Text, Some("Public")),
    OptionDef::new(OSS, "datacenter", Kind::Text, Some("KDC")),
    OptionDef::new(OSS, "security_domain", Kind::Text, Some("DQT")),
    // Own: the program kept no state.
    OptionDef::new(JOURNAL, "connection", Kind::Text, Some("memory://")),
    OptionDef::new(JOURNAL, "retention", Kind::Text, None),
    OptionDef::new(JOURNAL, "max_size", Kind::Text, None),
    OptionDef::new(JOURNAL, "max_pending", Kind::Text, None),
    OptionDef::new(JOURNAL, "max_dead", Kind::Text, None),
    OptionDef::new(JOURNAL, "allow_volatile", Kind::Text, None),
];
