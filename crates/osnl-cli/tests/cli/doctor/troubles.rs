use osnl_testkit::{BrokerObjects, OsloListener, OsloPublisher, PublisherOptions, Vhost, wait_until};
use serde_json::json;

use super::Mend::{Follow, Run};
use super::Trouble;
use super::stage::{DRIVER, Stage, USUAL};
use crate::harness::SOON;

fn exchange(name: &str) -> BrokerObjects {
    BrokerObjects { exchange: name.to_owned(), durable: false, ..BrokerObjects::default() }
}

fn queue(exchange: &str, keys: &[&str]) -> BrokerObjects {
    BrokerObjects {
        exchange: exchange.to_owned(),
        queue: "osnl".to_owned(),
        routing_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        arguments: json!({"x-single-active-consumer": true}),
        ..BrokerObjects::default()
    }
}

fn nothing(_: &mut Stage) {}

fn nova(stage: &mut Stage) {
    stage.publish("nova");
}

fn notify(stage: &mut Stage) {
    stage.notify("nova");
}

/// RPC alone makes the exchange.
fn rpc(stage: &mut Stage) {
    stage.make(&exchange("nova"));
    stage.notify("nova");
}

fn usual(stage: &mut Stage) {
    stage.configure(USUAL);
}

fn lossy(stage: &mut Stage, set: fn(&Vhost, &str, &str, &str), definition: &str) {
    if stage.vhost.list_queues().is_empty() {
        stage.make(&queue("", &[]));
    }
    set(&stage.vhost, "p", "^osnl$", definition);
}

fn elsewhere(stage: &mut Stage) {
    OsloPublisher::start(&stage.other.url(), PublisherOptions::default()).prepare(&exchange("nova"));
}

fn filled(stage: &mut Stage) {
    nova(stage);
    stage.run_and_stop();
    notify(stage);
}

fn rival(stage: &mut Stage) {
    nova(stage);
    stage.rival =
        Some(OsloListener::start(&stage.vhost.url(), &[("nova", "notifications")], Some("osnl"), false));
    wait_until(SOON, "the rival reads", || {
        stage.vhost.list_queues().iter().any(|one| one.name == "osnl" && one.consumers == 1)
    });
    stage.run();
}

/// A queue that nova made before blocks the queue that nova makes now.
fn clear(stage: &mut Stage) {
    stage.vhost.delete_queue("notifications.info");
    stage.vhost.delete_exchange("nova");
    notify(stage);
}

fn permit(stage: &mut Stage, permissions: [&str; 3]) {
    nova(stage);
    let user = format!("{}-user", stage.vhost.name());
    stage.vhost.set_password(&user, "S3CRET");
    stage.vhost.set_permissions(&user, permissions);
    stage.log_in(&stage.vhost.url_for(&user, "S3CRET"));
}

fn unmatched(stage: &mut Stage) {
    rpc(stage);
    stage.run();
    nova(stage);
}

fn matched(stage: &mut Stage) {
    stage.run_matching();
    notify(stage);
}

fn left(stage: &mut Stage) {
    stage.run_and_stop();
    stage.set("pool = osnl", "pool = mine");
}

fn left_elsewhere(stage: &mut Stage) {
    nova(stage);
    stage.run_and_stop();
    stage.log_in(&stage.other.url());
    stage.run();
}

fn left_filled(stage: &mut Stage) {
    filled(stage);
    stage.set("pool = osnl", "pool = mine");
}

const TOPIC: &str = "exchange = nova\npool = osnl\ntopics = versioned_notifications";
const PRIORITY: &str = "exchange = nova\npool = osnl\npriorities = error";
const OSLO: &str = "exchange = nova\npool = osnl\npriorities = info\nsingle_active_consumer = false\noslo_arguments = true\n\
                    durable = false";
const CREATES: &str = "exchange = nova\npool = osnl\ndeclare = create\namqp_durable_queues = true";
const QUORUM: &str = "exchange = nova\npool = osnl\nqueue_type = quorum";
const TRANSIENT: &str = "exchange = nova\npool = osnl\ndurable = false";
const APPLY: &str = "osnl queues --apply";
const GRANTS: &str = "rabbitmqctl set_permissions -p doctor-";
/// Without a priority, because the API tells that no policy is there.
const BOUND: &str = "--apply-to queues osnl-unread-notifications ";
const POLICY: &str = "rabbitmqctl set_policy -p doctor-";

