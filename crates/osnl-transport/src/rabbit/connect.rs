//! One attempt at one host: name and TCP, TLS, login, virtual host. The error names the failed step.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use osnl_model::{TransportHost, TransportUrl};
use osnl_net::dial::KeptAddress;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::failure::connect_failure;
use super::frames::LARGEST;
use super::greeting::Greeting;
use super::login::BrokerLogin;
use super::options::{LoginMethod, RabbitOptions};
use super::runtime;
use super::socket::BrokerStream;
use crate::TransportError;
use crate::body_flow::BodyFlow;
use crate::carrier::{TIMEOUT, carrier};
use crate::hosts::{DEFAULT_PORT, address};

/// The facts about a connection beside the client library's handle.
pub(super) struct ConnectionFacts {
    /// The address that accepted the connection.
    pub(super) address: Option<KeptAddress>,
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
    let (carrier, trial) = carrier(host, options.tls().as_ref(), (deadline, seconds)).await?;
    let certificate_ends = carrier.certificate_ends;
    let (port, now) = (host.port_or(DEFAULT_PORT), std::time::Instant::now());
    let kept = trial.address().map(|accepted| KeptAddress::new(&host.hostname, port, accepted, now));
    let kept = kept.map(|kept| kept.with_certificate(certificate_ends));

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
    let answered = timeout_at(deadline, login).await.map_err(mute)?;
    // A broker that refuses this client has spoken.
    if told.get().is_some() {
        trial.passed();
    }
    let connection = answered.map_err(|error| {
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
    Ok((connection, ConnectionFacts { address: kept, certificate_ends, greeting, body_flow }))
}

/// Returns the login for people.
pub(super) fn login_name<'a>(host: &'a TransportHost, options: &RabbitOptions) -> &'a str {
    match options.login() {
        Some(LoginMethod::External) => "of the client certificate",
        Some(LoginMethod::Plain | LoginMethod::AmqPlain) | None => host.shown_user(),
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
