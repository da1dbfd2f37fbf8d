//! The protocol: a subset of AMQP 0-9-1 that opens connections and channels and delivers.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::protocol::{AMQPClass, basic, channel as ch, connection as conn, exchange, queue};

const FRAME_MAX: u32 = 131_072;
const BASIC: u16 = 60;

/// Answers a method on a channel through the link, or not at all. `false` asks for the usual answer.
trait Script: Fn(&ScriptedLink, u16, &AMQPClass) -> bool + Send + Sync {}
impl<F: Fn(&ScriptedLink, u16, &AMQPClass) -> bool + Send + Sync> Script for F {}

#[derive(Clone, Debug)]
pub struct HandshakeOffer {
    pub mechanisms: &'static str,
    pub locales: &'static str,
    pub tune: (u16, u32, u16),
}

impl Default for HandshakeOffer {
    fn default() -> Self {
        Self { mechanisms: "PLAIN AMQPLAIN", locales: "en_US", tune: (100, FRAME_MAX, 0) }
    }
}

#[derive(Debug)]
pub struct ScriptedServer {
    port: u16,
    asked: Mutex<Receiver<AMQPClass>>,
    agreed: Mutex<Receiver<AMQPClass>>,
}

#[derive(Clone, Debug)]
pub struct ScriptedLink {
    number: u64,
    stream: Arc<Mutex<TcpStream>>,
}

impl ScriptedServer {
    pub fn start(
        script: impl Fn(&ScriptedLink, u16, &AMQPClass) -> bool + Send + Sync + 'static,
        ended: impl Fn(&ScriptedLink) + Send + Sync + 'static,
    ) -> Self {
        Self::offering(HandshakeOffer::default(), script, ended)
    }

    pub fn offering(
        offer: HandshakeOffer,
        script: impl Fn(&ScriptedLink, u16, &AMQPClass) -> bool + Send + Sync + 'static,
        ended: impl Fn(&ScriptedLink) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let ((sender, asked), (answers, agreed)) = (channel(), channel());
        let (script, ended) = (Arc::new(script), Arc::new(ended));
        std::thread::spawn(move || {
            for (number, stream) in (0..).zip(listener.incoming()) {
                let Ok(stream) = stream else { continue };
                let (script, ended, sender) = (script.clone(), ended.clone(), sender.clone());
                let (offer, answers) = (offer.clone(), answers.clone());
                std::thread::spawn(move || {
                    let writer = Arc::new(Mutex::new(stream.try_clone().unwrap()));
                    let link = ScriptedLink { number, stream: writer };
                    let _ = serve(&link, stream, &*script, (&offer, &answers, &sender));
                    link.cut();
                    ended(&link);
                });
            }
        });
        Self { port, asked: Mutex::new(asked), agreed: Mutex::new(agreed) }
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("rabbit://u:p@127.0.0.1:{}/", self.port)
    }

    #[must_use]
    pub fn asked(&self) -> Vec<AMQPClass> {
        self.asked.lock().unwrap().try_iter().collect()
    }

    #[must_use]
    pub fn agreed(&self) -> Vec<AMQPClass> {
        self.agreed.lock().unwrap().try_iter().collect()
    }
}

impl ScriptedLink {
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Sends on channel 0 for the class `connection`. A method for a disconnected client is lost.
    pub fn send(&self, channel: u16, method: AMQPClass) {
        let channel = if matches!(method, AMQPClass::Connection(_)) { 0 } else { channel };
        self.write(&[AMQPFrame::Method(channel, method)]);
    }

    pub fn deliver(
        &self,
        channel: u16,
        (delivery_tag, redelivered): (u64, bool),
        (exchange, routing_key): (&str, &str),
        body: &[u8],
        properties: AMQPProperties,
    ) {
        let header = AMQPContentHeader { class_id: BASIC, body_size: body.len() as u64, properties };
        let header = bytes_of(&[AMQPFrame::Header(channel, header)]);
        self.deliver_frames(channel, (delivery_tag, redelivered), (exchange, routing_key), &header, body);
    }

