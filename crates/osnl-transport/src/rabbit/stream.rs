//! Whether a stream is the one that was read before.
//!
//! Asked for an offset that a stream does not have yet, a broker sends nothing until it has; if somebody deleted the
//! stream and made it anew, what is published in it until then would be passed over in silence.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::Connection;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::time::timeout;

use super::arguments::{offset_table, stream_probe};
use super::failure::Failure;

/// How long a stream may take to send its last chunk; one that is empty takes all of it.
const ANSWER: Duration = Duration::from_secs(3);
/// How much longer the message before the position may take, once the last chunk has come.
const BESIDE: Duration = Duration::from_secs(1);

/// Whether the stream lacks the message before `position`, and everything behind it: it has less than was read of it.
pub(super) async fn is_another(connection: &Connection, name: &str, position: u64) -> Result<bool, Failure> {
    let Some(read) = position.checked_sub(1) else { return Ok(false) };
    let what = format!("look at stream \"{name}\"");
    let failed = |error| Failure { what: what.clone(), error };
    let channel = connection.create_channel().await.map_err(failed)?;
    channel.basic_qos(1, BasicQosOptions::default()).await.map_err(failed)?;
    let consume = async |arguments: FieldTable| {
        let options = BasicConsumeOptions::default();
        channel.basic_consume(name.into(), ShortString::default(), options, arguments).await
    };
    let mut read_before = consume(offset_table(read)).await.map_err(failed)?;
    let mut last = consume(stream_probe("last")).await.map_err(failed)?;
    let mut found = timeout(ANSWER, async {
        tokio::select! {
            biased;
            message = read_before.next() => message.is_some(),
            _ = last.next() => false,
        }
    })
    .await
    .unwrap_or(false);
    if !found {
        found = matches!(timeout(BESIDE, read_before.next()).await, Ok(Some(_)));
    }
    // With what it was sent still unsettled on it, which to a stream means nothing.
    let _ = channel.close(200, "seen".into()).await;
    Ok(!found)
}
