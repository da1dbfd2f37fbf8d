#[path = "../../../../fuzz/wire.rs"]
mod wire;

use osnl_testkit::fixture;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_frames(changes in vec((any::<Index>(), any::<u8>(), 0..3_u8), 0..6), cut in any::<Index>()) {
        let mut bytes = fixture::bytes("amqp/consumer.hex");
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.splice(at..at, std::iter::repeat_n([b'F', 0, 0, 0, 9, 1, b'x'], usize::from(byte)).flatten())),
            }
        }
        bytes.truncate(1 + cut.index(bytes.len()));
        wire::amqp_frames(&bytes);
    }
}
