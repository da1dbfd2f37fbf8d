//! An HTTP/1.1 client: a [`Request`] results in an [`Answer`] with any status, or in a [`Failure`] with its class and a
//! reason that names the remedy.
//!
//! ```
//! use osnl_net::http::{Client, HttpOptions, Method, Request, StatusCode, Url};
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # use tokio::net::TcpListener;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = TcpListener::bind("127.0.0.1:0").await?;
//! # let port = listener.local_addr()?.port();
//! # let server = async move {
//! #     let (mut stream, _) = listener.accept().await?;
//! #     stream.read(&mut [0; 1024]).await?;
//! #     stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n").await?;
//! #     Ok::<_, Box<dyn std::error::Error>>(stream)
//! # };
//! let target = Url::parse(&format!("http://127.0.0.1:{port}/api/hosts/vm-1"))?;
//! let client = Client::to(&HttpOptions::default(), &target)?;
//! let request = Request::new(Method::DELETE, target);
//! let answer = client.send(request);
//! # let (answer, _stream) = tokio::join!(answer, server);
//! # let answer = async { answer };
//!
//! // Any status is an answer; a `Failure` says why there is none.
//! let answer = answer.await?;
//! assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
//! assert_eq!(answer.retry_after(), Some(std::time::Duration::from_secs(30)));
//! # Ok(())
//! # }
//! ```
//!
//! The client uses hyper and not reqwest. Requests equal the old programs' requests byte for byte, with the case of
//! header names and the proxy rules of urllib.
//!
//! Options are checked when a client is built: a wrong CA file or proxy is an error at the start,
//! not with the first message. The caller passes the environment; nothing here reads it.
//!
//! A request has no deadline: the caller of [`Client::send`] drops the future; connecting alone has
//! [`PATIENCE`](crate::dial::PATIENCE). Nothing is retried, except once by [`Request::repeatable`]. A connection is kept
//! for [`LOOKED_UP_FOR`](crate::dial::LOOKED_UP_FOR) at most, and then the name is looked up again. At most
//! [`Request::reply_limit`] bytes of a reply are read.

mod answer;
mod client;
mod connector;
mod expiry;
mod failure;
mod guard;
mod options;
mod proxy;
mod reach;
mod redirect;
mod tls;
mod url;

pub use hyper::{HeaderMap, Method, StatusCode, header};

pub use self::answer::{Answer, AnswerEnd};
pub use self::client::{BODY_WAIT, Client, Request};
pub use self::expiry::{Expiry, ExpiryKind};
pub use self::failure::{Failure, FailureClass};
pub use self::guard::{AddressClass, AddressGuard, AllowedHost, Forbidden, NoHost};
pub use self::options::{ClientCertificate, HttpError, HttpOptions, Pool, Verification};
pub use self::proxy::{Proxies, ProxyError};
pub use self::reach::{ProbeError, Reachability, reach};
pub use self::redirect::{Redirect, RedirectError, redirected};
pub use self::url::{Scheme, Url, UrlError, UrlPart};
