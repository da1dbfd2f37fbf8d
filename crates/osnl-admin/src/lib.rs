//! Operation over HTTP. The admin endpoint: health, metrics, and the requests of the control socket; and the export of
//! traces, [`Exporter`].
//!
//! | path | answer |
//! | --- | --- |
//! | `/livez` | whether the process works |
//! | `/readyz` | whether each listener listens or stands by, and why not |
//! | `/metrics` | the numbers of [`metrics::FAMILIES`], for Prometheus |
//! | `/api/v1/…` | the verbs of [`osnl::control`]: [`api::ROUTES`] |
//!
//! Nothing here decides what happens to a message, and nothing that a client does slows one down: connections, their
//! time and pace, and the bytes of a request have bounds, and the oldest idle connection gives way to a new one.

mod access;
mod answer;
pub mod api;
mod connections;
mod endpoint;
pub mod metrics;
mod otlp;
mod pace;
mod progress;
mod query;
mod ready;
mod tls;
mod words;

pub use self::endpoint::{BoundEndpoint, Endpoint, StartError};
pub use self::otlp::Exporter;
