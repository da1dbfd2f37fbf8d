//! One connection to one host, with one session. After the opening, a task reads and writes its frames.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use osnl_model::{Scrubber, Secret, TransportHost, TransportUrl};
use osnl_transport::parts::{Carrier, Duplex, TIMEOUT, address, carrier};
use osnl_transport::stamp::unique_id;
use osnl_transport::{Binding, TransportError};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::codec::{NULL, STRING, TRUE, frame, list, text, uint};
use super::options::Amqp1Options;
use super::session::{Session, WINDOW};
use super::wire::{FAREWELL, LONGEST_FRAME, WireFailure, expect, header, leave, login, read_frame, send};

/// The broker is told half of this time, so that it sends a frame at least so often.
const SILENCE: Duration = Duration::from_secs(60);
const NEVER: u64 = u64::MAX;

pub(super) struct Amqp1Connection {
    stream: BufReader<Box<dyn Duplex>>,
    pub(super) host: String,
    pub(super) product: Option<String>,
    pub(super) certificate_ends: Option<i64>,
    /// The time after which a frame without content tells the broker that osnl is there.
    beat: Duration,
    /// The number of the broker's next transfer.
    pub(super) next: u32,
    /// The login's password, which the broker may repeat.
    pub(super) secrets: Scrubber,
}

/// A session that a task and a consumer use.
pub(super) struct SharedSession {
    pub(super) changed: Notify,
    session: Mutex<Session>,
}

impl Amqp1Connection {
    pub(super) async fn open(
        url: &TransportUrl,
        host: &TransportHost,
        options: &Amqp1Options,
    ) -> Result<Self, TransportError> {
        let (deadline, seconds) = (Instant::now() + TIMEOUT, TIMEOUT.as_secs_f64());
        let tls = options.tls(url);
        let (Carrier { stream, certificate_ends, .. }, trial) =
            carrier(host, tls.as_ref(), (deadline, seconds)).await?;
        let mut stream = BufReader::new(stream);
        let mechanism = options.mechanism(url, host.username.is_some())?;
        let (name_of_user, password) = (host.username.as_deref().unwrap_or_default(), host.credentials().1);
        let user = host.username.as_ref().map_or_else(String::new, |_| host.shown_user().to_owned());
        // A password that equals the user's name is not masked, because the name would be masked too.
        let secret = host.password.as_ref().map(Secret::expose);
        let secrets = Scrubber::new(secret.filter(|secret| Some(*secret) != host.username.as_deref()));
        let name = text(STRING, format!("osnl-{}", unique_id()));
        let peer = text(STRING, options.virtual_host(url).unwrap_or(&host.hostname));
        let silence = uint(u32::try_from(SILENCE.as_millis() / 2).unwrap_or(u32::MAX));
        let open = list(0x10, &[&name, &peer, &uint(LONGEST_FRAME), NULL, &silence]);
        let begin = list(0x11, &[NULL, &uint(0), &uint(WINDOW), &uint(WINDOW)]);
        let opening = async {
            login(&mut stream, mechanism, (name_of_user, password), &host.hostname).await?;
            header(&mut stream, 0).await?;
            send(&mut stream, &[frame(0, &open), frame(0, &begin)].concat()).await?;
            let told = expect(&mut stream, 0x10, |open| {
                (open.field(4).number(), open.field(9).entry("product").text())
            })
            .await?;
            let next = expect(&mut stream, 0x11, |begin| begin.field(1).number()).await?;
            Ok((told, u32::try_from(next.unwrap_or_default()).unwrap_or_default()))
        };
        let host = address(host);
        let opened = timeout_at(deadline, opening).await;
        let opened =
            opened.unwrap_or_else(|_| Err(WireFailure::Broken(format!("no answer within {seconds} s"))));
        let opened = opened.map_err(|failure| failure.hiding(&secrets));
        if !matches!(opened, Err(WireFailure::Broken(_))) {
            trial.passed();
        }
        match opened {
            Ok(((idle, product), next)) => {
                let idle = idle.filter(|idle| *idle > 0).unwrap_or(NEVER);
                let beat = Duration::from_millis(idle.clamp(200, 60_000) / 2);
                let product = product.map(|product: String| secrets.scrub(&product).into_owned());
                Ok(Self { stream, host, product, certificate_ends, beat, next, secrets })
            }
            Err(WireFailure::Refused(reason)) => Err(TransportError::LoginRefused { host, user, reason }),
            Err(WireFailure::Broken(reason)) => Err(TransportError::Connect { host, reason }),
            Err(WireFailure::Ended(end)) => {
                leave(&mut stream, None).await;
                Err(match end.refuses_login() {
                    true => TransportError::LoginRefused { host, user, reason: end.reason },
                    false => TransportError::Connect { host, reason: end.reason },
                })
            }
        }
    }

