//! The OpenStack Notification Listener as a library.
//!
//! [`NotificationListener`] receives notifications in a program. A daemon has a configuration with rules and actions:
//!
//! ```
//! use osnl::explain::{ExplainedEvent, Explainer};
//! use osnl::native::{Sources, load_texts};
//! use osnl_model::Budget;
//!
//! let text = r"
//! [listener:neutron]
//! transport_url = rabbit://osnl:secret@mq1.example.com/
//! exchange = neutron
//! pool = osnl
//!
//! [rule:deleted-ports]
//! event_type = ^port\.delete\.end$
//! actions = cmdb
//!
//! [action:cmdb]
//! driver = http
//! method = DELETE
//! url = https://cmdb.example.com/api/ports/{{ resource.id }}
//! ";
//! let loaded = load_texts(&[("osnl.conf".to_owned(), text.to_owned())], &Sources::default())?;
//!
//! let events = osnl::saved::read(r#"{"event_type": "port.delete.end", "payload": {"port_id": "7b2f"}}"#)?;
//! let event = ExplainedEvent::from_saved("a.json", &events[0], &Budget::DEFAULT);
//! let trace = Explainer::new(&loaded.conf).with_listener(Some("neutron")).trace(event);
//! assert!(trace.is_match());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A notification passes through these modules in this order:
//!
//! ```text
//! transport ─► listener ─► intake (rule engine) ─► journal ─► delivery ─► action
//!                 ▲                                   │
//!                 └───────── receipt: settle ◄────────┘
//! ```
//!
//! - [`listener`] handles connection and settling; [`received`] is a message with its origin.
//! - [`intake`] and [`rule`] decide on the deliveries of a message.
//! - [`journal`] keeps a message until it is done; its receipt triggers the acknowledgement.
//! - [`delivery`] handles attempts, pauses, order per resource, and held targets.
//! - [`action`] performs one attempt; [`actions`] has the drivers besides HTTP.
//! - [`control`] answers requests for status and deliveries.
//! - `management` asks the broker's management API about queues, and [`queues`] judges what a broker shows.
//! - [`live`] shows events to readers as they arrive.
//! - [`notification_listener`] is for programs that listen themselves.
//! - [`native`] is osnl's own configuration, [`probe`] tries what it names, and [`assembly`] builds a daemon from it.
//! - [`explain`] makes the trace of an event: whether each rule matches and why, and what its actions would do. Events
//!   are [`saved`] in files, in the journal, or [`unmatched`]; [`replay`] appends them again.
//! - [`verify`] asks by id whether resources exist, and plans a deletion event for each that does not.
//! - `osnl_legacy::k2hr3` and `osnl_legacy::oss` serve the replacements of k2hr3_osnl and oss_watcher.
//!
//! Order, lowest first: `incident_kind`, `numbers`, `group`, `saved`, `connections`, `native`, `management`, `queues`,
//! `unmatched`, `explain`, `replay`, `verify`, `dead_letters`, `live`, `onlookers`, `overseer`, `probe`, `control`,
//! `assembly`, `notification_listener`.

pub use notification_listener::{Endpoint, NotificationListener, NotificationResult};
pub use osnl_action as action;
pub use osnl_actions as actions;
pub use osnl_actions::transport_url;
pub use osnl_core::{ends, metrics, quarantine, received, rule, shutdown};
pub use osnl_delivery as delivery;
pub use osnl_engine::{daemon, intake, listener};
pub use osnl_journal as journal;
pub use osnl_journal::{in_hand, state_dir};
pub use osnl_model::{NotificationFilter, Pattern, Priority, Target, TransportUrl};
pub use osnl_transport::stamp;

pub mod assembly;
pub mod connections;
pub mod control;
pub mod dead_letters;
/// The values that an event lacks, and the clouds that have these.
pub mod enrich {
    pub use osnl_delivery::enrich::*;
    pub use osnl_openstack::{EnrichConf, foresee};
}
pub mod explain;
pub mod group;
mod incident_kind;
pub mod live;
mod management;
pub mod native;
pub mod notification_listener;
mod numbers;
mod onlookers;
mod overseer;
pub mod probe;
pub mod queues;
pub mod replay;
pub mod saved;
pub mod unmatched;
pub mod verify;
