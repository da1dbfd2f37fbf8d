use osnl_config::sections::{Schema, SectionDef};
use osnl_config::{Kind, OptionDef};
use osnl_transport::FORMER_OPTIONS;

use osnl::native::journal::STORE;

pub(super) const DEFAULT: &str = "DEFAULT";
pub(super) const RABBIT: &str = "rabbit";
pub(super) const REST: &str = "rest";
pub(super) const OPENSTACK: &str = "openstack";
pub(super) const OSS: &str = "oss";
pub(super) const JOURNAL: &str = "journal";

pub(super) const OWN_PLUGIN: &str = "rest_plugin.RESTNotify";

const KEYS: Kind = Kind::Choice(&["documented", "flattened", "metadata"]);
const VALUES: Kind = Kind::Choice(&["original", "uniform"]);
const BODIES: Kind = Kind::Choice(&["json", "xml", "xml_unescaped"]);

pub(super) static SCHEMA: Schema = Schema::oslo(SECTIONS, &[]).with_former(FORMER_OPTIONS);

const SECTIONS: &[SectionDef] = &[
    SectionDef::new(DEFAULT, "The program itself.", DEFAULT_OPTIONS),
    SectionDef::new(RABBIT, "The broker.", RABBIT_OPTIONS),
    SectionDef::new(REST, "What the plug-in of the program calls.", REST_OPTIONS),
    SectionDef::new(OPENSTACK, "The cloud that is asked for what events leave out.", OPENSTACK_OPTIONS),
    SectionDef::new(OSS, "What is posted.", OSS_OPTIONS),
    SectionDef {
        defaults: &[("connection", "memory://")],
        ..SectionDef::new(JOURNAL, "What keeps messages until they are done.", STORE)
    },
];

// osnl's own options are marked. The program's plug-ins were part of its package.
#[rustfmt::skip]
static DEFAULT_OPTIONS: &[OptionDef] = &[
    OptionDef::new("enabled_plugins", "list", "The plug-ins that are called, in this order.").or(OWN_PLUGIN),
    OptionDef::new("log_file", "path", "The file of the log, beside standard error.").or("/var/log/oss.log"),
    OptionDef::new("events_creation", "list", "Event types that are allocations.").or("compute.instance.create.end,floatingip.update.end"),
    OptionDef::new("events_deletion", "list", "Event types that are releases.").or("compute.instance.delete.end,floatingip.update.end"),
    OptionDef::new("plugin_path", "list of absolute paths", "Own: folders with plug-ins."),
    OptionDef::new("python", "path", "Own: the interpreter."),
];

#[rustfmt::skip]
static RABBIT_OPTIONS: &[OptionDef] = &[
    OptionDef::new("host", "name", "The broker's host.").or("127.0.0.1"),
    OptionDef::typed("port", Kind::Integer, "Its port.").or("5672"),
    OptionDef::new("user", "name", "The user that logs in.").or("nova"),
    OptionDef::new("password", "text", "The password of the user.").or("password").secret(),
    OptionDef::new("watch_queue", "name", "The queue that is consumed.").or("notifications.info"),
    OptionDef::new("virtual_host", "name", "Own: the virtual host, which was always this one.").or("/"),
];

#[rustfmt::skip]
static REST_OPTIONS: &[OptionDef] = &[
    OptionDef::new("host", "URL", "The scheme and the host that is called.").or("127.0.0.1"),
    OptionDef::typed("port", Kind::Integer, "Its port.").or("80"),
    OptionDef::new("user", "name", "The user of basic authentication.").or("nova"),
    OptionDef::new("password", "text", "The password of the user.").or("password").secret(),
    OptionDef::new("url_creation", "path", "Where allocations are posted.").or("/"),
    OptionDef::new("url_deletion", "path", "Where releases are posted.").or("/"),
    OptionDef::typed("body", BODIES, "Own: the form of the body.").or("json"),
    OptionDef::typed("verify", Kind::Bool, "Own: whether the server's certificate is verified.").or("True"),
    OptionDef::new("ca_file", "path", "Own: a PEM file of the certificates to trust instead of the system's."),
    OptionDef::new("timeout", "duration", "Own: the time for one call.").or("30s"),
];

#[rustfmt::skip]
static OPENSTACK_OPTIONS: &[OptionDef] = &[
    OptionDef::new("auth_url", "URL", "Keystone.").or("http://localhost:5000/v2.0"),
    OptionDef::new("user", "name", "The user that logs in.").or("user"),
    OptionDef::new("password", "text", "The password of the user.").or("password").secret(),
    OptionDef::new("tenant", "name", "The project.").or("admin"),
];

#[rustfmt::skip]
pub(super) static OSS_OPTIONS: &[OptionDef] = &[
    OptionDef::typed("keys", KEYS, "The names of the keys.").or("documented"),
    OptionDef::typed("values", VALUES, "The form of the values.").or("original"),
    OptionDef::new("ip_type", "text", "The value of IPType.").or("Public"),
    OptionDef::new("datacenter", "text", "The value of Datacenter.").or("KDC"),
    OptionDef::new("security_domain", "text", "The value of SecurityDomain.").or("DQT"),
];
