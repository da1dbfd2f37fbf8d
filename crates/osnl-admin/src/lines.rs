use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use osnl::connections::Busy;
use osnl::control::{AnswerLine, ControlHandler, ControlRequest, RequestProgress, RequestRefusal};
use osnl_transport::BoxFuture;
use tokio::task::JoinError;
use tokio::time::{Instant, Interval, interval_at};
use tokio_util::task::TaskTracker;

const ALIVE: Duration = Duration::from_millis(250);
/// A request without result and progress after so many signs of life has a thread that hangs, so they end.
const MOST_ALIVE: u32 = 1200;

/// An answer in lines: signs of life and progress while the handler works, then the result. Dropping the
/// answer ends its request after the current step, unless the request has a task.
pub(crate) struct AnswerLines {
    answering: Option<BoxFuture<'static, AnswerLine>>,
    latest: Arc<Mutex<Option<RequestProgress>>>,
    ticks: Interval,
    left: u32,
    busy: Busy,
}

impl AnswerLines {
    pub(crate) fn new(
        handler: Arc<ControlHandler>,
        request: ControlRequest,
        refused: fn(RequestRefusal) -> RequestRefusal,
        busy: Busy,
        tasks: Option<&TaskTracker>,
    ) -> Self {
        let latest = Arc::default();
        let noted: Arc<Mutex<Option<RequestProgress>>> = Arc::clone(&latest);
        let answering: BoxFuture<'static, AnswerLine> = Box::pin(async move {
            let note = |progress| *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
            match handler.answer_with_progress(&request, &note).await {
                Ok(answer) => AnswerLine::Ok(answer),
                Err(refusal) => AnswerLine::Error(refused(refusal)),
            }
        });
        let answering: BoxFuture<'static, AnswerLine> = match tasks {
            None => answering,
            Some(tasks) => {
                let task = tasks.spawn(answering);
                Box::pin(async move {
                    match task.await.map_err(JoinError::try_into_panic) {
                        Ok(answer) => answer,
                        Err(Ok(panic)) => std::panic::resume_unwind(panic),
                        Err(Err(_)) => std::future::pending().await,
                    }
                })
            }
        };
        let ticks = interval_at(Instant::now() + ALIVE, ALIVE);
        Self { answering: Some(answering), latest, ticks, left: MOST_ALIVE, busy }
    }

    fn poll_line(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(answering) = &mut self.answering else { return Poll::Ready(None) };
        if let Poll::Ready(answer) = answering.as_mut().poll(context) {
            self.answering = None;
            return Poll::Ready(Some(line(&answer)));
        }
        while self.ticks.poll_tick(context).is_ready() {
            let told = self.latest.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(progress) = told {
                self.left = MOST_ALIVE;
                return Poll::Ready(Some(line(&AnswerLine::Progress(progress))));
            }
            if self.left > 0 {
                self.left -= 1;
                return Poll::Ready(Some(Bytes::from_static(b"\n")));
            }
        }
        Poll::Pending
    }
}

fn line(line: &AnswerLine) -> Bytes {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

impl Body for AnswerLines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut().poll_line(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }

    fn is_end_stream(&self) -> bool {
        self.answering.is_none()
    }
}

impl Drop for AnswerLines {
    fn drop(&mut self) {
        self.busy.set(false);
    }
}
