//! Deliveries by what an operator has in hand: the number of a delivery or of an event, the id of a message, the id or
//! the name of a resource.
//!
//! There is no index on any of these: [`blocks`](super::blocks) say which parts of the table of deliveries are read, and
//! bodies of messages never are. Rows of a journal from before version 9 have neither names nor the number of their message's
//! id: of these the message is looked up too, until they have left.

use super::filter::BoundValues;
use super::records::DeliveryListRow;
use super::rows::message_number;
use crate::DeliveryId;

/// One thing that an operator names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A delivery, by its number.
    Delivery(DeliveryId),
    /// An event, by its number: all of its deliveries.
    Event(u64),
    /// A message by its id, or a resource by its id, its name, or its order key.
    Named(String),
    /// A resource by its id, its name, or its order key.
    Resource(String),
}

impl About {
    /// Reads what an operator has typed: `17.0`, `17`, or anything else as an id or a name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let delivery = DeliveryId::parse(text).map(Self::Delivery);
        let event = || text.parse().ok().filter(|number| *number < 1 << 47).map(Self::Event);
        delivery.or_else(event).unwrap_or_else(|| Self::Named(text.to_owned()))
    }

    /// A condition on a row `d`.
    pub(super) fn sql(&self, values: &mut BoundValues) -> String {
        match self {
            Self::Delivery(id) => format!("d.id = {}", id.row()),
            Self::Event(number) => {
                let event = i64::try_from(*number).unwrap_or(i64::MAX >> 17);
                let first = DeliveryId::of(event, 0).row();
                // An event of more than 65536 deliveries has the numbers of several.
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

/// The number of the event of a row `d`.
const OF_ROW: &str = "(SELECT max(id) FROM event WHERE id <= d.id >> 16)";

/// A condition on a resource, whose name is at this place.
fn resource_sql(name: &str) -> String {
    let same = |column: &str| format!("d.{column} = {name} COLLATE NOCASE");
    format!("({} OR {} OR {})", same("key"), same("resource_id"), same("resource_name"))
}
