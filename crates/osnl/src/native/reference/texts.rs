//! The kind and the meaning of each option, a row each: the words of the reference. A test reports each missing row.

/// Section, option (`context.KEY` for those with a key), what a value is, and what it means.
pub(super) type Row = (&'static str, &'static str, &'static str, &'static str);

const BOOLEAN: &str = "boolean";
const DURATION: &str = "duration";
const LIST: &str = "list";
const NAME: &str = "name";
const NUMBER: &str = "whole number";
const PATH: &str = "path";
const PATTERN: &str = "regular expression";

/// The purpose of each kind of section.
pub(super) static SECTIONS: [(&str, &str); 7] = [
    ("DEFAULT", "The program itself."),
    ("journal", "What keeps messages until they are done."),
    (
        "oslo_messaging_rabbit",
        "The options of oslo.messaging's rabbit driver, for all listeners. The query of a transport_url and the \
         listener's own section count above it. None has a default here: what nothing sets is osnl's own.",
    ),
    ("listener", "One subscription on one broker connection, with a queue of its own."),
    (
        "rule",
        "What is looked for, and which actions it fires. Rules are tried in the order of files and sections.",
    ),
    ("action", "What is done about an event."),
    (
        "enrich",
        "What an event does not say, asked of the OpenStack APIs for the actions that name it in enrich; their templates \
         have it under the section's name.",
    ),
];