    pub(crate) fn deliver_raw(
        &self,
        channel: u16,
        tag: (u64, bool),
        origin: (&str, &str),
        body: &[u8],
        properties: &[u8],
    ) {
        let header = content_header(channel, body.len(), properties);
        self.deliver_frames(channel, tag, origin, &header, body);
    }

    pub(crate) fn deliver_repeated(
        &self,
        channel: u16,
        tag: (u64, bool),
        origin: (&str, &str),
        octet: u8,
        mut times: usize,
    ) {
        let header = content_header(channel, times, &[0, 0]);
        self.deliver_frames(channel, tag, origin, &header, &[]);
        let piece = |size: usize| bytes_of(&[AMQPFrame::Body(channel, vec![octet; size])]);
        let most = FRAME_MAX as usize - 8;
        let whole = piece(most);
        let mut stream = self.stream.lock().unwrap();
        while times > most {
            let _ = stream.write_all(&whole);
            times -= most;
        }
        let _ = stream.write_all(&piece(times));
    }

    fn deliver_frames(
        &self,
        channel: u16,
        (delivery_tag, redelivered): (u64, bool),
        (exchange, routing_key): (&str, &str),
        header: &[u8],
        body: &[u8],
    ) {
        let deliver = basic::Deliver {
            consumer_tag: "c".into(),
            delivery_tag,
            redelivered,
            exchange: exchange.into(),
            routing_key: routing_key.into(),
        };
        let method = AMQPFrame::Method(channel, AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver)));
        let mut bytes = bytes_of(&[method]);
        bytes.extend_from_slice(header);
        let pieces = body.chunks(FRAME_MAX as usize - 8);
        let pieces: Vec<_> = pieces.map(|piece| AMQPFrame::Body(channel, piece.to_vec())).collect();
        bytes.extend(bytes_of(&pieces));
        let _ = self.stream.lock().unwrap().write_all(&bytes);
    }

    /// Sends `channel.close`, as the broker does for a refused request. `method` is the class and number of the
    /// request.
    pub fn close_channel(&self, channel: u16, code: u16, text: &str, method: (u16, u16)) {
        let close =
            ch::Close { reply_code: code, reply_text: text.into(), class_id: method.0, method_id: method.1 };
        self.send(channel, AMQPClass::Channel(ch::AMQPMethod::Close(close)));
    }

    pub(crate) fn close_connection(&self, code: u16, text: &str, method: (u16, u16)) {
        let close = conn::Close {
            reply_code: code,
            reply_text: text.into(),
            class_id: method.0,
            method_id: method.1,
        };
        self.send(0, AMQPClass::Connection(conn::AMQPMethod::Close(close)));
    }

    pub fn cut(&self) {
        let _ = self.stream.lock().unwrap().shutdown(std::net::Shutdown::Both);
    }

    fn write(&self, frames: &[AMQPFrame]) {
        let _ = self.stream.lock().unwrap().write_all(&bytes_of(frames));
    }
}

pub(super) fn bytes_of(frames: &[AMQPFrame]) -> Vec<u8> {
    let written = |frame| gen_frame(frame)(WriteContext::from(Vec::new())).unwrap().write;
    frames.iter().flat_map(written).collect()
}

pub(super) fn content_header(channel: u16, body_size: usize, properties: &[u8]) -> Vec<u8> {
    let size = u32::try_from(12 + properties.len()).unwrap().to_be_bytes();
    let (class, body_size) = (BASIC.to_be_bytes(), (body_size as u64).to_be_bytes());
    [&[2], &channel.to_be_bytes()[..], &size, &class, &[0, 0], &body_size, properties, &[0xCE]].concat()
}

