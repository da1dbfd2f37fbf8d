//! The parts of a notification with a delivery each, computed once and separately, so that the cost is linear. The
//! caller is the listener's loop, which must not block.

use std::sync::OnceLock;

use osnl_config::template::Names;
use osnl_model::{Bulk, Notification, Resource, cut, resource_at};

use osnl_core::received::ReceivedMessage;
use osnl_core::rule::{KeySource, Rule};
use osnl_journal::{NewDelivery, Subject};

/// The resources of one notification, each with a delivery and an ordering key of its own.
#[derive(Debug)]
pub struct Parts<'a> {
    notification: &'a Notification,
    bulk: Option<Bulk<'a>>,
    resources: OnceLock<Vec<Option<Resource<'a>>>>,
    message: OnceLock<String>,
}

impl<'a> Parts<'a> {
    pub fn new(notification: &'a Notification) -> Self {
        let bulk = Bulk::from_notification(notification).filter(|bulk| !bulk.is_empty());
        Self { notification, bulk, resources: OnceLock::new(), message: OnceLock::new() }
    }

    /// Returns the parts with their ordering keys. A part without a key has a lane of its own.
    pub fn with_keys(
        &self,
        rule: &Rule,
        names: &Names,
    ) -> impl Iterator<Item = (Option<u32>, Option<String>)> {
        let of_message = match &rule.key {
            KeySource::Value(path) if path.is_of_message() => {
                Some(rule.key.delivery_key(|| None, || names.clone()))
            }
            KeySource::Resource | KeySource::None | KeySource::Value(_) => None,
        };
        let len = self.bulk.and_then(|bulk| u32::try_from(bulk.len()).ok());
        let parts = len.map_or_else(|| 0..1, |len| 0..len).map(move |n| len.map(|_| n));
        parts.map(move |part| {
            if let Some(key) = &of_message {
                return (part, key.clone());
            }
            let of_resource = || self.resource(part).and_then(Resource::key);
            (part, rule.key.delivery_key(of_resource, || self.names(names, part)))
        })
    }

    /// Returns the id of the message, else its digest. A copy of the message has the same.
    pub fn message(&self, received: &ReceivedMessage) -> &str {
        let id = || self.notification.id().map_or_else(|| received.digest().to_string(), str::to_owned);
        self.message.get_or_init(id)
    }

    pub fn names(&self, names: &Names, part: Option<u32>) -> Names {
        match part.and_then(|n| self.bulk?.part(n as usize)) {
            Some(payload) => names.part(payload),
            None => names.clone(),
        }
    }

    pub fn name(&self, deliveries: &mut [NewDelivery]) {
        for new in deliveries {
            new.subject = self.resource(new.resource).map(subject).unwrap_or_default();
        }
    }

    pub fn resource(&self, part: Option<u32>) -> Option<&Resource<'a>> {
        let resources = self.resources.get_or_init(|| match self.bulk {
            Some(bulk) => (0..bulk.len()).map(|n| bulk.resource(n)).collect(),
            None => vec![resource_at(self.notification, 0)],
        });
        resources.get(part.unwrap_or(0) as usize)?.as_ref()
    }
}

/// The limit of a name, which is only displayed.
const NAME: usize = 255;

fn subject(resource: &Resource<'_>) -> Subject {
    let short = |text: &str| (!text.is_empty()).then(|| cut(text, NAME).to_owned());
    Subject { id: resource.id.as_deref().and_then(short), name: resource.name.and_then(short) }
}
