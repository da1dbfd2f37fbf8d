//! One attempt at one host: name and TCP, TLS, login, virtual host. The error names the failed step.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use osnl_model::{TransportHost, TransportUrl};
use osnl_net::tls::Refusal;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::body_flow::BodyFlow;
use super::failure::connect_failure;
use super::frames::LARGEST;
use super::greeting::Greeting;
use super::login::BrokerLogin;
use super::options::{LoginMethod, RabbitOptions, TlsOptions};
use super::socket::{BrokerStream, Carrier, SilentEnd};
use super::{address, runtime, tls};
use crate::TransportError;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const DEFAULT_PORT: u16 = 5672;

pub(super) struct ConnectionFacts {
    pub(super) certificate_ends: Option<i64>,
    pub(super) greeting: Greeting,
    pub(super) body_flow: Arc<BodyFlow>,
}

pub(super) async fn connect(
    url: &TransportUrl,
    host: &TransportHost,
    options: &RabbitOptions,
    limit: Duration,
) -> Result<(Connection, ConnectionFacts), TransportError> {
    let limit = limit.min(TIMEOUT);
    let (deadline, seconds) = (Instant::now() + limit, limit.as_secs_f64());
    let failed = |reason: String| TransportError::Connect { host: address(host), reason };
    let (carrier, ends) = carrier(host, options.tls().as_ref(), (deadline, seconds)).await?;

    // Longer than the time-out below, which ends the attempt. The silence limit ends the library's thread, which waits
    // for this stream without a time-out.
    let (silence, allowed) = watch::channel(Some(limit + Duration::from_secs(1)));
    let heartbeat = options.heartbeat();
    let told = Arc::new(OnceLock::new());
    let (user, password) = host.credentials();
    let (user, password) = (user.to_owned(), password.to_owned());
    let by = BrokerLogin { configured: options.login(), user, password, told: Arc::clone(&told) };
    let body_flow = Arc::<BodyFlow>::default();
    let stream = BrokerStream::new(carrier, allowed, heartbeat > 0, by.clone(), Arc::clone(&body_flow));
    let login = login(uri(url, host, options), by, stream);
    let mute = |_| match told.get() {
        Some(_) => failed(format!("no answer within {seconds} s")),
        None => {
            let reason = format!("accepts the connection, but sends no AMQP within {seconds} s");
            TransportError::NotAmqp { host: address(host), reason }
        }
    };
    let connection = timeout_at(deadline, login).await.map_err(mute)?.map_err(|error| {
        let user = login_name(host, options);
        let mut failure = connect_failure(&error, &host.hostname, &address(host), user, url.virtual_host());
        if let (TransportError::LoginRefused { reason, .. }, true) = (&mut failure, url.has_folded_dollars())
        {
            reason.push_str("; $$ in transport_url was read as one $: if the password has two, write $$$$");
        }
        failure
    })?;
    // Three heartbeats of the broker, which sends two per interval.
    let negotiated = connection.configuration().heartbeat();
    silence.send_replace((negotiated > 0).then(|| Duration::from_millis(u64::from(negotiated) * 1500)));
    let greeting = told.get().cloned().unwrap_or_default();
    Ok((connection, ConnectionFacts { certificate_ends: ends, greeting, body_flow }))
}

/// Returns also the last valid second of the broker's certificate. `seconds` is the time until the deadline, for
/// errors.
pub(crate) async fn carrier(
    host: &TransportHost,
    tls: Option<&TlsOptions>,
    (deadline, seconds): (Instant, f64),
) -> Result<(Carrier, Option<i64>), TransportError> {
    let failed = |reason: String| TransportError::Connect { host: address(host), reason };
    let silent = |_| failed(format!("no answer within {seconds} s"));
    let target = (host.hostname.as_str(), host.port_or(DEFAULT_PORT));
    let tcp = timeout_at(deadline, TcpStream::connect(target)).await.map_err(silent)?;
    let tcp = tcp.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp)).map_err(|error| match tls {
        // A broker that resets the connection at once has sent no byte either.
        None if error.kind() == io::ErrorKind::ConnectionReset => failed(SilentEnd::Plain.to_string()),
        None | Some(_) => failed(error.to_string()),
    })?;
    let Some(tls) = tls else { return Ok((Carrier::Plain(tcp), None)) };
    let refused = |refusal| TransportError::no_tls(address(host), refusal);
    let failed = |reason: String| refused(Refusal::new(reason));
    let config = tls::config(tls).map_err(failed)?;
    let name = ServerName::try_from(host.hostname.clone())
        .map_err(|_| failed("no certificate can be for a host of that name".to_owned()))?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let silent = |_| failed(format!("no end of the handshake within {seconds} s"));
    let stream = timeout_at(deadline, handshake)
        .await
        .map_err(silent)?
        .map_err(|error| refused(osnl_net::tls::handshake_refusal(&host.hostname, &error, &tls::REMEDIES)))?;
    let certificates = stream.get_ref().1.peer_certificates();
    let ends = certificates.and_then(|chain| osnl_net::tls::ends_at(chain.first()?));
    Ok((Carrier::Tls(Box::new(stream)), ends))
}

pub(super) fn login_name<'a>(host: &'a TransportHost, options: &RabbitOptions) -> &'a str {
    match options.login() {
        Some(LoginMethod::External) => "of the client certificate",
        Some(LoginMethod::Plain | LoginMethod::AmqPlain) | None => host.credentials().0,
    }
}

async fn login(uri: AMQPUri, by: BrokerLogin, stream: BrokerStream) -> lapin::Result<Connection> {
    let properties = ConnectionProperties::default()
        .with_auth_provider(by)
        .with_connection_name(format!("osnl:{}", std::process::id()).into())
        .with_client_property("product".into(), "osnl".into());
    let stream = Mutex::new(Some(stream));
    let once = async move |_, _| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(AsyncTcpStream::Plain(stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?))
    };
    Connection::connector(uri, runtime::current(), once, properties).await
}

fn uri(url: &TransportUrl, host: &TransportHost, options: &RabbitOptions) -> AMQPUri {
    let (username, password) = host.credentials();
    AMQPUri {
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: username.to_owned(), password: password.to_owned() },
            host: host.hostname.clone(),
            port: host.port_or(DEFAULT_PORT),
        },
        vhost: url.virtual_host().to_owned(),
        query: AMQPQueryString {
            // The library has two buffers of 32 frames. A larger agreed frame makes it fill the additional space with
            // zeros: eight megabytes without use.
            frame_max: Some(LARGEST),
            heartbeat: Some(options.heartbeat()),
            ..AMQPQueryString::default()
        },
    }
}
