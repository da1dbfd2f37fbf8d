use osnl_testkit::amqp::frame::{AMQPFrame, parse_frame};
use osnl_testkit::amqp::headers::{alone, arrays, tables, text};
use osnl_testkit::fixture;
use proptest::prelude::*;

use osnl_model::BodyDigest;

use super::*;
use crate::bodies::{BodyBounds, Cut};

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 0, 1][..], &size, payload, &[0xCE]].concat()
}

fn header(properties: &[u8]) -> Vec<u8> {
    frame(CONTENT_HEADER, &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4][..], properties].concat())
}

fn seen(bytes: &[u8], pieces: &[usize], rooms: &[usize]) -> Result<Vec<u8>, BrokenFrame> {
    seen_by(Frames::new(true), bytes, pieces, rooms)
}

fn seen_by(
    mut frames: Frames,
    bytes: &[u8],
    pieces: &[usize],
    rooms: &[usize],
) -> Result<Vec<u8>, BrokenFrame> {
    let mut seen = Vec::new();
    let (mut from, mut pieces, mut rooms) = (0, pieces.iter().cycle(), rooms.iter().cycle());
    while from < bytes.len() || frames.given < frames.ready.len() {
        let mut room = vec![0; *rooms.next().unwrap()];
        let ready = frames.take(&mut room);
        seen.extend_from_slice(&room[..ready]);
        if ready > 0 {
            continue;
        }
        let wanted = frames.lacking().filter(|_| from % 2 == 0).unwrap_or(room.len());
        let came = (*pieces.next().unwrap()).min(wanted).min(room.len()).min(bytes.len() - from);
        room[..came].copy_from_slice(&bytes[from..from + came]);
        from += came;
        let given = frames.pass(&mut room[..came])?;
        seen.extend_from_slice(&room[..given]);
        assert!(frames.held.len() <= LARGEST as usize);
    }
    assert!(frames.held.is_empty() || from == bytes.len());
    Ok(seen)
}

fn parsed(mut bytes: &[u8]) -> Vec<AMQPFrame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (rest, frame) = parse_frame(bytes).unwrap();
        frames.push(frame);
        bytes = rest;
    }
    frames
}

#[test]
fn a_recorded_connection_passes_as_it_is() {
    let recorded = fixture::bytes("amqp/consumer.hex");
    assert!(parsed(&recorded).len() > 15);
    for piece in [1, 2, 3, 7, 8, 19, 64, 4096, recorded.len()] {
        assert!(seen(&recorded, &[piece], &[65_536]).as_ref() == Ok(&recorded), "in pieces of {piece}");
    }
}

#[test]
fn only_the_offer_changes_at_the_start() {
    let tune = frame(METHOD, &[0, 10, 0, 30, 7, 255, 0, 0x10, 0, 0, 0, 60]);
    let limited = frame(METHOD, &[0, 10, 0, 30, 7, 255, 0, 2, 0, 0, 0, 60]);
    for piece in [1, 3, 100] {
        assert_eq!(seen(&tune, &[piece], &[64]).unwrap(), limited);
    }
}

#[test]
fn what_is_not_amqp_is_refused() {
    let check = |bytes: &[u8], expected: Result<&[u8], BrokenFrame>| {
        for piece in [1, 5, 4096] {
            assert_eq!(
                seen(bytes, &[piece], &[4096]).as_deref(),
                expected.as_ref().map(|ok| *ok),
                "{bytes:?}"
            );
        }
    };
    check(b"HTTP/1.1 400", Err(BrokenFrame::UnknownType(b'H')));
    check(b"AMQP\0\0\x09\x01", Ok(b"AMQP\0\0\x09\x01"));
    check(&[CONTENT_HEADER, 0, 1, 0, 2, 0, 0], Err(BrokenFrame::TooLarge(131_080)));
    check(&[METHOD, 0, 1, 255, 255, 255, 255], Err(BrokenFrame::TooLarge(4_294_967_303)));
    check(&[BODY, 0, 1, 0, 2, 0, 0], Err(BrokenFrame::TooLarge(131_080)));
    check(&[HEARTBEAT, 0, 0, 0, 1, 255, 249], Err(BrokenFrame::TooLarge(131_073)));
    let largest = frame(BODY, &vec![0; LARGEST as usize - HEADER - 1]);
    assert_eq!(seen(&largest, &[10_000], &[65_536]).unwrap(), largest);
    let largest = header(&vec![0; LARGEST as usize - HEADER - 1 - 12]);
    assert_eq!(largest.len(), LARGEST as usize);
    assert_eq!(parsed(&seen(&largest, &[10_000], &[65_536]).unwrap()).len(), 1);
}

#[test]
fn a_part_of_a_frame_waits() {
    let whole = header(&[0, 0]);
    for cut in 1..whole.len() {
        let mut frames = Frames::new(true);
        let mut part = whole[..cut].to_vec();
        assert_eq!(frames.pass(&mut part), Ok(0), "{cut}");
        assert_eq!(frames.take(&mut [0; 64]), 0);
    }
}

