use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use osnl::action::http::HttpOptions;
use osnl::journal::{Entry, Journal, NewDelivery};
use osnl::metrics::Counters;
use osnl::native::{Sources, load};
use osnl::shutdown::Shutdown;
use osnl_model::Notification;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::client::{RunningEndpoint, conf};
use crate::page::{TOKEN, is_harmless, received};

pub(crate) struct RunningDaemon {
    pub(crate) running: RunningEndpoint,
    pub(crate) file: PathBuf,
    journal: Arc<dyn Journal>,
    shutdown: Shutdown,
    task: JoinSet<()>,
    _folder: TempDir,
}

impl RunningDaemon {
    pub(crate) async fn start(lines: &str) -> Self {
        Self::with(lines, "").await
    }

    /// Starts with further sections of the configuration.
    pub(crate) async fn with(lines: &str, sections: &str) -> Self {
        Self::with_gaps(lines, sections, "").await
    }

    /// Starts with a file of gaps.
    pub(crate) async fn with_gaps(lines: &str, sections: &str, gaps: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if !gaps.is_empty() {
            std::fs::write(folder.path().join("gaps.json"), gaps).unwrap();
        }
        let file = folder.path().join("osnl.conf");
        let place = folder.path().display();
        let text = format!(
            "[DEFAULT]\nstate_dir = {place}\n[journal]\nconnection = sqlite:///{place}/journal.db\nallow_volatile = yes\n\
             [listener:l]\ntransport_url = rabbit://u:S3CRET@127.0.0.1:1/\nexchange = neutron\npool = osnl\n\
             [rule:r]\nactions = first\nevent_type = ^port\n\
             [action:first]\ndriver = dump\npath = {place}/first\n[action:second]\ndriver = dump\npath = {place}/second\n\
             {sections}"
        );
        std::fs::write(&file, text).unwrap();
        let sources = Sources { files: vec![file.clone()], ..Sources::default() };
        let loaded = load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
        let counters = Arc::<Counters>::default();
        let logs: osnl::assembly::Logs = Arc::new(|_| Ok(Box::new(|| {})));
        let (daemon, handler) = loaded.daemon(sources, &HttpOptions::default(), &counters, logs).unwrap();
        let admin = format!("listen = 127.0.0.1:0\ntoken = maria:{TOKEN}, ops:0123456789abcdef\n{lines}");
        let running = RunningEndpoint::with(&conf(&admin), handler).await.unwrap();
        let (journal, shutdown, mut task) = (daemon.journal.clone(), Shutdown::new(), JoinSet::new());
        let stop = shutdown.clone();
        task.spawn(async move {
            daemon.run(&stop, Duration::from_secs(5)).await.unwrap();
        });
        Self { running, file, journal, shutdown, task, _folder: folder }
    }

    pub(crate) async fn read(&self, path: &str, session: &str) -> String {
        let (status, page) = self.running.ask("GET", path, session, "").await;
        assert_eq!(status, 200, "{path}: {page}");
        is_harmless(path, &page);
        page
    }

    pub(crate) async fn keep(&self, event: String, action: &str) {
        self.keep_all(event, vec![NewDelivery::new("r", action, None)]).await;
    }

    pub(crate) async fn keep_all(&self, event: String, deliveries: Vec<NewDelivery>) {
        let message = received(event);
        let notification: Arc<Notification> = Arc::new(message.decode().unwrap());
        let actions: BTreeSet<_> = deliveries.iter().map(|delivery| delivery.action.clone()).collect();
        let mut permit = self.journal.reserve(&actions.into_iter().collect::<Vec<_>>(), 1).await;
        self.journal.append(&mut permit, Entry { received: message.into(), notification, deliveries }).await;
    }

    pub(crate) async fn set_aside(&self, body: &str, reason: &str) {
        self.journal.set_aside(received(body.to_owned()), reason.to_owned()).await;
    }

    pub(crate) async fn end(mut self) {
        self.running.end().await;
        self.shutdown.drain.cancel();
        while let Some(ended) = self.task.join_next().await {
            ended.unwrap();
        }
    }
}
