use std::net::SocketAddr;
use std::sync::Arc;

use osnl::control::{ControlHandler, Store};
use osnl::daemon::Daemon;
use osnl::journal::memory::{MemoryJournal, MemoryLimits};
use osnl::metrics::Counters;
use osnl::native::{AdminAddress, AdminConf, Sources, load_texts};
use osnl_admin::{AdminEndpoint, AdminStartError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) struct RunningEndpoint {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    task: JoinSet<()>,
}

pub(crate) fn conf(lines: &str) -> AdminConf {
    let text = format!(
        "[listener:l]\ntransport_url = rabbit://u:p@h/\nexchange = x\npool = p\n[rule:r]\nactions = a\n[action:a]\ndriver = dump\n\
         [journal]\nconnection = memory://\n[admin]\n{lines}"
    );
    let loaded = load_texts(&[("f".to_owned(), text)], &Sources::default());
    loaded.unwrap_or_else(|errors| panic!("{errors}")).conf.admin.unwrap()
}

pub(crate) fn handler(counters: &Arc<Counters>) -> Arc<ControlHandler> {
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(10), counters.clone()));
    let daemon = Daemon::new(Vec::new(), Vec::new(), journal.clone());
    Arc::new(ControlHandler::for_daemon(
        Store::for_memory(journal, Default::default()),
        daemon.state(),
        counters.clone(),
    ))
}

impl RunningEndpoint {
    pub(crate) async fn start(lines: &str) -> Self {
        Self::try_start(&conf(lines)).await.unwrap()
    }

    pub(crate) async fn try_start(conf: &AdminConf) -> Result<Self, AdminStartError> {
        Self::with(conf, handler(&Arc::default())).await
    }

    pub(crate) async fn with(
        conf: &AdminConf,
        handler: Arc<ControlHandler>,
    ) -> Result<Self, AdminStartError> {
        let bound = AdminEndpoint::bind(conf, handler).await?;
        let address = match (&conf.listen, bound.address()) {
            (AdminAddress::Tcp(_), Some(address)) => address,
            _ => ([0, 0, 0, 0], 0).into(),
        };
        let (stop, mut task) = (CancellationToken::new(), JoinSet::new());
        task.spawn(bound.run(stop.clone()));
        Ok(Self { address, stop, task })
    }

    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.task.join_next().await {
            ended.unwrap();
        }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, head: &str, body: &str) -> (u16, String) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        ask_on(stream, &self.address.to_string(), method, path, head, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, "", "").await
    }
}

pub(crate) async fn ask_on(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    method: &str,
    path: &str,
    head: &str,
    body: &str,
) -> (u16, String) {
    try_ask_on(stream, host, method, path, head, body).await.unwrap_or_else(|| panic!("no answer to {path}"))
}

pub(crate) async fn try_ask_on(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    method: &str,
    path: &str,
    head: &str,
    body: &str,
) -> Option<(u16, String)> {
    let host = if head.contains("Host:") { String::new() } else { format!("Host: {host}\r\n") };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {length}\r\n{head}\r\n{body}"
    );
    // The endpoint may close a connection before it has read the whole request.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer))
}
