//! The connections of a server, each in a task of its own.
//!
//! On the control socket root and the daemon's own user have a share of the connections, so that other users
//! cannot exhaust it. In each share a new connection replaces another ([`Connections`] says which); on the control
//! socket a new connection is refused if all are being answered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use osnl::connections::{Busy, Connections};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::answer::{self, AnswerBody};
use crate::caller::{Caller, Rights};
use crate::pace::MOST;
use crate::progress::ProgressStream;
use crate::service::Service;

/// The time for a handshake, for the head of a request, and between two requests of a connection.
const HEAD: Duration = Duration::from_secs(5);
/// The longest life of a connection to the admin endpoint; a scraper connects again.
const LIFE: Duration = Duration::from_secs(10 * 60);
const HEAD_BYTES: usize = 16 * 1024;
/// The time that remains for an answer in progress after the stop.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// The most concurrent connections of users other than root and the daemon's own to the control socket.
const OTHERS: usize = 16;

pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

pub(crate) struct Shares {
    first: Connections,
    others: Connections,
    late: Connections,
}

impl Shares {
    pub(crate) fn new() -> Self {
        let [others, late] = [OTHERS, OTHERS].map(Connections::at_most);
        Self { first: Connections::at_most(MOST), others, late }
    }

    pub(crate) fn add(
        &mut self,
        service: Arc<Service>,
        stream: Box<dyn ByteStream>,
        mut caller: Caller,
        stop: CancellationToken,
    ) {
        let share = match caller.rights {
            Rights::AsConfigured | Rights::All => &mut self.first,
            Rights::Reads(_) | Rights::Probes | Rights::Nothing | Rights::Later => &mut self.others,
        };
        let share = if caller.is_own() && !share.make_room() {
            caller.rights = Rights::Later;
            &mut self.late
        } else {
            share
        };
        share.add(caller.peer, move |busy| Box::pin(serve(service, stream, caller, busy, stop)));
    }

    pub(crate) async fn ended(&mut self) {
        tokio::select! {
            () = self.first.ended() => {}
            () = self.others.ended() => {}
            () = self.late.ended() => {}
        }
    }

    pub(crate) async fn finish(&mut self) {
        tokio::join!(self.first.finish(), self.others.finish(), self.late.finish());
    }
}

async fn serve(
    service: Arc<Service>,
    stream: Box<dyn ByteStream>,
    caller: Caller,
    busy: Busy,
    stop: CancellationToken,
) {
    let is_own = caller.is_own();
    let stream: Box<dyn ByteStream> = match service.tls() {
        None => stream,
        Some(tls) => match timeout(HEAD, TlsAcceptor::from(tls.config()).accept(stream)).await {
            Ok(Ok(stream)) => Box::new(stream),
            Ok(Err(error)) => return tracing::debug!(%error, "a client of the admin endpoint failed in TLS"),
            Err(_) => return,
        },
    };
    let caller = Arc::new(caller);
    let answers = service_fn(move |request: Request<Incoming>| {
        let (service, caller, busy) = (service.clone(), caller.clone(), busy.clone());
        async move {
            busy.set(true);
            let answer = service.answer(request, &caller, &busy).await;
            busy.set(answer::is_under_way(&answer));
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(64)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(ProgressStream::new(stream)), answers);
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => finish(connection).await,
        // On the control socket a change of a million deliveries may take longer.
        () = tokio::time::sleep(LIFE), if !is_own => finish(connection).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client is gone");
    }
}

type HttpConnection<'a, I, S> = std::pin::Pin<&'a mut hyper::server::conn::http1::Connection<I, S>>;

async fn finish<I, S>(mut connection: HttpConnection<'_, I, S>) -> hyper::Result<()>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<Incoming, ResBody = AnswerBody>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    connection.as_mut().graceful_shutdown();
    timeout(GRACE, connection).await.unwrap_or(Ok(()))
}
