use std::borrow::Cow;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};

use crate::message::Properties;

/// Values that oslo.messaging always sends are not copied per message.
pub(super) fn properties(from: &BasicProperties) -> Properties {
    fn known(text: Option<&ShortString>, usual: &'static str) -> Option<Cow<'static, str>> {
        text.map(
            |text| {
                if text.as_str() == usual { Cow::Borrowed(usual) } else { Cow::Owned(text.to_string()) }
            },
        )
    }
    let compression = from.headers().as_ref().and_then(|headers| {
        headers.inner().get("compression").and_then(|value| match value {
            AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
            AMQPValue::ShortString(text) => Some(text.to_string()),
            _ => None,
        })
    });
    Properties {
        content_type: known(from.content_type().as_ref(), "application/json"),
        content_encoding: known(from.content_encoding().as_ref(), "utf-8"),
        compression,
    }
}
