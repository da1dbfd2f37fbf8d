use osnl_testkit::amqp::frame::parse_frame;
use osnl_transport::frames_in_pieces;

/// Frames do not depend on the network's packets; the client library, which recurses into tables, reads all frames
/// that pass.
pub(crate) fn amqp_frames(data: &[u8]) {
    let piece = 1 + data.first().map_or(0, |byte| usize::from(*byte) % 64);
    let whole = frames_in_pieces(data, data.len().max(1));
    let pieces = frames_in_pieces(data, piece);
    // A broken stream fails sooner or later, but the frames before the fault are the same.
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
