use osnl_config::sections::{Schema, SectionDef};
use osnl_config::{Kind, Options as _, ReadBySection, options};
use osnl_transport::FORMER_OPTIONS;

use super::Plugin;
use super::check::{items, log_file, name, plugins, port, timeout, user};
use osnl::native::journal;

pub(super) const DEFAULT: &str = "DEFAULT";
pub(super) const RABBIT: &str = "rabbit";
pub(super) const REST: &str = "rest";
pub(super) const OPENSTACK: &str = "openstack";
pub(super) const OSS: &str = "oss";
pub(super) const JOURNAL: &str = "journal";

pub(super) const OWN_PLUGIN: &str = "rest_plugin.RESTNotify";

const KEYS: Kind = Kind::Choice(&["documented", "flattened", "metadata"]);
const BODIES: Kind = Kind::Choice(&["json", "xml"]);

pub(super) static SCHEMA: Schema = Schema::oslo(SECTIONS, &[]).with_former(FORMER_OPTIONS);

const SECTIONS: &[SectionDef] = &[
    SectionDef::new(DEFAULT, "The program itself.", ProgramOptions::OPTIONS),
    SectionDef::new(RABBIT, "The broker.", BrokerOptions::OPTIONS),
    SectionDef::new(REST, "What the plug-in of the program calls.", RestOptions::OPTIONS),
    SectionDef::new(
        OPENSTACK,
        "The cloud that is asked for what events leave out.",
        OpenstackOptions::OPTIONS,
    ),
    SectionDef::new(OSS, "What is posted.", NodeOptions::OPTIONS),
    SectionDef {
        defaults: &[("connection", "memory://")],
        ..journal::section("What keeps messages until they are done.")
    },
];

// osnl's own options are marked. The program's plug-ins were part of its package.
options! {
    #[derive(Clone)]
    pub struct ProgramOptions {
        enabled_plugins: Vec<Plugin> as plugins = OWN_PLUGIN, written("list") => "The plug-ins that are called, in this order.";
        log_file: String as log_file = "/var/log/oss.log", written("path") => "The file of the log, beside standard error.";
        events_creation: Vec<String> as items = "compute.instance.create.end,floatingip.update.end", written("list") => "Event types that are allocations.";
        events_deletion: Vec<String> as items = "compute.instance.delete.end,floatingip.update.end", written("list") => "Event types that are releases.";
        plugin_path: Vec<String> as items, written("list of absolute paths") => "Own: folders with plug-ins.";
        python: Option<String>, written("path") => "Own: the interpreter.";
    }
}

options! {
    pub(super) struct BrokerOptions {
        host: String as name = "127.0.0.1", written("name") => "The broker's host.";
        port: u16 as port = "5672", kind(Kind::Integer) => "Its port.";
        user: String = "nova", written("name") => "The user that logs in.";
        password: String = "password", secret => "The password of the user.";
        watch_queue: String as name = "notifications.info", written("name") => "The queue that is consumed.";
        virtual_host: String = "/", written("name") => "Own: the virtual host, which was always this one.";
    }
}

options! {
    #[derive(Clone)]
    pub(super) struct RestOptions {
        host: String as name = "127.0.0.1", written("URL") => "The scheme and the host that is called.";
        port: u16 as port = "80", kind(Kind::Integer) => "Its port.";
        user: String as user = "nova", written("name") => "The user of basic authentication.";
        password: String = "password", secret => "The password of the user.";
        url_creation: String = "/", written("path") => "Where allocations are posted.";
        url_deletion: String = "/", written("path") => "Where releases are posted.";
        body: String = "json", kind(BODIES) => "Own: the form of the body.";
        verify: bool = "True" => "Own: whether the server's certificate is verified.";
        ca_file: Option<String>, written("path") => "Own: a PEM file of the certificates to trust instead of the system's.";
        timeout: String as timeout = "30s", written("duration") => "Own: the time for one call.";
    }
}

options! {
    #[derive(Clone)]
    pub(super) struct OpenstackOptions {
        auth_url: String = "http://localhost:5000/v2.0", written("URL") => "Keystone.";
        user: String = "user", written("name") => "The user that logs in.";
        password: String = "password", secret => "The password of the user.";
        tenant: String = "admin", written("name") => "The project.";
    }
}

options! {
    #[derive(Clone)]
    pub(super) struct NodeOptions {
        keys: ReadBySection = "documented", kind(KEYS) => "The names of the keys.";
        ip_type: ReadBySection = "Public" => "The value of IPType.";
        datacenter: ReadBySection = "KDC" => "The value of Datacenter.";
        security_domain: ReadBySection = "DQT" => "The value of SecurityDomain.";
    }
}
