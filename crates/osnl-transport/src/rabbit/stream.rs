//! Tests whether a stream is the stream that was read before.
//!
//! Asked for an offset that a stream does not have yet, a broker sends nothing until the offset exists. If the stream
//! was deleted and made anew, messages up to that offset would be skipped silently.
//!
//! Silence decides nothing: a broker is slow when all its clients reconnect. Only messages decide: the message before
//! the position, or the last chunk without it.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::Connection;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::time::timeout;

use super::arguments::{offset_table, stream_offset, stream_probe};
use super::failure::OperationFailure;

/// The longest wait for the last chunk of a stream, which an empty stream uses up.
const ANSWER: Duration = Duration::from_secs(3);
const BESIDE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamIdentity {
    Same,
    Another,
    Unknown,
}

pub(super) async fn identity(
    connection: &Connection,
    name: &str,
    position: u64,
) -> Result<StreamIdentity, OperationFailure> {
    let Some(read) = position.checked_sub(1) else { return Ok(StreamIdentity::Same) };
    let what = format!("look at stream \"{name}\"");
    let failed = |error| OperationFailure { what: what.clone(), error };
    let channel = connection.create_channel().await.map_err(failed)?;
    channel.basic_qos(1, BasicQosOptions::default()).await.map_err(failed)?;
    let consume = async |arguments: FieldTable| {
        let options = BasicConsumeOptions::default();
        channel.basic_consume(name.into(), ShortString::default(), options, arguments).await
    };
    // Both consumers share a channel, so messages of the first are sent before the last chunk.
    let mut read_before = consume(offset_table(read)).await.map_err(failed)?;
    let mut last = consume(stream_probe("last")).await.map_err(failed)?;
    let (mut before, mut newest) = (None, None);
    let heard = timeout(ANSWER, async {
        tokio::select! {
            biased;
            message = read_before.next() => before = message,
            message = last.next() => newest = message,
        }
    });
    if heard.await.is_ok() && before.is_none() {
        before = timeout(BESIDE, read_before.next()).await.ok().flatten();
    }
    let _ = channel.close(200, "seen".into()).await;
    Ok(decide(read, offset(before), offset(newest)))
}

/// Decides by the first message at or behind `read`, and the first message of the last chunk (`newest`).
fn decide(read: u64, before: Option<u64>, newest: Option<u64>) -> StreamIdentity {
    match (before, newest) {
        (Some(_), _) => StreamIdentity::Same,
        // The last chunk begins behind the position, so the stream was at least that long.
        (None, Some(newest)) if newest >= read => StreamIdentity::Same,
        (None, Some(_)) => StreamIdentity::Another,
        (None, None) => StreamIdentity::Unknown,
    }
}

fn offset(message: Option<lapin::Result<Delivery>>) -> Option<u64> {
    stream_offset(&message?.ok()?.properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_decides_nothing() {
        for (before, newest, expected) in [
            (Some(9), None, StreamIdentity::Same),
            (Some(9), Some(3), StreamIdentity::Same),
            (Some(40), Some(40), StreamIdentity::Same),
            (None, Some(40), StreamIdentity::Same),
            (None, Some(3), StreamIdentity::Another),
            (None, None, StreamIdentity::Unknown),
        ] {
            assert_eq!(decide(9, before, newest), expected, "{before:?} {newest:?}");
        }
    }
}
