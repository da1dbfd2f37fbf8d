//! Refuses options that rely on one process's own counts.
//!
//! A refusal is better than a silently different number.

use std::collections::BTreeSet;
use std::time::Duration;

use osnl_config::OptionValue;
use osnl_config::sections::SectionReader;
use osnl_model::Secret;
use osnl_transport::{Driver, QueueType};

use super::{ActionConf, ListenerConf};
use crate::journal::JournalBounds;
use crate::journal::shared::{SharedDatabase, SharedOptions};

const JOURNAL: &str = "or set sqlite:// in [journal] connection";
pub(super) const CONNECTION: &str = "write postgresql://USER:PASSWORD@HOST/DATABASE";
const USUAL_LEASE: Duration = Duration::from_secs(15);
const UNKEPT: [(&str, &str, &str); 1] = [(
    "max_size",
    "is not kept by a journal in PostgreSQL",
    "remove it: the database has no bound of its own",
)];

pub(super) fn journal(
    reader: &mut SectionReader<'_>,
    bounds: Option<JournalBounds>,
    (connection, shown): (Secret, String),
    database: &'static dyn SharedDatabase,
) -> Option<SharedOptions> {
    for (option, problem, allowed) in UNKEPT {
        if reader.is_set(option) {
            reader.refuse::<()>(option, problem, allowed);
        }
    }
    let entry = reader.section.entry("connection");
    Some(SharedOptions {
        database,
        connection,
        connection_file: entry.and_then(|entry| Some(entry.file.as_ref()?.path.clone())),
        shown,
        lease: OptionValue::valid(reader, "lease").unwrap_or(USUAL_LEASE),
        bounds: bounds?,
        archive: None,
        overflowing: BTreeSet::new(),
        digests: BTreeSet::new(),
    })
}

pub(super) fn keeps(option: &str) -> bool {
    UNKEPT.iter().all(|(name, ..)| *name != option)
}

pub(super) fn idle(reader: &mut SectionReader<'_>) {
    if reader.is_set("lease") {
        reader.warn("lease", "has an effect for postgresql:// only", "remove it");
    }
}

/// Refuses a listener whose messages the broker does not give to one daemon each.
pub(super) fn listener(reader: &mut SectionReader<'_>, conf: &ListenerConf) {
    if conf.driver() == Driver::Amqp1 {
        let problem =
            "a shared journal needs a broker that several daemons can read, which are RabbitMQ and Kafka";
        refuse(reader, "transport_url", problem, "listen on one of these");
    } else if conf.driver() == Driver::Kafka {
        if conf.pool.is_none() {
            let problem =
                "is required with a shared journal, whose daemons are members of one consumer group";
            refuse(reader, "pool", problem, "set a pool");
        }
    } else if conf.queue.queue_type == QueueType::Stream {
        let problem =
            "a stream gives every message to each daemon of a shared journal, which needs one active reader";
        let allowed = "read a queue (queue_type = quorum, with a pool, and single_active_consumer = true)";
        refuse(reader, "queue_type", problem, allowed);
    } else if !conf.queue.single_active_consumer {
        let problem = "a shared journal needs one active reader of each queue, or messages of a resource change their order";
        let allowed = "set a pool, and single_active_consumer = true";
        refuse(reader, "single_active_consumer", problem, allowed);
    }
}

pub(super) fn action(reader: &mut SectionReader<'_>, conf: &ActionConf) {
    if conf.driver.conf().traits().interest.is_some() {
        let problem = "depends on what earlier messages said, which each of the daemons of a shared journal has heard in part";
        refuse(reader, "driver", problem, "give the action a daemon of its own");
    }
}

fn refuse(reader: &mut SectionReader<'_>, option: &str, problem: &str, allowed: &str) {
    reader.refuse::<()>(option, problem, &format!("{allowed}, {JOURNAL}"));
}
