//! oslo.messaging's Notifier, and raw AMQP, behind a pipe of JSON lines (`python/peer.py`).

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use super::zygote::Script;
use crate::hex;

const SCRIPT: &str = include_str!("../../python/peer.py");

#[derive(Debug, Clone, Copy, Default)]
pub struct PublisherOptions {
    pub durable: bool,
}

#[derive(Debug, Clone)]
pub struct Notice {
    pub exchange: String,
    pub topic: String,
    pub driver: String,
    pub publisher_id: String,
    pub event_type: String,
    pub priority: String,
    pub payload: Value,
    /// The argument of `RequestContext.from_dict`; `None` for an empty context.
    pub context: Option<Value>,
}

impl Default for Notice {
    fn default() -> Self {
        Self {
            exchange: "neutron".to_owned(),
            topic: "notifications".to_owned(),
            driver: "messagingv2".to_owned(),
            publisher_id: "network.node1.example.com".to_owned(),
            event_type: "port.delete.end".to_owned(),
            priority: "info".to_owned(),
            payload: json!({}),
            context: None,
        }
    }
}

#[derive(Debug, Clone)]
pub struct RawMessage {
    pub exchange: String,
    pub routing_key: String,
    pub body: Vec<u8>,
    /// AMQP basic properties by their names, as a JSON object; the peer sends no other property.
    pub properties: Value,
    pub headers: Value,
    pub declare: bool,
    pub durable: bool,
}

impl Default for RawMessage {
    fn default() -> Self {
        Self {
            exchange: "neutron".to_owned(),
            routing_key: "notifications.info".to_owned(),
            body: Vec::new(),
            properties: json!({
                "content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2, "priority": 0,
            }),
            headers: json!({}),
            declare: false,
            durable: false,
        }
    }
}

#[derive(Debug, Clone)]
pub struct BrokerObjects {
    pub exchange: String,
    pub queue: String,
    pub routing_keys: Vec<String>,
    pub durable: bool,
    pub auto_delete: bool,
    pub exclusive: bool,
    pub arguments: Value,
}

impl Default for BrokerObjects {
    fn default() -> Self {
        Self {
            exchange: "neutron".to_owned(),
            queue: String::new(),
            routing_keys: vec!["notifications.info".to_owned()],
            durable: true,
            auto_delete: false,
            exclusive: false,
            arguments: json!({}),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct TakenMessage {
    pub exchange: String,
    pub routing_key: String,
    pub redelivered: bool,
    pub properties: Value,
    pub headers: Value,
    pub body: Vec<u8>,
}

#[derive(Debug)]
pub struct OsloPublisher {
    script: Script,
    replies: BufReader<UnixStream>,
}

impl OsloPublisher {
    #[must_use]
    pub fn start(url: &str, options: PublisherOptions) -> Self {
        Self::with(&[url, if options.durable { "true" } else { "false" }])
    }

    #[must_use]
    pub fn for_service(url: &str, file: &Path) -> Self {
        Self::with(&[url, "false", file.to_str().unwrap()])
    }

    fn with(arguments: &[&str]) -> Self {
        let script = Script::start(SCRIPT, arguments);
        let replies = script.output();
        Self { script, replies }
    }

    #[track_caller]
    pub fn notify(&mut self, notice: &Notice) {
        self.notify_all(std::slice::from_ref(notice));
    }

    #[track_caller]
    pub fn notify_all(&mut self, notices: &[Notice]) {
        // Publishes in chunks, so that neither pipe fills up while its other end does not read.
        for some in notices.chunks(100) {
            for notice in some {
                self.send_notice(notice);
            }
            for _ in some {
                self.receive().unwrap_or_else(|error| panic!("not published: {error}"));
            }
        }
    }

    fn send_notice(&mut self, notice: &Notice) {
        self.send(&json!({
            "op": "notify", "exchange": notice.exchange, "topic": notice.topic, "driver": notice.driver,
            "publisher_id": notice.publisher_id, "event_type": notice.event_type,
            "priority": notice.priority, "payload": notice.payload, "context": notice.context,
        }));
    }

    #[track_caller]
    pub fn raw(&mut self, raw: &RawMessage) {
        self.try_raw(raw).unwrap_or_else(|error| panic!("not published: {error}"));
    }

    /// Publishes raw bytes to a broker that may be down.
    ///
    /// # Errors
    /// The reason for the missing confirmation; the broker may have the message nevertheless.
    pub(crate) fn try_raw(&mut self, raw: &RawMessage) -> Result<(), String> {
        self.send(&json!({
            "op": "raw", "exchange": raw.exchange, "routing_key": raw.routing_key, "body": hex::encode(&raw.body),
            "properties": raw.properties, "headers": raw.headers, "declare": raw.declare, "durable": raw.durable,
        }));
        self.receive().map(drop)
    }

    #[track_caller]
    pub fn prepare(&mut self, prepared: &BrokerObjects) {
        self.send(&json!({
            "op": "prepare", "exchange": prepared.exchange, "queue": prepared.queue,
            "routing_keys": prepared.routing_keys, "durable": prepared.durable,
            "auto_delete": prepared.auto_delete, "exclusive": prepared.exclusive, "arguments": prepared.arguments,
        }));
        self.receive().unwrap_or_else(|error| panic!("not prepared: {error}"));
    }

    #[track_caller]
    pub fn take(&mut self, queue: &str) -> Option<TakenMessage> {
        self.send(&json!({"op": "take", "queue": queue}));
        let reply = self.receive().unwrap_or_else(|error| panic!("nothing taken from {queue}: {error}"));
        let message = &reply["message"];
        if message.is_null() {
            return None;
        }
        let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
        Some(TakenMessage {
            exchange: text("exchange"),
            routing_key: text("routing_key"),
            redelivered: message["redelivered"] == true,
            properties: message["properties"].clone(),
            headers: message["headers"].clone(),
            body: hex::decode(&text("body")),
        })
    }

    fn send(&mut self, request: &Value) {
        let line = format!("{request}\n");
        self.script.write(&line).unwrap_or_else(|error| panic!("the Python peer is gone: {error}"));
    }

    fn receive(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        let read = self.replies.read_line(&mut line).map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the Python peer ended; its output above says why".to_owned());
        }
        let reply: Value = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
        if reply["ok"] == true {
            return Ok(reply);
        }
        Err(reply["error"].as_str().unwrap_or("no reason given").to_owned())
    }
}