fn serve(
    link: &ScriptedLink,
    mut stream: TcpStream,
    script: &dyn Script,
    (offer, answers, asked): (&HandshakeOffer, &Sender<AMQPClass>, &Sender<AMQPClass>),
) -> Option<()> {
    let mut header = [0; 8];
    stream.read_exact(&mut header).ok()?;
    let start = conn::Start {
        version_major: 0,
        version_minor: 9,
        mechanisms: offer.mechanisms.into(),
        locales: offer.locales.into(),
        ..conn::Start::default()
    };
    link.send(0, AMQPClass::Connection(conn::AMQPMethod::Start(start)));
    let mut buffer = Vec::new();
    loop {
        let frame = match parse_frame(&buffer[..]) {
            Ok((rest, frame)) => {
                let used = buffer.len() - rest.len();
                buffer.drain(..used);
                frame
            }
            Err(_) => {
                let mut more = [0; 4096];
                let n = stream.read(&mut more).ok().filter(|n| *n > 0)?;
                buffer.extend_from_slice(&more[..n]);
                continue;
            }
        };
        let AMQPFrame::Method(id, method) = frame else { continue };
        if let AMQPClass::Connection(conn::AMQPMethod::StartOk(_) | conn::AMQPMethod::TuneOk(_)) = &method {
            let _ = answers.send(method.clone());
        }
        match &method {
            AMQPClass::Connection(conn::AMQPMethod::CloseOk(_)) => return Some(()),
            AMQPClass::Connection(conn::AMQPMethod::StartOk(_)) => {
                let (channel_max, frame_max, heartbeat) = offer.tune;
                let tune = conn::Tune { channel_max, frame_max, heartbeat };
                link.send(0, AMQPClass::Connection(conn::AMQPMethod::Tune(tune)));
            }
            AMQPClass::Connection(conn::AMQPMethod::TuneOk(_))
            | AMQPClass::Channel(ch::AMQPMethod::CloseOk(_)) => {}
            AMQPClass::Connection(_) | AMQPClass::Channel(_) => {
                if let Some(reply) = usual(&method) {
                    link.send(id, reply);
                }
            }
            other => {
                let handled = script(link, id, other);
                if let Some(reply) = usual(other).filter(|_| !handled) {
                    link.send(id, reply);
                }
                // Fails after the end of a test, which drops its receiver.
                let _ = asked.send(method);
            }
        }
    }
}

fn usual(method: &AMQPClass) -> Option<AMQPClass> {
    Some(match method {
        AMQPClass::Connection(conn::AMQPMethod::Open(_)) => {
            AMQPClass::Connection(conn::AMQPMethod::OpenOk(conn::OpenOk {}))
        }
        AMQPClass::Connection(conn::AMQPMethod::Close(_)) => {
            AMQPClass::Connection(conn::AMQPMethod::CloseOk(conn::CloseOk {}))
        }
        AMQPClass::Channel(ch::AMQPMethod::Open(_)) => {
            AMQPClass::Channel(ch::AMQPMethod::OpenOk(ch::OpenOk {}))
        }
        AMQPClass::Channel(ch::AMQPMethod::Close(_)) => {
            AMQPClass::Channel(ch::AMQPMethod::CloseOk(ch::CloseOk {}))
        }
        AMQPClass::Exchange(exchange::AMQPMethod::Declare(_)) => {
            AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {}))
        }
        AMQPClass::Queue(queue::AMQPMethod::Declare(declare)) => {
            let ok = queue::DeclareOk { queue: declare.queue.clone(), message_count: 0, consumer_count: 0 };
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok))
        }
        AMQPClass::Queue(queue::AMQPMethod::Bind(_)) => {
            AMQPClass::Queue(queue::AMQPMethod::BindOk(queue::BindOk {}))
        }
        AMQPClass::Basic(basic::AMQPMethod::Qos(_)) => {
            AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {}))
        }
        AMQPClass::Basic(basic::AMQPMethod::Consume(_)) => {
            let ok = basic::ConsumeOk { consumer_tag: "c".into() };
            AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok))
        }
        AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) => {
            let ok = basic::CancelOk { consumer_tag: cancel.consumer_tag.clone() };
            AMQPClass::Basic(basic::AMQPMethod::CancelOk(ok))
        }
        _ => return None,
    })
}
