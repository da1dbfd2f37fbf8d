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
            AMQPValue::LongString(text) => Some(Properties::text(text.as_bytes())),
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

#[cfg(test)]
mod tests {
    use lapin::types::FieldTable;

    use super::*;

    #[test]
    fn a_header_is_no_longer_than_a_name() {
        let check = |value: AMQPValue, expected: &str| {
            let mut headers = FieldTable::default();
            headers.insert("compression".into(), value);
            let read = properties(&BasicProperties::default().with_headers(headers));
            assert_eq!(read.compression.as_deref(), Some(expected));
        };
        check(AMQPValue::LongString("zlib".into()), "zlib");
        check(AMQPValue::LongString("x".repeat(100_000).into()), &"x".repeat(255));
    }
}
