//! The stream between the broker and the client library. Beyond passing bytes on, it
//!
//! - fails when no byte arrives within the [`SilenceLimit`]. The client library waits for about two and a half
//!   heartbeats, and before the login without a limit;
//! - reports a peer that speaks TLS unexpectedly, or no AMQP;
//! - reads the broker's [`greeting`], which the client library does not expose;
//! - stops reading while too many bytes of [bodies](crate::body_flow) are in hand;
//! - changes frames that the client library cannot handle ([`frames`]): it limits the broker's offer
//!   ([`tune`](super::tune)), writes frames as small as the broker reads ([`SmallFrames`]), makes tables safe
//!   ([`headers`](super::headers)), and hides the password that a broker [repeats](super::repeated).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::frames::{self, Frames};
use super::greeting;
use super::login::{BrokerLogin, NothingInCommon};
use super::small_frames::SmallFrames;
use crate::body_flow::BodyFlow;
use crate::carrier::{Carrier, SilentEnd};

const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 0xCE];

/// The longest silence of the broker; `None` for no limit.
pub(super) type SilenceLimit = Option<Duration>;

/// The first bytes are not AMQP; the text shows them in printable characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what answers does not speak AMQP; it begins with \"{0}\"")]
pub(super) struct NotAmqp(String);

impl NotAmqp {
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        const SHOWN: usize = 24;
        const METHOD: [u8; 3] = [1, 0, 0];
        const HEADER: [u8; 4] = *b"AMQP";
        let begins = |start: &[u8]| bytes.iter().zip(start).all(|(byte, expected)| byte == expected);
        if begins(&METHOD) || begins(&HEADER) {
            return None;
        }
        let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        Some(Self(line[..line.len().min(SHOWN)].escape_ascii().to_string()))
    }
}

/// The reason why a connection is useless, found in its first bytes or their absence. Later failures, such as a failed
/// write, have the same cause.
#[derive(Clone, Debug)]
enum UselessCause {
    SpeaksTls,
    NotAmqp(NotAmqp),
    Missing(SilentEnd),
    NothingInCommon(NothingInCommon),
}

impl UselessCause {
    fn error(&self) -> io::Error {
        let kind = io::ErrorKind::InvalidData;
        match self {
            Self::SpeaksTls => {
                let words = "the broker speaks TLS on this port: set ssl = true, or use its port without TLS";
                io::Error::new(kind, words)
            }
            Self::NotAmqp(other) => io::Error::new(kind, other.clone()),
            Self::Missing(end) => io::Error::new(kind, *end),
            Self::NothingInCommon(none) => io::Error::new(kind, none.clone()),
        }
    }
}

/// The stream between the broker and the client library.
pub(super) struct BrokerStream {
    /// The stream of the connection.
    carrier: Carrier,
    /// The time of the latest byte, in milliseconds after `since`; the alarm reads it.
    heard: Arc<AtomicU64>,
    /// The beginning of the connection.
    since: Instant,
    /// Whether the broker has sent a byte.
    heard_anything: bool,
    /// The reason why the connection is useless; `None` for most.
    useless: Option<UselessCause>,
    /// Completes when the silence has been too long. The alarm is a task, since this stream is polled from a thread
    /// that outlives the runtime, where a timer panics.
    alarm: JoinSet<Duration>,
    /// Looks into the frames that arrive.
    frames: Frames,
    /// Set while the broker reads smaller frames than the client library writes.
    small_frames: Option<SmallFrames>,
    /// The bytes of the current write, accepted once its frames are written.
    accepting: Option<usize>,
    /// Stops reading while too many bytes are in hand.
    body_flow: Arc<BodyFlow>,
    /// Reads the greeting; `None` once it is read.
    greeting: Option<greeting::GreetingReader>,
    /// Chooses the method of the login by the greeting.
    login: BrokerLogin,
}

