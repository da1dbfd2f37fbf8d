//! Deliveries by an operator's term: the number of a delivery or an event, the id of a message, the id or the
//! name of a resource.
//!
//! No index covers these. [`blocks`](super::blocks) limit the read parts of the table, and bodies are never
//! read. Rows from before version 9 have neither names nor the number of the message's id, so the message is
//! looked up too.

use super::filter::BoundValues;
use super::records::DeliveryListRow;
use super::rows::message_number;
use crate::DeliveryId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    Delivery(DeliveryId),
    Event(u64),
    Named(String),
    Resource(String),
}

impl About {
    /// Parses an operator's input: `17.0`, `17`, or anything else as an id or a name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let delivery = DeliveryId::parse(text).map(Self::Delivery);
        let event = || text.parse().ok().filter(|number| *number < 1 << 47).map(Self::Event);
        delivery.or_else(event).unwrap_or_else(|| Self::Named(text.to_owned()))
    }

    pub(super) fn sql(&self, values: &mut BoundValues) -> String {
        match self {
            Self::Delivery(id) => format!("d.id = {}", id.row()),
            Self::Event(number) => {
                let event = i64::try_from(*number).unwrap_or(i64::MAX >> 17);
                let first = DeliveryId::of(event, 0).row();
                // An event of more than 65536 deliveries has several numbers.
                let next = format!("(SELECT min(id) << 16 FROM event WHERE id > {event})");
                let known = format!("EXISTS (SELECT 1 FROM event WHERE id = {event})");
                format!("(d.id >= {first} AND d.id < coalesce({next}, {}) AND {known})", i64::MAX)
            }
            Self::Resource(name) => resource_sql(&values.bind(name)),
            Self::Named(name) => {
                let id = values.bind(name);
                let (resource, number) = (resource_sql(&id), message_number(name));
                format!(
                    "({resource} OR d.message = {number} \
                     OR d.message IS NULL AND EXISTS (SELECT 1 FROM event m WHERE m.id = {OF_ROW} AND m.message_id = {id}))"
                )
            }
        }
    }

    pub(super) fn matches(&self, row: &DeliveryListRow) -> bool {
        let of_resource = |name: &str| {
            let same =
                |text: &Option<String>| text.as_ref().is_some_and(|text| text.eq_ignore_ascii_case(name));
            same(&row.key) || same(&row.resource_id) || same(&row.resource_name)
        };
        match self {
            Self::Delivery(id) => row.id == *id,
            Self::Event(number) => row.id.0 >> 16 == *number,
            Self::Resource(name) => of_resource(name),
            Self::Named(name) => of_resource(name) || row.message_id.as_ref() == Some(name),
        }
    }
}

const OF_ROW: &str = "(SELECT max(id) FROM event WHERE id <= d.id >> 16)";

fn resource_sql(name: &str) -> String {
    let same = |column: &str| format!("d.{column} = {name} COLLATE NOCASE");
    format!("({} OR {} OR {})", same("key"), same("resource_id"), same("resource_name"))
}
