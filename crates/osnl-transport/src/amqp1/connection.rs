use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::ReceiverAttachError;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Receiver, Session};
use osnl_model::{TransportHost, TransportUrl};
use tokio::time::{Instant, timeout, timeout_at};

use super::guard::{Duplex, GuardedReader, LONGEST_FRAME, Observed};
use super::options::Amqp1Options;
use super::sasl::{self, LoginFailure};
use crate::bodies::BodyBounds;
use crate::error::TransportError;
use crate::rabbit::address;
use crate::rabbit::connect::{TIMEOUT, carrier};
use crate::rabbit::socket::Carrier;
use crate::stamp::unique_id;

/// The bytes that a message may have beside its body.
const AROUND_A_BODY: usize = 64 << 10;
/// The time without a frame from the broker after which the client library ends the connection.
const SILENCE: Duration = Duration::from_secs(60);

pub(super) struct Amqp1Connection {
    handle: ConnectionHandle<()>,
    session: SessionHandle<()>,
    pub(super) observed: Arc<Observed>,
    pub(super) host: String,
    pub(super) certificate_ends: Option<i64>,
}

impl Amqp1Connection {
    pub(super) async fn open(
        url: &TransportUrl,
        host: &TransportHost,
        options: &Amqp1Options,
    ) -> Result<Self, TransportError> {
        let (deadline, seconds) = (Instant::now() + TIMEOUT, TIMEOUT.as_secs_f64());
        let tls = options.tls(url);
        let (carrier, certificate_ends) = carrier(host, tls.as_ref(), (deadline, seconds)).await?;
        let stream: Box<dyn Duplex> = match carrier {
            Carrier::Plain(tcp) => Box::new(tcp),
            Carrier::Tls(tls) => tls,
        };
        let observed = Arc::<Observed>::default();
        let (reader, writer) = tokio::io::split(stream);
        let mut stream = tokio::io::join(GuardedReader::new(reader, Arc::clone(&observed)), writer);
        let address = address(host);
        let failed = |reason| TransportError::Connect { host: address.clone(), reason };
        let silent = |_| failed(format!("no answer within {seconds} s"));
        let broken = |error: String| match observed.lost(error) {
            TransportError::Lost { reason } => failed(reason),
            error => error,
        };
        let user = host.username.clone().unwrap_or_default();
        let mechanism = options.mechanism(url, host.username.is_some())?;
        let login = sasl::login(&mut stream, mechanism, (&user, host.credentials().1), &host.hostname);
        timeout_at(deadline, login).await.map_err(silent)?.map_err(|failure| match failure {
            LoginFailure::Refused(reason) => {
                TransportError::LoginRefused { host: address.clone(), user: user.clone(), reason }
            }
            LoginFailure::Broken(error) => broken(error),
        })?;
        let opening = Connection::builder()
            .container_id(format!("osnl-{}", unique_id()))
            .hostname(options.virtual_host(url).unwrap_or(&host.hostname))
            .max_frame_size(LONGEST_FRAME)
            .idle_time_out(u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX))
            .open_with_stream(stream);
        let opened = timeout_at(deadline, opening).await.map_err(silent)?;
        let mut handle = opened.map_err(|error| broken(error.to_string()))?;
        let begun = timeout_at(deadline, Session::begin(&mut handle)).await.map_err(silent)?;
        let session = begun.map_err(|error| broken(error.to_string()))?;
        Ok(Self { handle, session, observed, host: address, certificate_ends })
    }

    pub(super) fn product(&self) -> Option<String> {
        self.observed.facts().product.clone()
    }

    pub(super) async fn attach(
        &mut self,
        address: &str,
        bodies: BodyBounds,
    ) -> Result<Receiver, TransportError> {
        let attaching = Receiver::builder()
            .name(format!("osnl-{}", unique_id()))
            .source(address)
            .max_message_size((bodies.whole + AROUND_A_BODY) as u64)
            .credit_mode(CreditMode::Manual)
            .attach(&mut self.session);
        let Ok(attached) = timeout(TIMEOUT, attaching).await else {
            return Err(self.observed.lost("the broker does not answer to a link"));
        };
        attached.map_err(|error| match error {
            ReceiverAttachError::RemoteClosedWithError(error) => {
                let reason = error.description.unwrap_or_else(|| format!("{:?}", error.condition));
                refused(address, reason)
            }
            error => self.observed.lost(error),
        })
    }

    /// Closes in good order. Errors are ignored, because the library reports an illegal state for a closed connection.
    pub(super) async fn close(mut self) {
        let orderly = async {
            let _ = self.session.end().await;
            let _ = self.handle.close().await;
        };
        if timeout(TIMEOUT, orderly).await.is_err() {
            tracing::debug!(seconds = TIMEOUT.as_secs(), "connection did not close in time");
        }
    }
}

pub(super) fn refused(address: &str, reason: String) -> TransportError {
    TransportError::Refused { what: format!("read address \"{address}\""), reason, code: None }
}
