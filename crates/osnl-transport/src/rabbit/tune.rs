//! A connection without heartbeats.
//!
//! The broker offers a heartbeat in `connection.tune`, and a client that wants none answers 0. The client library
//! takes 0 for "whatever the broker offers", so the offer is made 0 on its way in. Only that one frame is touched.

/// Octets of a frame before its payload: type, channel, size.
const HEADER: usize = 7;
/// Where in `connection.tune`, after class, method, `channel_max` and `frame_max`, the heartbeat stands.
const HEARTBEAT: [usize; 2] = [HEADER + 10, HEADER + 11];
/// A method frame of class `connection` (10), method `tune` (30).
const TUNE: [u8; 4] = [0, 10, 0, 30];

/// Looks for `connection.tune` in what comes, however it is cut into pieces.
#[derive(Debug, Default)]
pub(super) struct NoHeartbeat {
    /// Where in the current frame the next byte stands.
    at: usize,
    /// Its beginning: the header, class and method.
    start: [u8; HEADER + 4],
}

impl NoHeartbeat {
    /// Passes bytes on, changed if need be; true once there is nothing left to look for.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> bool {
        for byte in bytes {
            if let Some(place) = self.start.get_mut(self.at) {
                *place = *byte;
            }
            let tune = self.at >= self.start.len() && self.start[0] == 1 && self.start[HEADER..] == TUNE;
            if tune && HEARTBEAT.contains(&self.at) {
                *byte = 0;
            }
            self.at += 1;
            if self.at > HEADER && self.at == HEADER + self.size() + 1 {
                if tune {
                    return true;
                }
                *self = Self::default();
            }
        }
        false
    }

    fn size(&self) -> usize {
        let [.., a, b, c, d] = self.start[..HEADER] else { return 0 };
        u32::from_be_bytes([a, b, c, d]) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A method frame on channel 0.
    fn frame(payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[1, 0, 0][..], &size, payload, &[0xCE]].concat()
    }

    fn tune(heartbeat: [u8; 2]) -> Vec<u8> {
        frame(&[&TUNE[..], &[7, 255, 0, 2, 0, 0], &heartbeat].concat())
    }

    #[test]
    fn only_the_heartbeat_of_the_first_tune_is_taken_out_however_it_is_cut() {
        let start = frame(&[&[0, 10, 0, 10][..], &[0xCE; 300]].concat());
        // Not of that class; would be changed if frames were not told apart.
        let other = frame(&[0, 10, 0, 31, 1, 1, 1, 1, 1, 1, 1, 1]);
        let empty = [8, 0, 0, 0, 0, 0, 0, 0xCE];
        let head = [&start[..], &empty, &other].concat();
        let whole = [&head[..], &tune([0, 60]), &tune([0, 60])].concat();
        let expected = [&head[..], &tune([0, 0]), &tune([0, 60])].concat();
        for piece in [1, 2, 3, 7, 19, 64, whole.len()] {
            let (mut filter, mut seen, mut done) = (NoHeartbeat::default(), whole.clone(), false);
            for part in seen.chunks_mut(piece) {
                done = done || filter.pass(part);
            }
            assert!(done);
            assert_eq!(seen, expected, "in pieces of {piece}");
        }
    }
}
