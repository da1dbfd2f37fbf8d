//! The runtime of tokio for the client library, with osnl's own type of connection.
//!
//! The library drives an implementation of `async_rs`'s `RuntimeKit`, whose connections have one type; tokio's is a
//! bare TCP stream. Everything but that type is tokio's.
//!
//! The library's own TLS is not used: its rustls feature brings a PKCS#12 tree, and does not report the failed step
//! or the reason.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::Stream;

use super::socket::BrokerStream;

/// The client library's runtime on tokio.
pub(super) type Kit = RuntimeParts<Tokio, BrokerReactor>;

pub(super) fn current() -> Runtime<Kit> {
    let tokio = Tokio::current();
    Runtime::new(RuntimeParts::new(tokio.clone(), BrokerReactor(tokio)))
}

/// Gives the client library osnl's own stream.
#[derive(Clone, Debug)]
pub(super) struct BrokerReactor(Tokio);

impl Reactor for BrokerReactor {
    type TcpStream = BrokerStream;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static> {
        Err::<BrokerStream, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    /// Never called, because connections are made before the library starts (`connect`).
    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
