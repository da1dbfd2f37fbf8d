//! The assertions about any bytes that a broker sends: frames and their tables, on their way to the client library.
//! Included by the fuzz driver and by `crates/osnl-transport/tests/it/fuzz.rs`.

use osnl_testkit::amqp::frame::parse_frame;
use osnl_transport::frames_in_pieces;

/// Frames are the same however the network cuts them; the client library, which recurses into tables, reads what passed.
pub(crate) fn amqp_frames(data: &[u8]) {
    let piece = 1 + data.first().map_or(0, |byte| usize::from(*byte) % 64);
    let whole = frames_in_pieces(data, data.len().max(1));
    let pieces = frames_in_pieces(data, piece);
    // A stream that breaks off says so sooner or later; what came before is the same.
    if let (Ok(whole), Ok(pieces)) = (&whole, &pieces) {
        assert_eq!(whole, pieces, "in pieces of {piece}");
    }
    assert_eq!(whole.is_ok(), pieces.is_ok(), "in pieces of {piece}: {whole:?} {pieces:?}");
    let passed = whole.unwrap_or_default();
    let mut rest = &passed[..];
    while let Ok((behind, _)) = parse_frame(rest) {
        if behind.len() == rest.len() {
            break;
        }
        rest = behind;
    }
}