    /// Attaches a link for each binding, and returns with the binding the broker's numbers of link and deliveries.
    pub(super) async fn attach(
        &mut self,
        bindings: Vec<Binding>,
    ) -> Result<Vec<(Binding, (u64, u32))>, TransportError> {
        let mut links: Vec<(Binding, (u64, u32))> = Vec::new();
        for (handle, binding) in (0..).zip(bindings) {
            let silent = || WireFailure::Broken("the broker does not answer to a link".to_owned());
            let attached = timeout(TIMEOUT, self.attach_one(handle, &binding.queue)).await;
            let attached = attached.unwrap_or_else(|_| Err(silent()));
            match attached.map_err(|failure| failure.hiding(&self.secrets)) {
                Ok(numbers) => links.push((binding, numbers)),
                Err(WireFailure::Ended(end)) => {
                    // A detach may be late, and of a link before.
                    let of = (0..).zip(&links).find(|(_, (_, (number, _)))| Some(*number) == end.handle);
                    let (ours, address) =
                        of.map_or((handle, &binding), |(ours, (binding, _))| (ours, binding));
                    leave(&mut self.stream, end.handle.map(|_| ours)).await;
                    return Err(end.for_address(&address.queue));
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(links)
    }

    async fn attach_one(&mut self, handle: u32, from: &str) -> Result<(u64, u32), WireFailure> {
        let name = text(STRING, format!("osnl-{}", unique_id()));
        let (source, target) = (list(0x28, &[&text(STRING, from)]), list(0x29, &[]));
        // The sender leaves all deliveries unsettled (0), so that none is lost before it is accepted.
        let attach = list(0x12, &[&name, &uint(handle), TRUE, &[0x50, 0], NULL, &source, &target]);
        send(&mut self.stream, &frame(0, &attach)).await?;
        let (has_source, handle, deliveries) = expect(&mut self.stream, 0x12, |attach| {
            (!attach.field(5).is_null(), attach.field(1).number(), attach.field(9).number())
        })
        .await?;
        if !has_source {
            // The broker gives its reason in a detach that follows.
            expect(&mut self.stream, NEVER, |_| ()).await?;
        }
        Ok((handle.unwrap_or_default(), u32::try_from(deliveries.unwrap_or_default()).unwrap_or_default()))
    }

    pub(super) async fn close(mut self) {
        let closing = async {
            send(&mut self.stream, &frame(0, &list(0x18, &[]))).await?;
            expect(&mut self.stream, 0x18, |_| ()).await
        };
        let _ = timeout(TIMEOUT, closing).await;
    }

    /// Starts the task that reads and writes frames, until the connection ends or the task is dropped.
    pub(super) fn run(self, shared: Arc<SharedSession>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (reader, writer) = tokio::io::split(self.stream);
            let mut writing = pin!(write_frames(writer, self.beat, &shared));
            let end = tokio::select! {
                end = read_frames(reader, &shared) => {
                    shared.session().end_writing();
                    let _ = timeout(FAREWELL, &mut writing).await;
                    end
                }
                failure = &mut writing => failure.into(),
            };
            shared.session().end.get_or_insert(end);
            shared.changed.notify_one();
        });
        tasks
    }
}

async fn read_frames(mut reader: impl AsyncRead + Unpin, shared: &SharedSession) -> TransportError {
    let flow = Arc::clone(&shared.session().flow);
    loop {
        std::future::poll_fn(|context| flow.poll_room(context)).await;
        let read = timeout(SILENCE, read_frame(&mut reader)).await;
        let taken = match read.unwrap_or_else(|_| Err(silent("the peer sent no frame"))) {
            Ok(frame) => shared.session().take(&frame),
            Err(failure) => Err(failure.into()),
        };
        if let Err(end) = taken {
            return end;
        }
        shared.changed.notify_one();
    }
}

async fn write_frames(
    mut writer: impl AsyncWrite + Unpin,
    beat: Duration,
    shared: &SharedSession,
) -> WireFailure {
    let wake = Arc::clone(&shared.session().wake);
    loop {
        let (mut frames, is_closing, is_over) = {
            let mut session = shared.session();
            (session.due(), session.is_closing, session.is_over)
        };
        if frames.is_empty() {
            if is_over {
                return WireFailure::Broken(String::new());
            }
            // A frame without content must not follow the close either.
            if is_closing {
                wake.notified().await;
                continue;
            }
            if timeout(beat, wake.notified()).await.is_ok() {
                continue;
            }
            frames = frame(0, &[]);
        }
        match timeout(SILENCE, send(&mut writer, &frames)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.into(),
            Err(_) => return silent("the peer took no frame"),
        }
    }
}

fn silent(peer: &str) -> WireFailure {
    WireFailure::Broken(format!("{peer} for {} s", SILENCE.as_secs()))
}

impl SharedSession {
    pub(super) fn new(session: Session) -> Self {
        Self { changed: Notify::new(), session: Mutex::new(session) }
    }

    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn ended(&self) -> TransportError {
        loop {
            let changed = self.changed.notified();
            if let Some(end) = self.session().end.clone() {
                return end;
            }
            changed.await;
        }
    }
}