/// Every option that is neither the rabbit driver's nor of a driver of actions.
#[rustfmt::skip]
pub(super) static OPTIONS: &[Row] = &[
    ("DEFAULT", "debug", BOOLEAN, "true is log_level = debug."),
    ("DEFAULT", "log_level", "debug, info, warn or error", "How much osnl's own lines say."),
    ("DEFAULT", "libs_log_level", "debug, info, warn or error", "The same for the lines of the libraries."),
    ("DEFAULT", "log_file", PATH, "Where lines go; without it to standard error."),
    ("DEFAULT", "state_dir", "absolute path", "What outlives the process: the journal, and how far streams were read. Without it $STATE_DIRECTORY, else /var/lib/osnl as the superuser, else $XDG_STATE_HOME/osnl, else ~/.local/state/osnl."),
    ("journal", "connection", "sqlite:///PATH or memory://", "A file that keeps what was acknowledged; or memory://, which keeps nothing: a message is acknowledged after its last outcome."),
    ("journal", "retention", DURATION, "How long what was delivered or discarded is kept."),
    ("journal", "max_size", "size", "What the file may hold, 16MiB or more. Without it 10 GiB, or half of what is free if that is less."),
    ("journal", "max_pending", NUMBER, "Deliveries of one action that may be pending."),
    ("journal", "max_dead", NUMBER, "Dead letters that are kept."),
    ("journal", "allow_volatile", BOOLEAN, "Whether a place that does not outlive a restart will do: tmpfs, /tmp and their like."),
    ("journal", "keep_unmatched", NUMBER, "The heads of the last so many messages that no rule wanted, for osnl explain; 0 for none, at most 100000."),
    ("journal", "keep_unmatched_bodies", BOOLEAN, "Whether with their bodies, secrets and all."),
    ("listener", "transport_url", "URL", "The broker: rabbit://user:password@host:port,user:password@host2:port/vhost. Must be set."),
    ("listener", "exchange", LIST, "The exchanges of the services: neutron, nova, openstack. Must be set, unless queue is."),
    ("listener", "topics", LIST, "Each is bound to each exchange with each priority."),
    ("listener", "priorities", LIST, "Which of audit, debug, info, warn, error, critical and sample are bound."),
    ("listener", "pool", NAME, "The queue's name, required unless queue is set; each listener on a broker has its own. Empty: no pool, the services' own queues <topic>.<priority>."),
    ("listener", "queue", NAME, "In place of all that declares: this queue is read as it is; nothing is declared or bound."),
    ("listener", "declare", "passive or create", "passive: the exchange is looked for until its service has made it; a queue of ours is read meanwhile. create: it is made as oslo.messaging makes it."),
    ("listener", "queue_type", "classic, quorum or stream", "What a queue that has to be made is, and how it is read."),
    ("listener", "durable", BOOLEAN, "Whether a queue that has to be made outlives the broker's restart. Without a pool, false unless set."),
    ("listener", "auto_delete", BOOLEAN, "Whether it goes with its last consumer."),
    ("listener", "single_active_consumer", BOOLEAN, "Whether of several consumers one gets the messages, in order, and the others wait. Without a pool, and of a stream, false."),
    ("listener", "delivery_limit", NUMBER, "Of a quorum queue: how often a message may come again."),
    ("listener", "arguments", "list of name=value", "Further arguments of a queue that has to be made: x-max-length=1000, x-queue-version=2."),
    ("listener", "consumer_arguments", "list of name=value", "Further arguments of the consumer."),
    ("listener", "stream_offset", "first, last, next or a time", "Where a stream is begun; later it is read from where it was left. A time is written as 2026-11-20T06:00:00Z."),
    ("listener", "prefetch", NUMBER, "Unsettled messages at once, over all queues of the listener, 1 to 65535."),
    ("listener", "give_back_after", DURATION, "How long there may be no room for another message before those that the broker has handed over go back to it. Keep it well below the broker's consumer time-out (30 minutes unless changed)."),
    ("listener", "max_body", "size", "The largest body without its compression, 4KiB to 128MiB. A larger one is set aside. Decoded, a message may take six times as much memory."),
    ("listener", "max_in_hand", "size", "The bytes of message bodies that may wait in memory, 1MiB to 4GiB. Beyond it nothing is read from the broker until one is settled. A body above 16MiB and above max_body is set aside without being read whole."),
    ("listener", "max_values", NUMBER, "The most JSON values of one message, 1000 to 20000000. One with more is set aside."),
    ("listener", "max_resources", NUMBER, "The most resources of one bulk request, 1 to 60000. One with more is set aside."),
    ("listener", "tls", "oslo or verify", "verify: TLS, with certificate and name verified. oslo: as ssl and ssl_ca_file say."),
    ("rule", "enabled", BOOLEAN, "A rule that is not is checked and never fires."),
    ("rule", "listeners", LIST, "The listeners whose messages it sees; without it all."),
    ("rule", "priorities", LIST, "What the message must say of itself; without it anything."),
    ("rule", "event_type", PATTERN, "What the event type must match from its start, with the meaning of Python's re.match; without it anything."),
    ("rule", "publisher_id", PATTERN, "The same for the publisher."),
    ("rule", "context.KEY", PATTERN, "The same for a text in the context; KEY may be a path."),
    ("rule", "metadata.KEY", PATTERN, "The same for message_id and timestamp."),
    ("rule", "payload.KEY", PATTERN, "The same for a text in the payload; KEY may be a path, port.name."),
    ("rule", "when", "expression", "What must hold besides, as in Ansible's when: payload.port.device_owner.startswith(\"compute:\")."),
    ("rule", "stop", BOOLEAN, "Whether the rules after it are not asked once it has fired; a rule in shadow ends nobody's turn."),
    ("rule", "actions", LIST, "The actions that it fires. Must be set."),
    ("rule", "mode", "live or shadow", "shadow: what the rule wants is recorded as done, and nothing is called."),
    ("rule", "key", "resource, none or a path", "What its deliveries are kept in order by; a path is such as payload.port.network_id or context.project_id."),
    ("rule", "guard", "number per duration", "Such as 100 per 10m: beyond so many different resources within this time, what the rule wants is held until somebody releases it."),
    ("action", "driver", NAME, "What it does. Must be set."),
    ("action", "when", "expression", "What must hold besides, whichever rule fires it, as in a rule; of a bulk request it sees the one resource. If it is false there is no delivery of this action. It may look at what enrich brings: then it is decided before the first attempt, and false is nothing to do."),
    ("action", "timeout", DURATION, "For one whole attempt."),
    ("action", "max_attempts", NUMBER, "Attempts that the target may refuse (400, 403 and the like); what it does not answer is tried without end."),
    ("action", "retry_interval", DURATION, "The longest pause between two attempts; the first is a second."),
    ("action", "when_exhausted", "dead_letter or return", "What becomes of an event that is given up; return is back to the broker."),
    ("action", "concurrency", NUMBER, "Attempts at once, each for another resource, 1 to 1000."),
    ("action", "batch", NUMBER, "The most events in one call, 1 to 1000; of those that act on one event after the other it changes only the number of calls at once."),
    ("action", "batch_wait", DURATION, "How long the first event of a call waits for others, at most an hour."),
    ("action", "rate", "number per duration", "Such as 100 per 10m: the most calls within this time; what is beyond it waits. Without it as many as there are."),
    ("action", "retry_max_age", DURATION, "How long a delivery may be tried, or none for without end; the time in which its target is held does not count."),
    ("action", "hold_max", DURATION, "How long a held target may keep a delivery waiting before it is a dead letter; without it for ever."),
    ("action", "on_failure", "name of an action", "Another action that gets what this one gives up, once; it stays a dead letter here. That one may have an on_failure too."),
    ("action", "on_dead", "release_key or hold_key", "hold_key: what is behind a dead letter of the same resource waits until that is retried or discarded."),
    ("action", "on_full", "stop_intake or dead_letter", "What becomes of deliveries beyond max_pending."),
    ("action", "guard", "number per duration", "As of a rule, for all rules that fire it."),
    ("action", "enrich", LIST, "The sections [enrich:NAME] that are asked before the first attempt, in this order; what they bring is in templates and in when under their names."),
    ("enrich", "kind", "server, port, floatingip, flavor, image, project, user, node, network, subnet, router, volume or domain", "What is asked for. Must be set."),
    ("enrich", "id", "template", "Its id. Without it that of the object that the event is about or names, or that an enrichment before it has brought."),
    ("enrich", "cloud", NAME, "A cloud of clouds.yaml, which is looked for as openstacksdk does it. What is set here beside it counts more."),
    ("enrich", "clouds_file", PATH, "The clouds.yaml, if it is not where openstacksdk looks; a secure.yaml beside it counts too."),
    ("enrich", "auth_type", "password, v3applicationcredential or token", "How to log in; without it by what is there."),
    ("enrich", "auth_url", "URL", "Keystone. What ends in /v2.0, or in no version, is v3 too."),
    ("enrich", "username", NAME, "Who logs in."),
    ("enrich", "password", "text", "Their password."),
    ("enrich", "user_domain_name", NAME, "Their domain; without it and user_domain_id the one whose id is default."),
    ("enrich", "user_domain_id", "id", "The same by its id."),
    ("enrich", "project_name", NAME, "For which project; without it and project_id the login has no scope, and with an application credential none is named."),
    ("enrich", "project_id", "id", "The same by its id."),
    ("enrich", "project_domain_name", NAME, "The project's domain; without it and project_domain_id the one whose id is default."),
    ("enrich", "project_domain_id", "id", "The same by its id."),
    ("enrich", "system_scope", "all", "For the whole system instead of a project."),
    ("enrich", "application_credential_id", "id", "An application credential instead of a user with a password."),
    ("enrich", "application_credential_name", NAME, "The same by its name, with username."),
    ("enrich", "application_credential_secret", "text", "Its secret."),
    ("enrich", "region_name", NAME, "Whose services count, where the catalogue has several regions; without it the first."),
    ("enrich", "interface", "public, internal or admin", "Which of a service's URLs counts; without it public."),
    ("enrich", "verify", BOOLEAN, "false: no certificate is checked, nor the name in it."),
    ("enrich", "ca_file", PATH, "A PEM file of the certificates to trust instead of the system's."),
    ("enrich", "cache_size", NUMBER, "Answers that are remembered; 0 for none."),
    ("enrich", "cache_ttl", DURATION, "How long an object is remembered; 0 for not at all."),
    ("enrich", "negative_ttl", DURATION, "The same of an object that is not there."),
    ("enrich", "timeout", DURATION, "For one answer in all, login included."),
    ("enrich", "rate", "number per duration", "Such as 50 per 1s: the most requests within this time; what is beyond it waits, as long as timeout allows. Without it as many as there are."),
    ("enrich", "default", "JSON", "What it is where the object is gone and neither the event nor the journal knows it."),
    ("enrich", "on_error", "retry or default", "What follows where nobody can be asked. retry: the delivery waits. default: as if the object were gone."),
];
