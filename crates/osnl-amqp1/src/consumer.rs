//! The links of a listener, one for each address, in one session. Accepted is an acknowledgement, released a requeue.

use std::sync::Arc;

use osnl_transport::parts::TIMEOUT;
use osnl_transport::{
    Batch, Binding, BoxFuture, Consumer, Declare, ListenOptions, OpenQueue, QueueDepths, Subscription,
    TransportError, Window,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::{Amqp1Connection, SharedSession};
use super::session::Session;

/// The prefetch where the listener sets no limit.
const UNLIMITED: u16 = 10_000;

pub(super) struct Amqp1Consumer {
    subscription: Subscription,
    shared: Arc<SharedSession>,
    _task: JoinSet<()>,
}

impl Amqp1Consumer {
    /// Reads the address of each binding, which is its queue.
    pub(super) async fn open(
        mut connection: Amqp1Connection,
        bindings: Vec<Binding>,
        options: &ListenOptions,
        remarks: Vec<String>,
    ) -> Result<Self, TransportError> {
        let prefetch = if options.prefetch == 0 { UNLIMITED } else { options.prefetch };
        let share = usize::from(prefetch).checked_div(bindings.len()).unwrap_or_default();
        if share == 0 {
            let problem = format!("prefetch: {prefetch} messages for {} addresses", bindings.len());
            return Err(TransportError::ListenOptions { problem });
        }
        let open = bindings.iter().map(|binding| OpenQueue::named(&binding.queue, None));
        let bound = if options.declare == Declare::Nothing { Vec::new() } else { bindings.clone() };
        let host = connection.host.clone();
        let subscription = Subscription::new(host, (bound, Vec::new()), open.collect(), remarks);
        let subscription = Subscription { certificate_ends: connection.certificate_ends, ..subscription };
        let (links, next) = (connection.attach(bindings).await?, connection.next);
        let bounds = (u32::try_from(share).unwrap_or(u32::MAX), options.bodies);
        let mut session = Session::new(subscription.epoch, links, bounds, next);
        session.secrets.clone_from(&connection.secrets);
        let shared = Arc::new(SharedSession::new(session));
        let _task = connection.run(Arc::clone(&shared));
        Ok(Self { subscription, shared, _task })
    }
}

impl Consumer for Amqp1Consumer {
    fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    fn poll<'a>(&'a mut self, out: &'a mut Batch) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            loop {
                let changed = self.shared.changed.notified();
                {
                    let mut session = self.shared.session();
                    session.renew_credit();
                    let ready = session.ready.len().min(out.room());
                    if ready > 0 && !session.is_quiet {
                        session.ready.drain(..ready).for_each(|message| out.push(message));
                        return Ok(());
                    }
                    if let Some(end) = &session.end {
                        return Err(end.clone());
                    }
                    if out.room() == 0 {
                        return Ok(());
                    }
                }
                changed.await;
            }
        })
    }

    fn ended(&mut self) -> BoxFuture<'_, TransportError> {
        Box::pin(self.shared.ended())
    }

    fn untaken(&self) -> usize {
        self.shared.session().ready.len()
    }

    fn flush<'a>(&'a mut self, window: &'a mut Window) -> BoxFuture<'a, Result<(), TransportError>> {
        let mut session = self.shared.session();
        session.flush(window);
        session.renew_credit();
        let flushed = session.end.clone().map_or(Ok(()), Err);
        Box::pin(std::future::ready(flushed))
    }

    /// A broker of AMQP 1.0 does not count the messages at an address.
    fn waiting(&self) -> BoxFuture<'static, Result<QueueDepths, TransportError>> {
        Box::pin(std::future::ready(Ok(QueueDepths::new())))
    }

    fn quiesce(&mut self) -> BoxFuture<'_, Result<(), TransportError>> {
        self.shared.session().quiesce();
        Box::pin(std::future::ready(Ok(())))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Self { shared, _task: task, .. } = *self;
            shared.session().close();
            if timeout(TIMEOUT, shared.ended()).await.is_err() {
                tracing::debug!(seconds = TIMEOUT.as_secs(), "connection did not close in time");
            }
            drop(task);
        })
    }
}
