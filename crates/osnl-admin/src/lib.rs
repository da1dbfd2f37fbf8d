//! The server of a daemon: requests over its control socket, and with `[admin]` also health, metrics, a page, and requests
//! over TCP or a second socket.
//!
//! | path | answer |
//! | --- | --- |
//! | `/livez` | whether the process works |
//! | `/readyz` | whether each listener listens or stands by; if not, the reason |
//! | `/metrics` | the values of [`metrics::FAMILIES`], for Prometheus |
//! | `/`, `/deliveries`, `/rules`, … | the page, for a browser; not on the control socket |
//! | `/api/v1/…` | the verbs: [`api::ROUTES`] |
//!
//! ```
//! use std::sync::Arc;
//!
//! use osnl::control::{ControlHandler, Store};
//! use osnl::daemon::Daemon;
//! use osnl::journal::memory::{MemoryJournal, MemoryLimits};
//! use osnl::metrics::Counters;
//! use osnl::native::{AdminAddress, AdminConf};
//! use osnl_admin::AdminEndpoint;
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio_util::sync::CancellationToken;
//! use tokio_util::task::TaskTracker;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A daemon without listeners and actions.
//! let counters = Arc::<Counters>::default();
//! let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(10), counters.clone()));
//! let daemon = Daemon::new(Vec::new(), Vec::new(), journal.clone());
//! let handler = ControlHandler::for_daemon(Store::for_memory(journal, Default::default()), daemon.state(), counters);
//!
//! let conf = AdminConf {
//!     listen: AdminAddress::Tcp("127.0.0.1:0".parse()?),
//!     tokens: Vec::new(),
//!     tls: None,
//!     allow_changes: false,
//!     host_names: Vec::new(),
//!     environment: String::new(),
//! };
//! let endpoint = AdminEndpoint::bind(&conf, Arc::new(handler)).await?;
//! let address = endpoint.address().ok_or("no port")?;
//! let stop = CancellationToken::new();
//! let tasks = TaskTracker::new();
//! tasks.spawn(endpoint.run(stop.clone()));
//!
//! # let get = async |path: &str| {
//! #     let mut stream = tokio::net::TcpStream::connect(address).await?;
//! #     let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
//! #     stream.write_all(request.as_bytes()).await?;
//! #     let mut answer = String::new();
//! #     stream.read_to_string(&mut answer).await?;
//! #     Ok::<_, std::io::Error>(answer)
//! # };
//! assert!(get("/livez").await?.starts_with("HTTP/1.1 200 OK"));
//! stop.cancel();
//! tasks.close();
//! tasks.wait().await;
//! # Ok(())
//! # }
//! ```
//!
//! A client can't delay a message: the number of connections, their lifetime and pace, and the bytes of a request are
//! bounded, and a new connection replaces one of the address that has the most.

mod access;
mod answer;
pub mod api;
mod caller;
mod connection;
mod endpoint;
mod guesses;
mod history;
mod lines;
pub mod metrics;
mod pace;
mod page;
mod progress;
mod ready;
mod service;
mod stream;
mod tls;

pub use self::endpoint::{AdminEndpoint, AdminStartError, BoundEndpoint, answer_on, serve_control_socket};
