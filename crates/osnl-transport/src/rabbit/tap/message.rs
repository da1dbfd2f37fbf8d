use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Map, Value};

use crate::Cut;
use crate::body_flow::BodyShare;
use crate::tap::{TapMessage, TapProperties};

/// A body that counts as in hand until its last copy is dropped.
struct TapBody {
    body: Vec<u8>,
    _share: BodyShare,
}

impl AsRef<[u8]> for TapBody {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

pub(super) fn tap_message(delivery: Delivery, cut: Option<Cut>, share: BodyShare) -> TapMessage {
    TapMessage {
        exchange: delivery.exchange.to_string(),
        routing_key: delivery.routing_key.to_string(),
        body: Bytes::from_owner(TapBody { body: delivery.data, _share: share }),
        cut,
        properties: properties(&delivery.properties),
    }
}

fn properties(from: &BasicProperties) -> TapProperties {
    let text = |text: &Option<ShortString>| text.as_ref().map(ToString::to_string);
    TapProperties {
        content_type: text(from.content_type()),
        content_encoding: text(from.content_encoding()),
        delivery_mode: *from.delivery_mode(),
        priority: *from.priority(),
        correlation_id: text(from.correlation_id()),
        reply_to: text(from.reply_to()),
        expiration: text(from.expiration()),
        message_id: text(from.message_id()),
        timestamp: *from.timestamp(),
        kind: text(from.kind()),
        user_id: text(from.user_id()),
        app_id: text(from.app_id()),
        headers: from.headers().as_ref().map(table).unwrap_or_default(),
    }
}

fn table(from: &FieldTable) -> Map<String, Value> {
    from.inner().iter().map(|(key, value)| (key.to_string(), json(value))).collect()
}

fn json(value: &AMQPValue) -> Value {
    let lossy = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes).into_owned());
    match value {
        AMQPValue::Boolean(value) => Value::from(*value),
        AMQPValue::ShortShortInt(value) => Value::from(*value),
        AMQPValue::ShortShortUInt(value) => Value::from(*value),
        AMQPValue::ShortInt(value) => Value::from(*value),
        AMQPValue::ShortUInt(value) => Value::from(*value),
        AMQPValue::LongInt(value) => Value::from(*value),
        AMQPValue::LongUInt(value) => Value::from(*value),
        AMQPValue::LongLongInt(value) => Value::from(*value),
        AMQPValue::Float(value) => Value::from(*value),
        AMQPValue::Double(value) => Value::from(*value),
        AMQPValue::DecimalValue(value) => Value::from(format!("{}e-{}", value.value, value.scale)),
        AMQPValue::ShortString(text) => Value::from(text.to_string()),
        AMQPValue::LongString(text) => lossy(text.as_bytes()),
        AMQPValue::FieldArray(items) => items.as_slice().iter().map(json).collect(),
        AMQPValue::Timestamp(seconds) => Value::from(*seconds),
        AMQPValue::FieldTable(inner) => Value::Object(table(inner)),
        AMQPValue::ByteArray(bytes) => lossy(bytes.as_slice()),
        AMQPValue::Void => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn headers_of_every_kind_are_json() {
        let mut inner = FieldTable::default();
        inner.insert("x".into(), AMQPValue::LongLongInt(-7));
        let mut headers = FieldTable::default();
        for (key, value) in [
            ("bool", AMQPValue::Boolean(true)),
            ("text", AMQPValue::LongString("é".into())),
            ("bytes", AMQPValue::LongString(vec![b'a', 0xff].into())),
            ("list", AMQPValue::FieldArray(vec![AMQPValue::Void, AMQPValue::LongUInt(7)].into())),
            ("table", AMQPValue::FieldTable(inner)),
            ("time", AMQPValue::Timestamp(1)),
            ("nan", AMQPValue::Float(f32::NAN)),
            ("infinity", AMQPValue::Double(f64::NEG_INFINITY)),
            ("octets", AMQPValue::ByteArray(vec![0x1b, 0xff].into())),
            ("byte", AMQPValue::ShortShortInt(-128)),
        ] {
            headers.insert(key.into(), value);
        }
        let from =
            BasicProperties::default().with_headers(headers).with_delivery_mode(2).with_type("k".into());
        let seen = properties(&from);
        assert_eq!((seen.delivery_mode, seen.kind.as_deref(), seen.priority), (Some(2), Some("k"), None));
        let expected = json!({
            "bool": true, "text": "é", "bytes": "a\u{fffd}", "list": [null, 7], "table": {"x": -7}, "time": 1,
            "nan": null, "infinity": null, "octets": "\u{1b}\u{fffd}", "byte": -128,
        });
        assert_eq!(Value::Object(seen.headers), expected);
    }
}
