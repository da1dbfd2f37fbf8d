//! The broker's offer, as the client library is to see it.
//!
//! - The largest frame: at most [`LARGEST`], and never without a bound, since tables in a frame are read at once.
//! - The heartbeat: the broker offers one in `connection.tune`, and a client that wants none answers 0. The client library
//!   takes 0 for "whatever the broker offers", so the offer is made 0 on its way in.

use super::frames::LARGEST;

/// Class `connection` (10), method `tune` (30), `channel_max`, before what may change.
const TUNE: [u8; 4] = [0, 10, 0, 30];
const BEFORE: usize = TUNE.len() + 2;

/// Changes the payload of a method frame, if it is `connection.tune`.
pub(super) fn limit(payload: &mut [u8], heartbeat: bool) {
    if !payload.starts_with(&TUNE) {
        return;
    }
    let Some([a, b, c, d, seconds @ ..]) = payload.get_mut(BEFORE..) else { return };
    let offered = u32::from_be_bytes([*a, *b, *c, *d]);
    if offered == 0 || offered > LARGEST {
        [*a, *b, *c, *d] = LARGEST.to_be_bytes();
    }
    if !heartbeat {
        seconds.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_offer_is_limited() {
        let check = |payload: &[u8], heartbeat: bool, expected: &[u8]| {
            let mut seen = payload.to_vec();
            limit(&mut seen, heartbeat);
            assert_eq!(seen, expected, "{payload:?}");
        };
        let tune = |frame_max: u32, heartbeat: [u8; 2]| {
            [&TUNE[..], &[7, 255], &frame_max.to_be_bytes(), &heartbeat].concat()
        };
        for (offered, expected) in [(0, LARGEST), (4096, 4096), (LARGEST, LARGEST), (u32::MAX, LARGEST)] {
            check(&tune(offered, [0, 60]), true, &tune(expected, [0, 60]));
            check(&tune(offered, [1, 60]), false, &tune(expected, [0, 0]));
        }
        let other = [0, 10, 0, 31, 1, 1, 1, 1, 1, 1, 1, 1];
        check(&other, false, &other);
        check(&TUNE, false, &TUNE);
        check(&[&TUNE[..], &[1, 1, 255, 255]].concat(), false, &[&TUNE[..], &[1, 1, 255, 255]].concat());
    }
}