impl BrokerStream {
    pub(super) fn new(
        carrier: Carrier,
        silence: watch::Receiver<SilenceLimit>,
        heartbeat: bool,
        login: BrokerLogin,
        body_flow: Arc<BodyFlow>,
    ) -> Self {
        let (since, heard) = (Instant::now(), Arc::default());
        let mut alarm = JoinSet::new();
        alarm.spawn(silence_exceeded(silence, since, Arc::clone(&heard), Arc::clone(&body_flow)));
        Self {
            carrier,
            heard,
            since,
            heard_anything: false,
            useless: None,
            alarm,
            frames: Frames::new(heartbeat).counting(Arc::clone(&body_flow)).hiding(login.secrets()),
            small_frames: None,
            accepting: None,
            body_flow,
            greeting: Some(greeting::GreetingReader::new(Arc::clone(&login.told))),
            login,
        }
    }

    /// Waits for the alarm of silence, as there is nothing to read.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.alarm.poll_join_next(context) {
            Poll::Ready(Some(Ok(longest))) => {
                let seconds = longest.as_secs_f64();
                let words = format!("nothing has come from the broker for {seconds:.1} s");
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, words)))
            }
            // The runtime is shutting down, and the socket reports that itself.
            Poll::Ready(Some(Err(_)) | None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Remembers why the connection is useless, and returns the error of this and of all later failures.
    fn mark_useless(&mut self, why: UselessCause) -> io::Error {
        let error = why.error();
        self.useless = Some(why);
        error
    }

    fn silent_end(&mut self, error: io::Error) -> io::Error {
        let ended = [
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::ConnectionAborted,
            io::ErrorKind::BrokenPipe,
        ];
        let unknown = error.get_ref().is_none_or(|inner| !inner.is::<rustls::Error>());
        if !unknown || !ended.contains(&error.kind()) {
            return error;
        }
        match &self.useless {
            Some(why) => why.error(),
            None if self.heard_anything => error,
            None if self.carrier.has_tls => self.mark_useless(UselessCause::Missing(SilentEnd::Tls)),
            None => self.mark_useless(UselessCause::Missing(SilentEnd::Plain)),
        }
    }

    /// Reads the broker's words after a failed write: the first writes may fail on a connection that the broker has
    /// refused.
    fn unwritable(&mut self, context: &mut Context<'_>, error: io::Error) -> io::Error {
        if self.heard_anything {
            return self.silent_end(error);
        }
        let mut bytes = [0; 16];
        match Pin::new(&mut *self).read(context, &mut bytes) {
            Poll::Ready(Err(said)) => said,
            Poll::Ready(Ok(_)) | Poll::Pending => self.silent_end(error),
        }
    }

    fn read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let ready = self.frames.take(bytes);
            if ready > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(ready));
            }
            let room = if self.body_flow.poll_room(context).is_pending() {
                // The current frame is read to its end, so that a heartbeat fits behind it.
                match self.frames.rest() {
                    Some(rest) => rest,
                    None if bytes.len() >= HEARTBEAT.len() && self.body_flow.takes_beat() => {
                        bytes[..HEARTBEAT.len()].copy_from_slice(&HEARTBEAT);
                        return Poll::Ready(Ok(HEARTBEAT.len()));
                    }
                    None => return self.poll_silence(context),
                }
            } else {
                self.frames.lacking().unwrap_or(bytes.len())
            };
            let room = room.min(bytes.len());
            let mut buffer = ReadBuf::new(&mut bytes[..room]);
            let polled = Pin::new(&mut self.carrier.stream).poll_read(context, &mut buffer);
            let length = buffer.filled().len();
            match polled {
                Poll::Ready(Ok(())) => {
                    let given = self.inspect(&mut bytes[..length])?;
                    if given > 0 || length == 0 {
                        return Poll::Ready(Ok(given));
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.silent_end(error))),
                Poll::Pending => return self.poll_silence(context),
            }
        }
    }

    /// Writes small frames of these bytes. The caller offers bytes again until they are accepted.
    fn write_small(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(small) = &mut self.small_frames else { return Poll::Ready(Ok(0)) };
        if self.accepting.is_none() {
            small.push(bytes);
            self.accepting = Some(bytes.len());
        }
        while !small.to_write().is_empty() {
            match Pin::new(&mut self.carrier.stream).poll_write(context, small.to_write()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => small.wrote(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(self.accepting.take().unwrap_or_default().min(bytes.len())))
    }

    /// Inspects bytes that have arrived, and returns how many the client library may have already: the rest waits in
    /// `frames` until its frame is whole.
    fn inspect(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        /// The first bytes of TLS records: content types alert and handshake, and the major version.
        const TLS: [[u8; 2]; 2] = [[21, 3], [22, 3]];
        let now = self.since.elapsed().as_millis();
        self.heard.store(now.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        if !self.heard_anything {
            if bytes.is_empty() {
                return Err(self.silent_end(io::ErrorKind::UnexpectedEof.into()));
            }
            self.heard_anything = true;
            if !self.carrier.has_tls && TLS.iter().any(|start| bytes.starts_with(start)) {
                return Err(self.mark_useless(UselessCause::SpeaksTls));
            }
            if let Some(other) = NotAmqp::from_bytes(bytes) {
                return Err(self.mark_useless(UselessCause::NotAmqp(other)));
            }
        }
        if self.greeting.as_mut().is_some_and(|reader| reader.pass(bytes)) {
            self.greeting = None;
            if let Err(none) = self.login.method() {
                return Err(self.mark_useless(UselessCause::NothingInCommon(none)));
            }
        }
        let broken = |error: frames::BrokenFrame| io::Error::new(io::ErrorKind::InvalidData, error);
        let passed = self.frames.pass(bytes).map_err(broken)?;
        if let Some(most) = self.frames.small.take() {
            self.small_frames = Some(SmallFrames::new(most));
        }
        match self.frames.insufficient.take() {
            Some(none) => Err(self.mark_useless(UselessCause::NothingInCommon(none))),
            None => Ok(passed),
        }
    }
}

impl futures_io::AsyncRead for BrokerStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.read(context, bytes)
    }
}