#[test]
fn a_password_that_the_broker_repeats_does_not_reach_the_library() {
    let text = |said: &str| [&[u8::try_from(said.len()).unwrap()][..], said.as_bytes()].concat();
    let (said, expected) = ("no hunter2 here, hunter2", "no *** here, ***        ");
    let methods: [(&[u8], &[u8]); 4] = [
        (&[0, 10, 0, 50, 1, 64], &[0, 0, 0, 0]),
        (&[0, 20, 0, 40, 1, 147], &[0, 50, 0, 10]),
        (&[0, 60, 0, 50, 1, 56], b"\x01e\x01k"),
        (&[0, 10, 0, 60], b""),
    ];
    for (before, behind) in methods {
        let method = |said: &str| frame(METHOD, &[before, &text(said), behind].concat());
        for piece in [1, 3, 4096] {
            let frames = Frames::new(true).hiding(Scrubber::new(["hunter2"]));
            let seen = seen_by(frames, &method(said), &[piece], &[4096]).unwrap();
            assert_eq!(seen, method(expected), "{before:?} in pieces of {piece}");
            parsed(&seen);
        }
        let cut = frame(METHOD, &[before, &[200], b"hunter2"].concat());
        let frames = Frames::new(true).hiding(Scrubber::new(["hunter2"]));
        assert_eq!(seen_by(frames, &cut, &[4096], &[4096]).unwrap(), cut);
    }
}

fn message(channel: u8, tag: u8, body: &[u8], size: usize) -> Vec<Vec<u8>> {
    let deliver = [&[0, 60, 0, 60, 1, b'c', 0, 0, 0, 0, 0, 0, 0, tag][..], &[0, 1, b'e', 1, b'k']].concat();
    let header = [&[0, 60, 0, 0][..], &(body.len() as u64).to_be_bytes(), &[0, 0]].concat();
    let mut frames = vec![frame(METHOD, &deliver), frame(CONTENT_HEADER, &header)];
    frames.extend(body.chunks(size).map(|piece| frame(BODY, piece)));
    frames.iter_mut().for_each(|frame| frame[2] = channel);
    frames
}

#[test]
fn of_a_body_that_is_too_large_only_the_beginning_is_handed_over() {
    let body: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
    let large = message(1, 7, &body, 100_000);
    let small = message(2, 9, b"whole", 2);
    let mut bytes = Vec::new();
    for at in 0..large.len().max(small.len()) {
        bytes.extend([&large, &small].into_iter().filter_map(|frames| frames.get(at)).flatten());
    }
    for (piece, room) in [(1, 7), (5, 4096), (4096, 131_072), (bytes.len(), bytes.len())] {
        let flow = Arc::new(BodyFlow::default());
        flow.begin(BodyBounds { in_hand: 1 << 30, whole: 500_000 });
        let seen = seen_by(Frames::new(true).counting(flow.clone()), &bytes, &[piece], &[room]).unwrap();
        let mut came: BTreeMap<u16, (u64, Vec<u8>)> = BTreeMap::new();
        for frame in parsed(&seen) {
            match frame {
                AMQPFrame::Header(channel, header) => drop(came.insert(channel, (header.body_size, vec![]))),
                AMQPFrame::Body(channel, piece) => came.get_mut(&channel).unwrap().1.extend(piece),
                _ => {}
            }
        }
        assert_eq!(came[&2], (5, b"whole".to_vec()), "pieces of {piece}");
        let (size, kept) = &came[&1];
        assert_eq!((*size, kept), (BodyBounds::HEAD as u64, &body[..BodyBounds::HEAD].to_vec()));
        let cut = Cut { bytes: 800_000, digest: BodyDigest::new(&body) };
        assert_eq!((flow.cut(1, 7), flow.cut(1, 7), flow.cut(2, 9)), (Some(cut), None, None));
    }
}

#[test]
fn a_content_header_that_no_method_announced_is_left_to_the_library() {
    let flow = Arc::new(BodyFlow::default());
    flow.begin(BodyBounds { in_hand: 1 << 30, whole: 3 });
    let check = |channels: u8, skipped: usize, is_passed: bool| {
        let all = (1..=channels).flat_map(|channel| message(channel, 7, b"large", 9).split_off(skipped));
        let bytes = all.collect::<Vec<_>>().concat();
        let mut frames = Frames::new(true).counting(flow.clone());
        assert_eq!(frames.pass(&mut bytes.clone()) == Ok(bytes.len()), is_passed);
        assert_eq!(frames.arriving.is_empty(), is_passed);
    };
    check(1, 0, false);
    check(200, 1, true);
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(frame(HEARTBEAT, &[])),
        Just(header(&[0, 0])),
        Just(header(&alone(&[("compression", text("zlib"))]))),
        (1..60_usize).prop_map(|levels| header(&alone(&[("a", tables(levels)), ("b", text("stays"))]))),
        (1..3_000_usize).prop_map(|levels| header(&alone(&[("a", arrays(levels))]))),
        prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|rest| header(&[&[0xff, 0xff][..], &rest].concat())),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|body| frame(BODY, &body)),
        Just(frame(METHOD, &[&[0, 60, 0, 60, 1, b'c'][..], &[0; 9], &[1, b'e', 1, b'k']].concat())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn neither_the_cut_nor_the_room_matters(
        frames in prop::collection::vec(any_frame(), 1..30),
        pieces in prop::collection::vec(1..300_usize, 1..20),
        rooms in prop::collection::vec(1..300_usize, 1..20),
    ) {
        let bytes = frames.concat();
        let whole = seen(&bytes, &[bytes.len()], &[bytes.len()]).unwrap();
        prop_assert_eq!(&seen(&bytes, &pieces, &rooms).unwrap(), &whole);
        let parsed = parsed(&whole);
        prop_assert_eq!(parsed.len(), frames.len());
        for (sent, seen) in frames.iter().zip(&parsed) {
            if let AMQPFrame::Body(_, body) = seen {
                prop_assert_eq!(&sent[HEADER..sent.len() - 1], &body[..]);
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..600), piece in 1..64_usize) {
        let whole = seen(&bytes, &[bytes.len().max(1)], &[bytes.len().max(1)]);
        let cut = seen(&bytes, &[piece], &[100]);
        prop_assert_eq!(whole.is_err(), cut.is_err());
    }
}
