//! Changes the broker's offer for the client library.
//!
//! - The largest frame: at most [`LARGEST`], and never without a bound, since tables in a frame are read at once.
//! - The heartbeat: a client without heartbeat answers 0 to `connection.tune`. The client library takes 0 for "the
//!   broker's offer", so the offer itself becomes 0.
//! - An offer below the client library's minimum of 8192 bytes is told, since the library answers with more
//!   ([`SmallFrames`](super::small_frames::SmallFrames) writes what the broker reads). Below the protocol's minimum it is
//!   an error.

use super::frames::LARGEST;
use super::login::NothingInCommon;

const TUNE: [u8; 4] = [0, 10, 0, 30];
/// The smallest frame that the protocol permits.
const SMALLEST: u32 = 4096;
/// The client library's smallest frame.
const OF_LIBRARY: u32 = 8192;
/// The fewest channels: two at once, and the client library counts the connection's channel too.
const CHANNELS: u16 = 3;

/// Returns the size of the broker's frames, if that is below the client library's smallest.
pub(super) fn limit(payload: &mut [u8], heartbeat: bool) -> Result<Option<u32>, NothingInCommon> {
    let Some([e, f, a, b, c, d, seconds @ ..]) =
        payload.starts_with(&TUNE).then(|| payload.get_mut(TUNE.len()..)).flatten()
    else {
        return Ok(None);
    };
    let (channels, offered) = (u16::from_be_bytes([*e, *f]), u32::from_be_bytes([*a, *b, *c, *d]));
    if (1..CHANNELS).contains(&channels) {
        return Err(NothingInCommon {
            reason: format!("the broker offers a connection {channels} channels, and osnl needs {CHANNELS}"),
            remedy: format!("set channel_max in rabbitmq.conf to {CHANNELS} or more, or to 0"),
        });
    }
    if (1..SMALLEST).contains(&offered) {
        return Err(NothingInCommon {
            reason: format!("the broker offers frames of {offered} bytes, and osnl needs {SMALLEST}"),
            remedy: format!("set frame_max in rabbitmq.conf to {SMALLEST} or more"),
        });
    }
    if offered == 0 || offered > LARGEST {
        [*a, *b, *c, *d] = LARGEST.to_be_bytes();
    }
    if !heartbeat {
        seconds.fill(0);
    }
    Ok(Some(offered).filter(|offered| (SMALLEST..OF_LIBRARY).contains(offered)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_offer_is_limited() {
        let check = |payload: &[u8], heartbeat: bool, expected: &[u8]| {
            let mut seen = payload.to_vec();
            limit(&mut seen, heartbeat).unwrap();
            assert_eq!(seen, expected, "{payload:?}");
        };
        let tune = |frame_max: u32, heartbeat: [u8; 2]| {
            [&TUNE[..], &[7, 255], &frame_max.to_be_bytes(), &heartbeat].concat()
        };
        for (offered, expected) in [(0, LARGEST), (8192, 8192), (LARGEST, LARGEST), (u32::MAX, LARGEST)] {
            check(&tune(offered, [0, 60]), true, &tune(expected, [0, 60]));
            check(&tune(offered, [1, 60]), false, &tune(expected, [0, 0]));
        }
        for (channels, frame_max, expected) in [
            (0, 8192, Some(None)),
            (3, 8192, Some(None)),
            (3, 8191, Some(Some(8191))),
            (3, 4096, Some(Some(4096))),
            (2, 8192, None),
            (1, 8192, None),
            (3, 4095, None),
            (3, 1, None),
        ] {
            let mut offer =
                [&TUNE[..], &u16::to_be_bytes(channels), &u32::to_be_bytes(frame_max), &[0, 60]].concat();
            assert_eq!(limit(&mut offer, true).ok(), expected, "{channels} {frame_max}");
        }
        let other = [0, 10, 0, 31, 1, 1, 1, 1, 1, 1, 1, 1];
        check(&other, false, &other);
        check(&TUNE, false, &TUNE);
        check(&[&TUNE[..], &[1, 1, 255, 255]].concat(), false, &[&TUNE[..], &[1, 1, 255, 255]].concat());
    }
}
