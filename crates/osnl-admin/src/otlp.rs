//! The export of spans to a collector: OTLP over HTTP, as JSON.
//!
//! Our own lines and not the official crates: those are six with a context, a tracer, and a protobuf of their own, and
//! a span of ours is a few members of a JSON object.
//!
//! Spans wait in a bounded queue, and go out in batches a second apart at most. A collector that is away costs the
//! spans that have no room meanwhile, and delays nothing: messages and deliveries never wait for it.

mod encode;

use std::sync::Arc;
use std::time::Duration;

use osnl::action::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use osnl::action::http::{Client, HttpError, HttpOptions, Method, Request, Url};
use osnl::metrics::Counters;
use osnl::native::OtlpConf;
use osnl_config::written_secrets;
use osnl_core::trace::Span;
use serde_json::Value;
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::encode::SpanResource;

/// Spans that wait; more are dropped.
const ROOM: usize = 8192;
/// Spans of one request.
const BATCH: usize = 512;
/// The time in which a batch fills.
const DELAY: Duration = Duration::from_secs(1);
/// The time of one request.
const ANSWER: Duration = Duration::from_secs(10);
/// The first and the longest pause while the collector is away.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// After the end was asked for, the last spans have this long.
const GRACE: Duration = Duration::from_secs(2);
/// More of an answer is not read.
const REPLY: usize = 16 * 1024;

/// The export, before it runs.
pub struct Exporter {
    client: Client,
    url: Url,
    /// The URL for people: its query may hold a secret.
    shown: String,
    headers: HeaderMap,
    resource: SpanResource,
    counters: Arc<Counters>,
    spans: Receiver<Span>,
    /// Whether the latest request failed.
    fails: bool,
}

/// Why a request has not exported its spans.
enum ExportError {
    /// The collector is away, or busy: again later.
    Away(String),
    /// It takes these spans never.
    Refused(String),
}

impl Exporter {
    /// Builds the client of a collector as a start would. Nothing is connected.
    ///
    /// # Errors
    /// As [`Exporter::new`].
    pub fn check(conf: &OtlpConf, http: &HttpOptions) -> Result<(), HttpError> {
        Client::to(&conf.http(http), &conf.traces_endpoint).map(|_| ())
    }

    /// Begins to collect spans; `None` if another export does. Nothing is connected.
    ///
    /// # Errors
    /// Certificates or a proxy that cannot be used.
    pub fn new(
        conf: &OtlpConf,
        http: &HttpOptions,
        counters: &Arc<Counters>,
    ) -> Result<Option<Self>, HttpError> {
        let client = Client::to(&conf.http(http), &conf.traces_endpoint)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(Ok(mut value)) =
            conf.authorization.as_ref().map(|secret| HeaderValue::from_str(secret.reveal()))
        {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let Some(spans) = counters.series.traces.export(ROOM) else { return Ok(None) };
        let (url, resource) = (conf.traces_endpoint.clone(), SpanResource::of_this_process());
        let (shown, counters) = (written_secrets::masked_url(&url.to_string()), counters.clone());
        Ok(Some(Self { client, url, shown, headers, resource, counters, spans, fails: false }))
    }

    /// Exports until told to stop, and then what is left.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = fill(&mut self.spans, &mut batch) => {}
            }
            if batch.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.export(&batch) => batch.clear(),
            }
        }
        let _ = timeout(GRACE, self.finish(batch)).await;
    }

    /// The last spans, each batch once.
    async fn finish(&mut self, mut batch: Vec<Span>) {
        loop {
            while batch.len() < BATCH
                && let Ok(span) = self.spans.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            let sent = self.post(&batch).await;
            self.note(&sent, batch.len());
            if sent.is_err() {
                return;
            }
            batch.clear();
        }
    }

    /// Exports a batch, however long the collector is away.
    async fn export(&mut self, batch: &[Span]) {
        let [mut pause, longest] = PAUSES;
        loop {
            let sent = self.post(batch).await;
            self.note(&sent, batch.len());
            match sent {
                Ok(_) | Err(ExportError::Refused(_)) => return,
                Err(ExportError::Away(_)) => sleep(pause).await,
            }
            pause = (pause * 2).min(longest);
        }
    }

    /// Answers how many spans the collector has not taken.
    async fn post(&self, batch: &[Span]) -> Result<u64, ExportError> {
        let mut request = Request::new(Method::POST, self.url.clone());
        request.headers = self.headers.clone();
        request.body = self.resource.body(batch).into();
        // A span that arrives twice is one span.
        request.repeatable = true;
        request.reply_limit = REPLY;
        let away = |reason: String| ExportError::Away(format!("{}: {reason}", self.shown));
        let answer = timeout(ANSWER, self.client.send(request)).await;
        let answer = answer.map_err(|_| away(format!("no answer after {ANSWER:?}")))?;
        let answer = answer.map_err(|failure| away(failure.reason))?;
        match answer.status.as_u16() {
            200..300 => Ok(refused(&answer.body)),
            408 | 429 | 500..600 => Err(away(answer.failure().reason)),
            status => {
                Err(ExportError::Refused(format!("{}: {status} {}", self.shown, answer.failure().reason)))
            }
        }
    }

    /// Counts, and says each change once.
    fn note(&mut self, sent: &Result<u64, ExportError>, spans: usize) {
        let traces = &self.counters.series.traces;
        let spans = spans as u64;
        match sent {
            Ok(refused) => {
                traces.exported.add(spans.saturating_sub(*refused));
                traces.dropped.add((*refused).min(spans));
                if std::mem::take(&mut self.fails) {
                    tracing::info!(url = self.shown, "traces are exported again");
                }
            }
            Err(failed) => {
                let (ExportError::Away(error) | ExportError::Refused(error)) = failed;
                if let ExportError::Refused(_) = failed {
                    traces.dropped.add(spans);
                }
                if !std::mem::replace(&mut self.fails, true) {
                    tracing::warn!(error, "traces cannot be exported; deliveries go on without");
                }
            }
        }
    }
}

/// Fills a batch: as many spans as come within the delay after the first. Empty when none can come any more.
async fn fill(spans: &mut Receiver<Span>, batch: &mut Vec<Span>) {
    spans.recv_many(batch, BATCH).await;
    let rest = async {
        while batch.len() < BATCH {
            if spans.recv_many(batch, BATCH - batch.len()).await == 0 {
                break;
            }
        }
    };
    let _ = timeout(DELAY, rest).await;
}

/// Reads how many spans an answer says were refused.
fn refused(body: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let refused = &answer["partialSuccess"]["rejectedSpans"];
    // A 64-bit number of protobuf is a text in JSON.
    refused.as_u64().or_else(|| refused.as_str()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_may_refuse_some() {
        let check = |body: &str, expected: u64| assert_eq!(refused(body.as_bytes()), expected, "{body}");
        check("", 0);
        check("{}", 0);
        check(r#"{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too old"}}"#, 3);
        check(r#"{"partialSuccess": {"rejectedSpans": 2}}"#, 2);
    }
}
