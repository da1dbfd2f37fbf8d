use std::num::NonZeroU32;

use bytes::Bytes;

use crate::message::Properties;
use crate::topology::Declare;

/// A message to be published, with what may be made for it.
#[derive(Clone, Debug)]
pub struct OutgoingMessage {
    pub body: Bytes,
    pub properties: Properties,
    /// The missing parts to create, with the arguments that oslo.messaging uses for the transport's options.
    /// [`Create`](Declare::Create) makes the exchange, a queue named as the routing key, and the binding, as the
    /// Notifier does. So nothing is lost before the first consumer connects. With [`Passive`](Declare::Passive) and
    /// [`Nothing`](Declare::Nothing) a missing exchange is an error.
    pub declare: Declare,
    /// Whether a message that no queue takes is an error; otherwise the broker drops and confirms it.
    pub mandatory: bool,
    /// The key: messages with one key keep their order, if the transport [has keys](crate::Features::keys).
    pub key: Option<String>,
    /// The number of shards of the exchange, if the message goes to one of its [shards](crate::Shards). Nothing is sent
    /// while queues of another number hold messages.
    pub shards: Option<NonZeroU32>,
}

impl OutgoingMessage {
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
            shards: None,
        }
    }
}
