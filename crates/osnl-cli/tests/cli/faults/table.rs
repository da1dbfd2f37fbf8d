use osnl_testkit::Reply;

use super::{Fault, Part};

type Edits = &'static [(&'static str, &'static str)];
type Silent = &'static [(&'static str, &'static str)];

const NO_CONNECTION: (&str, &str) = ("check", "it makes no connection");
const BROKER: Silent = &[NO_CONNECTION];
const TARGET: Silent = &[NO_CONNECTION, ("check --connect", "the request has an effect, and is not sent")];
const SAME: (&str, &str) = ("check --connect", "it says what check says");
const UNMATCHED: Silent = &[
    SAME,
    ("status", "osnl explain --unmatched tells why an event matched no rule"),
    ("log", "osnl explain --unmatched tells why an event matched no rule"),
];
const DEAD: [&str; 2] = ["dead letter", "given up"];

fn fault(area: &'static str, name: &'static str, edits: Edits, shows: [&'static str; 2]) -> Fault {
    Fault { area, name, edits, part: Part::AsUsual, events: 0, shows, silent: BROKER }
}

fn broker(area: &'static str, name: &'static str, edits: Edits) -> Fault {
    fault(area, name, edits, [": not connected", "tries again until"])
}

fn event(area: &'static str, name: &'static str, edits: Edits) -> Fault {
    Fault { events: 1, ..fault(area, name, edits, ["! ", "WARN"]) }
}

fn template(name: &'static str, edits: Edits) -> Fault {
    Fault { shows: DEAD, silent: &[SAME], ..event("template", name, edits) }
}

pub(super) fn all() -> Vec<Fault> {
    [broker_faults(), queue_faults(), target_faults(), disk_faults(), template_faults(), cloud_faults()]
        .into_iter()
        .flatten()
        .collect()
}

fn broker_faults() -> Vec<Fault> {
    let certificate: Edits =
        &[("= URL", "= rabbit://guest:guest@SECURE/VHOST\ntls = verify\nssl_ca_file = OTHERCA")];
    vec![
        broker("credentials", "wrong password", &[("= URL", "= rabbit://guest:wrong@BROKER/VHOST")]),
        broker("credentials", "the user lacks permissions", &[("= URL", "= NARROW")]),
        broker("broker", "missing virtual host", &[("= URL", "= rabbit://guest:guest@BROKER/nowhere")]),
        broker("broker", "nothing listens", &[("= URL", "= rabbit://guest:guest@127.0.0.1:CLOSED/VHOST")]),
        broker(
            "broker",
            "unknown host",
            &[("= URL", "= rabbit://guest:guest@no-such-host.invalid:5672/VHOST")],
        ),
        broker("broker", "TLS to a port without", &[("= URL", "= URL?ssl=1&ssl_ca_file=OTHERCA")]),
        broker("broker", "a certificate of another authority", certificate),
        broker("broker", "another service at its port", &[("= URL", "= rabbit://guest:guest@ADDRESS/VHOST")]),
    ]
}

fn queue_faults() -> Vec<Fault> {
    const USUAL: &str = "exchange = neutron\ndeclare = create";
    // The last of its two warnings.
    let exchange = ["does not exist yet", "needs attention"];
    vec![
        Fault { silent: &[], ..fault("queue", "missing exchange", &[(USUAL, "exchange = nova")], exchange) },
        fault(
            "queue",
            "missing queue",
            &[("exchange = neutron\ndeclare = create\npool = osnl", "queue = none")],
            [": not connected", "looks for the missing"],
        ),
        Fault {
            part: Part::QueueOfOthers,
            ..fault(
                "queue",
                "made with other arguments",
                &[],
                ["was declared with other settings", "osnl uses it as it is"],
            )
        },
        Fault {
            part: Part::SecondReader,
            events: 6,
            ..fault("queue", "another reader", &[], ["not this daemon's", "take a share"])
        },
    ]
}

fn target_faults() -> Vec<Fault> {
    const URL: &str = "url = TARGET/hook";
    let path = Part::Target(Reply::Status(404));
    vec![
        event("target", "nothing listens", &[(URL, "url = http://127.0.0.1:CLOSED/hook")]),
        Fault {
            part: Part::Target(Reply::Status(500)),
            shows: ["fails for", "WARN"],
            silent: TARGET,
            ..event("target", "500 for a resource", &[])
        },
        Fault {
            part: Part::Target(Reply::Status(401)),
            shows: DEAD,
            silent: TARGET,
            ..event("credentials", "the target wants a login", &[])
        },
        Fault { part: path, shows: DEAD, silent: TARGET, ..event("target", "wrong path", &[]) },
        Fault {
            part: Part::Target(Reply::Hang),
            shows: ["fails for", "WARN"],
            silent: TARGET,
            ..event("target", "no answer", &[("max_attempts", "timeout = 1s\nmax_attempts")])
        },
        event(
            "target",
            "a certificate of another authority",
            &[(URL, "url = https://localhost:TLSPORT/hook")],
        ),
        event(
            "clock",
            "a certificate that is not valid yet",
            &[(URL, "url = https://localhost:NOTYET/hook\nca_file = CAFILE")],
        ),
    ]
}

fn disk_faults() -> Vec<Fault> {
    vec![
        Fault {
            silent: &[],
            ..fault(
                "disk",
                "no state directory",
                &[("HOME/state", "HOME/a.conf/state")],
                ["", "a.conf/state"],
            )
        },
        Fault {
            part: Part::SecondDaemon,
            silent: &[
                NO_CONNECTION,
                ("check --connect", "it is this configuration's own daemon"),
                ("status", "the daemon that has the journal answers"),
            ],
            ..fault("disk", "another process has the journal", &[], ["all is well", "process"])
        },
        Fault {
            part: Part::Target(Reply::Status(503)),
            events: 40,
            shows: ["the journal is full", "the journal is full"],
            silent: &[NO_CONNECTION, ("check --connect", "the file is not there yet, and its disk has room")],
            ..event(
                "disk",
                "the journal is full",
                &[("allow_volatile = yes", "allow_volatile = yes\nmax_size = 16MiB")],
            )
        },
    ]
}

fn template_faults() -> Vec<Fault> {
    const ID: &str = "{\"id\": \"{{ payload.port.id }}\"}";
    const NEVER: Edits = &[("actions = hook", "when = payload.port.device_id == 7\nactions = hook")];
    vec![
        template("a body that is never JSON", &[(ID, "{'id': '{{ payload.port.id }}'}")]),
        template("a field that events lack", &[("payload.port.id", "payload.port.uuid")]),
        template("an option that is part of the body", &[("max_attempts", "  max_attempts")]),
        Fault {
            shows: ["all is well", ""],
            silent: UNMATCHED,
            ..template("a condition that never holds", NEVER)
        },
        Fault {
            shows: ["all is well", ""],
            silent: UNMATCHED,
            ..template("an event type that nothing sends", &[("^port\\.delete\\.end$", "delete")])
        },
    ]
}

fn cloud_faults() -> Vec<Fault> {
    const ENRICHED: Edits = &[
        ("payload.port.id", "net.name"),
        ("retry_interval = 1s\n", "retry_interval = 1s\nenrich = net\n[enrich:net]\nkind = port\nCLOUD\n"),
    ];
    let reply = |status, kind: &str, body: &str| Reply::StatusWith {
        status,
        headers: vec![("Content-Type".to_owned(), kind.to_owned())],
        body: body.as_bytes().to_vec(),
    };
    let page = reply(404, "text/html", "<html><title>404 Not Found</title></html>");
    let refused = r#"{"NeutronError": {"message": "rule:get_port is disallowed by policy"}}"#;
    let refused = reply(403, "application/json", refused);
    let cloud = |name, part| Fault {
        part,
        shows: ["deliveries that need", "is down"],
        ..event("cloud", name, ENRICHED)
    };
    vec![
        cloud("Keystone is away", Part::NoCloud),
        cloud("another server at the catalogue's URL", Part::Cloud("/network/", page)),
        Fault { shows: DEAD, ..cloud("the role may not read", Part::Cloud("/network/", refused)) },
    ]
}
