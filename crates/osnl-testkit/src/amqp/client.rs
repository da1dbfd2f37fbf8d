use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, connection};
use amq_protocol::types::{FieldTable, LongString, ShortString};

use super::scripted::{bytes_of, content_header};

const CHANNEL: u16 = 1;

#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl RawClient {
    #[must_use]
    pub fn connect(url: &str) -> Self {
        let (login, rest) = url.trim_start_matches("rabbit://").split_once('@').unwrap();
        let (host, virtual_host) = rest.split_once('/').unwrap();
        let (user, password) = login.split_once(':').unwrap();
        let mut client = Self { stream: TcpStream::connect(host).unwrap(), unread: Vec::new() };
        client.stream.write_all(b"AMQP\0\0\x09\x01").unwrap();
        client.answer();
        let start = connection::StartOk {
            client_properties: FieldTable::default(),
            mechanism: "PLAIN".into(),
            response: LongString::from(format!("\0{user}\0{password}")),
            locale: "en_US".into(),
        };
        client.method(0, AMQPClass::Connection(connection::AMQPMethod::StartOk(start)));
        client.answer();
        let tune = connection::TuneOk { channel_max: 10, frame_max: 131_072, heartbeat: 0 };
        client.method(0, AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune)));
        let name = if virtual_host.is_empty() { "/" } else { virtual_host };
        let open = connection::Open { virtual_host: ShortString::from(name) };
        client.method(0, AMQPClass::Connection(connection::AMQPMethod::Open(open)));
        client.answer();
        client.method(CHANNEL, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
        client.answer();
        let confirm = confirm::Select { nowait: false };
        client.method(CHANNEL, AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm)));
        client.answer();
        client
    }

    /// Publishes with any octets as properties (flags and values), and waits for the broker's confirmation.
    pub fn publish(&mut self, exchange: &str, routing_key: &[u8], properties: &[u8], body: &[u8]) {
        let short = |octets: &[u8]| [&[u8::try_from(octets.len()).unwrap()], octets].concat();
        // The code encodes basic.publish itself, because a routing key may be any octets.
        let payload =
            [&[0, 60, 0, 40, 0, 0][..], &short(exchange.as_bytes()), &short(routing_key), &[0]].concat();
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = [&[1][..], &CHANNEL.to_be_bytes(), &size, &payload, &[0xCE]].concat();
        bytes.extend(content_header(CHANNEL, body.len(), properties));
        bytes.extend(bytes_of(&[AMQPFrame::Body(CHANNEL, body.to_vec())]));
        self.stream.write_all(&bytes).unwrap();
        match self.answer() {
            AMQPClass::Basic(basic::AMQPMethod::Ack(_)) => {}
            other => panic!("the broker did not take the message: {other:?}"),
        }
    }

    fn method(&mut self, channel: u16, method: AMQPClass) {
        self.stream.write_all(&bytes_of(&[AMQPFrame::Method(channel, method)])).unwrap();
    }

    fn answer(&mut self) -> AMQPClass {
        loop {
            if let Ok((rest, frame)) = parse_frame(&self.unread[..]) {
                let used = self.unread.len() - rest.len();
                self.unread.drain(..used);
                if let AMQPFrame::Method(_, method) = frame {
                    return method;
                }
                continue;
            }
            let mut more = [0; 4096];
            let count = self.stream.read(&mut more).unwrap();
            assert!(count > 0, "the broker has ended the connection");
            self.unread.extend_from_slice(&more[..count]);
        }
    }
}