pub(super) const TROUBLES: &[Trouble] = &[
    Trouble {
        name: "nothing publishes notifications",
        options: USUAL,
        prepare: notify,
        finding: ("exchange-missing", "no service has published", DRIVER),
        check: "no service has published",
        status: "only the services' own queues; set [",
        mend: Run(notify),
    },
    Trouble {
        name: "another service publishes, nova does not",
        options: USUAL,
        prepare: |stage| stage.publish("neutron"),
        finding: ("exchange-missing", "notifications come here by exchange neutron", DRIVER),
        check: "notifications come here by exchange neutron",
        status: "only the services' own queues; set [",
        mend: Run(notify),
    },
    Trouble {
        name: "nova is in another virtual host",
        options: USUAL,
        prepare: elsewhere,
        finding: ("exchange-missing", "exists in virtual host elsewhere-", "in transport_url"),
        check: "exists in virtual host elsewhere-",
        status: "name virtual host elsewhere-",
        mend: Follow(|stage| stage.log_in(&stage.other.url())),
    },
    Trouble {
        name: "the exchange's name has a slip",
        options: "exchange = noav\npool = osnl\npriorities = info, error",
        prepare: nova,
        finding: ("exchange-missing", "did you mean nova?", "exchange = nova in [listener:l]"),
        check: "did you mean nova?",
        status: "only the services' own queues; exchange = nova in [listener:l]",
        mend: Run(nothing),
    },
    Trouble {
        name: "nova's exchange carries RPC alone",
        options: USUAL,
        prepare: rpc,
        finding: ("never-published", "the driver is empty (the default) or noop", DRIVER),
        check: "the driver is empty (the default) or noop",
        status: "the driver is empty",
        mend: Run(notify),
    },
    Trouble {
        name: "the listener binds another topic",
        options: TOPIC,
        prepare: nova,
        finding: (
            "wrong-topic",
            "publish to topic notifications (queue notifications.info)",
            "topics = notifications in [listener:l]",
        ),
        check: "publish to topic notifications",
        status: "publish to topic notifications",
        mend: Run(nothing),
    },
    Trouble {
        name: "the listener binds another priority",
        options: PRIORITY,
        prepare: nova,
        finding: ("wrong-priority", "another priority (queue notifications.info)", "remove priorities"),
        check: "another priority",
        status: "another priority",
        mend: Run(nothing),
    },
    Trouble {
        name: "services publish to another exchange",
        options: USUAL,
        prepare: |stage| {
            rpc(stage);
            stage.publish("openstack");
        },
        finding: ("other-exchange", "bound to exchange openstack only", DRIVER),
        check: "bound to exchange openstack only",
        status: "openstack only",
        mend: Run(notify),
    },
    Trouble {
        name: "the exchange is no topic exchange",
        options: "exchange = amq.fanout\npool = osnl",
        prepare: nothing,
        finding: ("exchange-type", "its type is fanout", "control_exchange"),
        check: "is fanout, not topic",
        status: "",
        mend: Follow(usual),
    },
    Trouble {
        name: "osnl would create a transient exchange as durable",
        options: CREATES,
        prepare: rpc,
        finding: ("exchange-differs", "it is transient", "amqp_durable_queues = false in [listener:l]"),
        check: "it is transient, and with declare = create",
        status: "",
        mend: Run(nothing),
    },
    Trouble {
        name: "a binding is missing",
        options: USUAL,
        prepare: |stage| {
            nova(stage);
            stage.make(&queue("", &[]));
        },
        finding: ("not-bound", "notifications.info of nova", APPLY),
        check: "notifications.info of nova",
        status: "",
        mend: Run(nothing),
    },
    Trouble {
        name: "the exchange reaches the queue by another exchange",
        options: USUAL,
        prepare: |stage| {
            nova(stage);
            stage.make(&queue("fan", &["notifications.*"]));
            stage.make(&exchange("middle"));
            stage.vhost.pass_on("nova", "notifications.*", "middle");
            stage.vhost.pass_on("middle", "#", "fan");
        },
        finding: (
            "not-bound",
            "and may get the same by exchange fan",
            "rabbitmqctl list_bindings -p doctor-",
        ),
        check: "",
        status: "",
        mend: Follow(Stage::run_and_stop),
    },
    Trouble {
        name: "the same pool is used elsewhere",
        options: USUAL,
        prepare: |stage| {
            nova(stage);
            stage.make(&queue("theirs", &["x.info"]));
        },
        finding: ("same-pool", "x.info of theirs too", "another pool"),
        check: "x.info of theirs too",
        status: "x.info of theirs too",
        mend: Follow(|stage| stage.set("pool = osnl", "pool = mine")),
    },
    Trouble {
        name: "nobody reads what services fill",
        options: USUAL,
        prepare: nova,
        finding: ("unread", "1 message, no consumer", BOUND),
        check: "1 message, no consumer",
        status: "1 message, no consumer",
        mend: Run(nothing),
    },
    Trouble {
        name: "nobody reads what services fill, and it grows",
        options: USUAL,
        prepare: Stage::flood,
        finding: ("unread", ", grows by ", BOUND),
        check: "no consumer",
        status: "no consumer",
        mend: Run(nothing),
    },
    Trouble {
        name: "osnl is stopped, and its queue grows",
        options: USUAL,
        prepare: filled,
        finding: ("growing", "1 message, no consumer", "systemctl start osnl"),
        check: "",
        status: "",
        mend: Follow(Stage::run),
    },
    Trouble {
        name: "another program reads the queue",
        options: OSLO,
        prepare: rival,
        finding: ("rival", "1 consumer is not of this configuration's daemon", "a pool of its own"),
        check: "not of this configuration's daemon",
        status: "queue osnl: 1 consumer that is not this daemon's",
        mend: Follow(|stage| drop(stage.rival.take())),
    },
    Trouble {
        name: "a second daemon has other rules",
        options: USUAL,
        prepare: Stage::run_second,
        finding: ("other-rules", "connected to it with other rules", "the same rules"),
        check: "connected to it with other rules",
        status: "connected to it with other rules",
        mend: Follow(|stage| drop(stage.second.take())),
    },
    Trouble {
        name: "a policy expires messages",
        options: USUAL,
        prepare: |stage| lossy(stage, Vhost::set_policy, r#"{"message-ttl":60000}"#),
        finding: ("lossy", "policy \"p\" sets message-ttl = 60000", POLICY),
        check: "sets message-ttl = 60000",
        status: "sets message-ttl = 60000",
        mend: Run(nothing),
    },
    Trouble {
        name: "a policy drops the oldest messages",
        options: USUAL,
        prepare: |stage| lossy(stage, Vhost::set_policy, r#"{"max-length":5}"#),
        finding: ("lossy", "policy \"p\" sets max-length = 5", POLICY),
        check: "sets max-length = 5",
        status: "sets max-length = 5",
        mend: Run(nothing),
    },
    Trouble {
        name: "an operator policy refuses new messages",
        options: USUAL,
        prepare: |stage| {
            lossy(stage, Vhost::set_policy, r#"{"overflow":"reject-publish"}"#);
            lossy(stage, Vhost::set_operator_policy, r#"{"max-length":5}"#);
        },
        finding: ("lossy", "or operator policy \"p\" sets max-length = 5", "rabbitmqctl set_policy"),
        check: "sets max-length = 5",
        status: "sets max-length = 5",
        mend: Follow(|stage| drop(stage.vhost.ctl(&["clear_operator_policy", "p"]))),
    },
    Trouble {
        name: "a delivery limit without a dead-letter exchange",
        options: QUORUM,
        prepare: |stage| {
            nova(stage);
            stage.run_and_stop();
            lossy(stage, Vhost::set_policy, r#"{"delivery-limit":20}"#);
        },
        finding: ("lossy", "policy \"p\" sets delivery-limit = 20", POLICY),
        check: "sets delivery-limit = 20",
        status: "sets delivery-limit = 20",
        mend: Run(nothing),
    },
    Trouble {
        name: "the queue has a limit of its declaration",
        options: USUAL,
        prepare: |stage| {
            stage.make(&BrokerObjects { arguments: json!({"x-max-length": 9}), ..queue("", &[]) });
        },
        finding: ("differs", "x-max-length", "delete it"),
        check: "x-max-length",
        status: "x-max-length",
        mend: Follow(|stage| stage.vhost.delete_queue("osnl")),
    },
    Trouble {
        name: "services declare transient queues, which 4.3 refuses",
        options: USUAL,
        prepare: nova,
        finding: (
            "transient-queue",
            "it is transient",
            "set [oslo_messaging_rabbit] amqp_durable_queues = true in /etc/nova/nova.conf, and so",
        ),
        check: "",
        status: "",
        mend: Run(clear),
    },
    Trouble {
        name: "osnl's own queue is transient",
        options: TRANSIENT,
        prepare: |stage| {
            nova(stage);
            stage.run_and_stop();
        },
        finding: ("transient-queue", "it is transient", "durable = true and another pool in [listener:l]"),
        check: "",
        status: "",
        mend: Follow(|stage| stage.configure("exchange = nova\npool = lasting\ndurable = true")),
    },
    Trouble {
        name: "the queue to read does not exist",
        options: "queue = theirs",
        prepare: nothing,
        finding: ("queue-missing", "it does not exist", "create it"),
        check: "does not exist",
        status: "does not exist",
        mend: Follow(|stage| stage.make(&BrokerObjects { queue: "theirs".to_owned(), ..queue("", &[]) })),
    },
    Trouble {
        name: "another connection has the queue for itself",
        options: USUAL,
        prepare: |stage| {
            nova(stage);
            stage.make(&BrokerObjects { exclusive: true, durable: false, ..queue("", &[]) });
        },
        finding: ("queue-refused", "RESOURCE_LOCKED", "a pool of its own"),
        check: "RESOURCE_LOCKED",
        status: "RESOURCE_LOCKED",
        mend: Follow(|stage| stage.set("pool = osnl", "pool = mine")),
    },
    Trouble {
        name: "the user may not create the queue (configure)",
        options: USUAL,
        prepare: |stage| permit(stage, ["^$", ".*", ".*"]),
        finding: ("permissions", "queue 'osnl'", GRANTS),
        check: "permissions for queue osnl",
        status: "ACCESS_REFUSED",
        mend: Run(nothing),
    },
    Trouble {
        name: "the user may not bind the queue (write)",
        options: USUAL,
        prepare: |stage| permit(stage, [".*", "^$", ".*"]),
        finding: ("permissions", "queue 'osnl'", GRANTS),
        check: "permissions for queue osnl",
        status: "ACCESS_REFUSED",
        mend: Run(nothing),
    },
    Trouble {
        name: "the user may not read (read)",
        options: USUAL,
        prepare: |stage| permit(stage, [".*", ".*", "^$"]),
        finding: ("permissions", "exchange 'nova'", GRANTS),
        check: "permissions for queue osnl",
        status: "ACCESS_REFUSED",
        mend: Run(nothing),
    },
    Trouble {
        name: "the password is wrong",
        options: USUAL,
        prepare: |stage| stage.log_in(&stage.vhost.url_for("guest", "wrong")),
        finding: ("unreachable", "login refused", "rabbitmqctl authenticate_user guest"),
        check: "login refused",
        status: "login refused",
        mend: Follow(usual),
    },
    Trouble {
        name: "the virtual host does not exist",
        options: USUAL,
        prepare: |stage| stage.log_in(&format!("{}-none", stage.vhost.url())),
        finding: ("unreachable", "-none", "rabbitmqctl add_vhost doctor-"),
        check: "-none",
        status: "-none",
        mend: Follow(usual),
    },
    Trouble {
        name: "a queue of an earlier pool is left, empty",
        options: USUAL,
        prepare: left,
        finding: ("left", "no listener reads it any more; it is empty", "rabbitmqctl delete_queue"),
        check: "",
        status: "",
        mend: Run(nothing),
    },
    Trouble {
        name: "a quorum queue of an earlier pool is left, empty",
        options: QUORUM,
        prepare: left,
        finding: ("left", "no listener reads it any more; it is empty", "rabbitmqctl delete_queue"),
        check: "",
        status: "",
        mend: Follow(|stage| stage.execute(APPLY)),
    },
    Trouble {
        name: "a queue of an earlier pool is left, and services fill it",
        options: USUAL,
        prepare: left_filled,
        finding: (
            "left",
            "1 message in it, and its bindings fill it",
            "a listener with queue = osnl and the transport_url of that broker",
        ),
        check: "",
        status: "no listener reads it any more; 1 message in it",
        mend: Follow(|stage| {
            let url = format!("transport_url = {}", stage.vhost.url());
            stage.configure(&format!("{USUAL}\n{url}\n[listener:former]\n{url}\nqueue = osnl").replacen(
                "pool = osnl",
                "pool = mine",
                1,
            ));
        }),
    },
    Trouble {
        name: "a queue is left in a former virtual host",
        options: USUAL,
        prepare: left_elsewhere,
        finding: ("left", "its content is not known", "osnl queues forget osnl --vhost doctor-"),
        check: "",
        status: "",
        mend: Run(nothing),
    },
    Trouble {
        name: "messages come, and no rule matches",
        options: USUAL,
        prepare: unmatched,
        finding: (
            "no-rule-matches",
            "1 message received since the start, and no rule matched one",
            "osnl explain --unmatched",
        ),
        check: "",
        status: "",
        mend: Follow(matched),
    },
    Trouble {
        name: "a classic queue on a cluster (an API before the real one says that there are three nodes)",
        options: USUAL,
        prepare: |stage| {
            stage.cluster();
            nova(stage);
            stage.run_and_stop();
        },
        finding: ("classic-on-cluster", "cluster of 3 nodes", "queue_type = quorum and another pool"),
        check: "cluster of 3 nodes",
        status: "cluster of 3 nodes",
        mend: Follow(|stage| {
            stage.configure("exchange = nova\npool = safe\nqueue_type = quorum");
            stage.run_and_stop();
        }),
    },
];
