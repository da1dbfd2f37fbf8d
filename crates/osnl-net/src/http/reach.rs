use std::error::Error as StdError;

use crate::tls::Refusal;

use crate::http::connector::{ConnectError, Connector};
use crate::http::failure;
use crate::http::options::{HttpError, HttpOptions};
use crate::http::tls::HttpTls;
use crate::http::url::{Scheme, Url};

/// The result of a connection that a check opens and closes without a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reachability {
    /// The proxy in use; a proxy for plain HTTP hides whether the target is reachable.
    pub proxy: Option<String>,
    pub tls: bool,
    pub certificate_ends: Option<i64>,
}

/// The reasons for which a check does not reach a target.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(transparent)]
    Options(#[from] HttpError),
    #[error("{0}")]
    Connect(String),
    #[error("{0}")]
    Tls(Refusal),
}

/// Connects as a request would (TCP, a tunnel through a proxy, TLS), and closes the connection. There is no time
/// limit.
pub async fn reach(options: &HttpOptions, target: &Url) -> Result<Reachability, ProbeError> {
    let proxy = options.proxies.toward(target.scheme(), target.authority()).map_err(HttpError::from)?;
    let tls = match target.scheme() {
        Scheme::Http => HttpTls::without("none is wanted"),
        Scheme::Https => HttpTls::to(options, target)?,
    };
    let place = format!("{}://{}/", target.scheme(), target.authority());
    let place = place.parse().map_err(|_| ProbeError::Connect("its host is not a valid name".to_owned()))?;
    let connecting = Connector::new(options, tls).connect(place);
    let stream = connecting.await.map_err(|error| unreached(&error, options))?;
    Ok(Reachability {
        proxy: proxy.as_ref().map(ToString::to_string),
        tls: target.scheme() == Scheme::Https,
        certificate_ends: stream.certificate_ends,
    })
}

fn unreached(error: &ConnectError, options: &HttpOptions) -> ProbeError {
    match error {
        ConnectError::Tls { host, error } => {
            ProbeError::Tls(failure::handshake(host, error, &options.remedies))
        }
        ConnectError::NoTls(_) | ConnectError::Name(_) => ProbeError::Tls(Refusal::new(chain(error))),
        ConnectError::Tcp(_)
        | ConnectError::Forbidden(_)
        | ConnectError::Proxy(_)
        | ConnectError::NoProxy { .. }
        | ConnectError::NoTunnel { .. } => ProbeError::Connect(chain(error)),
    }
}

fn chain(error: &ConnectError) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}
