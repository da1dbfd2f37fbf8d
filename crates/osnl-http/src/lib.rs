//! HTTP/1.1 as a client, for whatever is called: one request, its answer, and a failure told apart.
//!
//! | file | what it decides |
//! | --- | --- |
//! | [`url`](Url) | what a target's URL is, kept byte for byte |
//! | [`client`](Client) | a pool of connections: one [`Request`] in, an [`Answer`] or a [`Failure`] out |
//! | [`options`](HttpOptions) | whom to believe, which proxy, how many connections; settled at the start |
//! | `tls` | the certificates that an https target may have, and the one that it is shown |
//! | `proxy` | whether a request goes by a proxy, as Python's urllib decides it |
//! | `connector` | how a connection is made: TCP, a tunnel through a proxy, TLS |
//! | `failure` | what went wrong, in words that name the remedy |
//! | [`guard`](Guard), `resolver` | where a request may go whose target the operator has not chosen |
//! | [`redirect`](redirected) | where an answer sends us, and what may go along |
//! | [`reach`] | whether a target can be reached, without a request |
//!
//! What is configured is settled when a client is built: a wrong CA file or a wrong proxy is an error at the
//! start, not with the first message. Nothing here reads the environment; it is handed in.
//!
//! Here are no deadlines, no pauses, and no second attempts but one ([`Request::repeatable`]): the caller of
//! [`Client::send`] gives it its time, by dropping the future, and decides what a [`Failure`] means. A reply is read
//! up to the limit of its request, whatever the target sends.

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
mod resolver;
mod tls;
mod url;

pub use hyper::{HeaderMap, Method, StatusCode, header};

pub use self::answer::Answer;
pub use self::client::{Client, Request};
pub use self::expiry::{EXPIRES_SOON, Expiry};
pub use self::failure::{Failure, FailureClass};
pub use self::guard::{AddressClass, AllowedHost, Forbidden, Guard, NoHost};
pub use self::options::{ClientCertificate, HttpError, HttpOptions, Pool, Verification};
pub use self::proxy::{Proxies, ProxyError};
pub use self::reach::{ReachError, Reached, reach};
pub use self::redirect::{Redirect, RedirectError, redirected};
pub use self::url::{Scheme, Url, UrlError, UrlPart};
