//! tokio as the client library takes it, with our own kind of connection.
//!
//! The library drives what implements `async_rs`'s `RuntimeKit`, whose connections have one type; tokio's own is
//! a bare TCP stream. Everything but that type is tokio's.
//!
//! TLS is not the library's: its rustls feature brings a PKCS#12 tree, and says neither which step failed nor why.
//! Name, TCP, and TLS are done before the library is asked.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::Stream;

use super::socket::BrokerStream;

pub(super) type Kit = RuntimeParts<Tokio, BrokerReactor>;

/// The runtime that this is called in.
pub(super) fn current() -> Runtime<Kit> {
    let tokio = Tokio::current();
    Runtime::new(RuntimeParts::new(tokio.clone(), BrokerReactor(tokio)))
}

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

    /// Not asked for: connections are made before the library hears of them (`connect`).
    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