impl futures_io::AsyncWrite for BrokerStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let polled = match stream.small_frames {
            Some(_) => stream.write_small(context, bytes),
            None => Pin::new(&mut stream.carrier.stream).poll_write(context, bytes),
        };
        polled.map_err(|error| stream.unwritable(context, error))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let polled = match stream.small_frames {
            Some(_) => {
                let first = slices.iter().find(|slice| !slice.is_empty());
                stream.write_small(context, first.map_or(&[], |slice| &**slice))
            }
            None => Pin::new(&mut stream.carrier.stream).poll_write_vectored(context, slices),
        };
        polled.map_err(|error| stream.unwritable(context, error))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let polled = Pin::new(&mut stream.carrier.stream).poll_flush(context);
        polled.map_err(|error| stream.unwritable(context, error))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let polled = Pin::new(&mut stream.carrier.stream).poll_shutdown(context);
        polled.map_err(|error| stream.silent_end(error))
    }
}

/// Completes with the limit when the broker has been silent for that time.
async fn silence_exceeded(
    mut silence: watch::Receiver<SilenceLimit>,
    since: Instant,
    heard: Arc<AtomicU64>,
    body_flow: Arc<BodyFlow>,
) -> Duration {
    loop {
        let longest = *silence.borrow_and_update();
        if body_flow.is_full() {
            // Reading is paused here, and the client library must not take that for silence.
            let now = since.elapsed().as_millis();
            heard.store(now.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
            body_flow.beat();
        }
        let deadline =
            longest.map(|longest| since + Duration::from_millis(heard.load(Ordering::Relaxed)) + longest);
        match (longest, deadline) {
            (Some(longest), Some(deadline)) if Instant::now() >= deadline => return longest,
            (_, deadline) => {
                // The limit is three heartbeats, so this looks once per heartbeat.
                let next_check = longest.map(|longest| Instant::now() + longest / 3);
                let until = async {
                    match deadline.min(next_check) {
                        Some(at) => tokio::time::sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = until => {}
                    Ok(()) = silence.changed() => {}
                }
            }
        }
    }
}
