//! A broker that speaks just enough AMQP 0-9-1 to open connections and channels, and answers every other
//! method as its script says.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use amq_protocol::frame::{AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::{AMQPClass, channel as ch, connection as conn};

/// Answers a method: what to send on the same channel, or on channel 0 if it is of the class `connection`.
pub(crate) type Script = fn(&AMQPClass) -> Option<AMQPClass>;

/// Listens on a free port of 127.0.0.1 until the process ends; one thread a connection.
pub(crate) struct Scripted {
    port: u16,
    /// Everything that clients asked for, beside the opening of connections and channels.
    pub(crate) asked: Receiver<AMQPClass>,
}

impl Scripted {
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, sender) = (stream.unwrap(), sender.clone());
                std::thread::spawn(move || serve(stream, script, &sender));
            }
        });
        Self { port, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("rabbit://u:p@127.0.0.1:{}/", self.port)
    }
}

/// Until the client or the script closes the connection.
fn serve(mut stream: TcpStream, script: Script, asked: &Sender<AMQPClass>) -> Option<()> {
    let mut header = [0; 8];
    stream.read_exact(&mut header).ok()?;
    let start = conn::Start {
        version_major: 0,
        version_minor: 9,
        mechanisms: "PLAIN AMQPLAIN".into(),
        locales: "en_US".into(),
        ..conn::Start::default()
    };
    send(&mut stream, 0, AMQPClass::Connection(conn::AMQPMethod::Start(start)))?;
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
        let reply = match &method {
            AMQPClass::Connection(conn::AMQPMethod::StartOk(_)) => {
                let tune = conn::Tune { channel_max: 100, frame_max: 131_072, heartbeat: 0 };
                Some(AMQPClass::Connection(conn::AMQPMethod::Tune(tune)))
            }
            AMQPClass::Connection(conn::AMQPMethod::TuneOk(_)) => None,
            AMQPClass::Connection(conn::AMQPMethod::Open(_)) => {
                Some(AMQPClass::Connection(conn::AMQPMethod::OpenOk(conn::OpenOk {})))
            }
            AMQPClass::Connection(conn::AMQPMethod::Close(_)) => {
                Some(AMQPClass::Connection(conn::AMQPMethod::CloseOk(conn::CloseOk {})))
            }
            AMQPClass::Connection(conn::AMQPMethod::CloseOk(_)) => return Some(()),
            AMQPClass::Channel(ch::AMQPMethod::Open(_)) => {
                Some(AMQPClass::Channel(ch::AMQPMethod::OpenOk(ch::OpenOk {})))
            }
            AMQPClass::Channel(ch::AMQPMethod::Close(_)) => {
                Some(AMQPClass::Channel(ch::AMQPMethod::CloseOk(ch::CloseOk {})))
            }
            AMQPClass::Channel(ch::AMQPMethod::CloseOk(_)) => None,
            other => {
                let reply = script(other);
                // A test that has ended does not listen any more.
                let _ = asked.send(other.clone());
                reply
            }
        };
        if let Some(reply) = reply {
            let id = if matches!(reply, AMQPClass::Connection(_)) { 0 } else { id };
            send(&mut stream, id, reply)?;
        }
    }
}

fn send(stream: &mut TcpStream, channel: u16, method: AMQPClass) -> Option<()> {
    let mut bytes = [0; 4096];
    let frame = AMQPFrame::Method(channel, method);
    let written = gen_frame(&frame)(WriteContext::from(&mut bytes[..])).ok()?;
    let length = usize::try_from(written.position).ok()?;
    stream.write_all(&bytes[..length]).ok()
}
