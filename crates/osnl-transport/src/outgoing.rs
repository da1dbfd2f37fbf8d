//! A message on its way to the broker.

use bytes::Bytes;

use crate::message::Properties;
use crate::topology::Declare;

/// A message that [`Transport::send`](crate::Transport::send) publishes, and its route. Cheap to clone: copies share
/// the bytes.
#[derive(Clone, Debug)]
pub struct OutgoingMessage {
    /// The bytes to send, compressed if `properties` say so.
    pub body: Bytes,
    /// The properties that its consumers see.
    pub properties: Properties,
    /// The exchange and the queue to create where they are missing, as oslo.messaging makes it with the transport's options; what is there is never
    /// altered. [`Create`](Declare::Create): the exchange, a queue named as the routing key, and the binding between
    /// them, as its Notifier does, so that nothing is lost before the first consumer connects. Without one, such a queue
    /// fills up. [`Passive`](Declare::Passive) and [`Nothing`](Declare::Nothing): nothing; a missing exchange is an
    /// error.
    pub declare: Declare,
    /// Whether a message that no queue takes is an error; otherwise the broker drops it and confirms.
    pub mandatory: bool,
    /// The resource that it is about: where [`Features::keys`](crate::Features::keys), messages with one key keep their order.
    pub key: Option<String>,
}

impl OutgoingMessage {
    /// JSON as oslo.messaging's Notifier sends it; what is missing is made as the Notifier makes it.
    #[must_use]
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            properties: Properties {
                content_type: Some("application/json".into()),
                content_encoding: Some("utf-8".into()),
                compression: None,
            },
            declare: Declare::Create,
            mandatory: false,
            key: None,
        }
    }
}
