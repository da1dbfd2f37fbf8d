//! Whether a stream is the one that was read before.
//!
//! Asked for an offset that a stream does not have yet, a broker sends nothing until it has. If the stream was deleted
//! and made anew, messages published in it until then would be passed over in silence.
//!
//! Silence decides nothing: a broker is slow exactly when all its clients reconnect. Only the broker's messages
//! decide: the message before the position, or the stream's last chunk without it.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::Connection;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::time::timeout;

use super::arguments::{offset_table, stream_offset, stream_probe};
use super::failure::OperationFailure;

/// The longest time that a stream may take to send its last chunk; one that is empty takes all of it.
const ANSWER: Duration = Duration::from_secs(3);
/// The further time that the message before the position may take, once the last chunk has arrived.
const BESIDE: Duration = Duration::from_secs(1);

/// Whether a stream is the one that was read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamIdentity {
    /// It has the message before the position, or later ones only: the older have been dropped by its retention.
    Same,
    /// It ends before the position: it has less than was read of it.
    Another,
    /// The broker sent nothing that tells.
    Unknown,
}

/// Whether the stream has what was read of it before `position`.
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
    // One channel, and this one first: what the stream has of it is sent before its last chunk is.
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
    // With what it was sent still unsettled on it, which to a stream has no effect.
    let _ = channel.close(200, "seen".into()).await;
    Ok(decide(read, offset(before), offset(newest)))
}

/// `before`: the offset of the first message at or behind `read`; `newest`: that of the first message of the last chunk.
fn decide(read: u64, before: Option<u64>, newest: Option<u64>) -> StreamIdentity {
    match (before, newest) {
        (Some(_), _) => StreamIdentity::Same,
        // The last chunk begins behind it, so the stream has been that long.
        (None, Some(newest)) if newest >= read => StreamIdentity::Same,
        (None, Some(_)) => StreamIdentity::Another,
        (None, None) => StreamIdentity::Unknown,
    }
}

/// The end of a consumer, and an error, tell as little as silence.
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
            // What was read has been dropped by the stream's retention.
            (Some(40), Some(40), StreamIdentity::Same),
            (None, Some(40), StreamIdentity::Same),
            (None, Some(3), StreamIdentity::Another),
            (None, None, StreamIdentity::Unknown),
        ] {
            assert_eq!(decide(9, before, newest), expected, "{before:?} {newest:?}");
        }
    }
}
