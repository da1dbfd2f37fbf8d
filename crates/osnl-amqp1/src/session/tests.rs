use super::*;
use crate::codec::{BINARY, FALSE, NULL, STRING, SYMBOL, text};

/// Returns a session with one link for each of the broker's numbers, and its first flows sent.
fn session_of(handles: impl IntoIterator<Item = u8>) -> Session {
    let link = |handle: u8| {
        let (queue, exchange) = (format!("address{handle}"), "nova".to_owned());
        (Binding { queue, exchange, routing_key: "n.info".into() }, (handle.into(), 0))
    };
    let bounds = (4, BodyBounds { in_hand: 400_000, whole: 200_000 });
    let mut session = Session::new(Epoch::next(), handles.into_iter().map(link).collect(), bounds, 0);
    session.due();
    session
}

fn session() -> Session {
    session_of([7])
}

/// Returns the frames that are due, each as its descriptor and the numbers among its fields.
fn due(session: &mut Session) -> Vec<(u64, Vec<Option<u64>>)> {
    let (bytes, mut frames) = (session.due(), Vec::new());
    let mut rest = &bytes[..];
    while let Some((frame, others)) =
        rest.split_at_checked(u32::from_be_bytes(*rest.first_chunk().unwrap_or(&[0xff; 4])) as usize)
    {
        let performative = Value::take(&mut &frame[8..]).unwrap();
        frames.push((performative.descriptor.unwrap(), performative.values().map(Value::number).collect()));
        rest = others;
    }
    frames
}

fn credits(session: &mut Session) -> Vec<u64> {
    due(session).into_iter().filter_map(|(_, fields)| fields.get(6).copied().flatten()).collect()
}

/// Returns the descriptors of the frames that are due.
fn kinds(session: &mut Session) -> Vec<u64> {
    due(session).into_iter().map(|(kind, _)| kind).collect()
}

/// Returns a transfer on a link with an id, with further fields from the fifth.
fn transfer(handle: u8, id: u32, fields: &[&[u8]], payload: &[u8]) -> Vec<u8> {
    let (handle, id) = ([0x52, handle], uint(id));
    let fields = [&[&handle[..], &id, NULL, NULL, NULL][..], fields].concat();
    [list(0x14, &fields), payload.to_vec()].concat()
}

fn data(body: &[u8]) -> Vec<u8> {
    [&[0x00, 0x53, 0x75][..], &text(BINARY, body)].concat()
}

#[test]
fn hostile_bytes_of_a_message_are_its_body_and_others_end_the_connection() {
    let nested = [[0x00, 0x53, 0x72].repeat(20_000), vec![0x40]].concat();
    let zeros = [0x00, 0x53, 0x72, 0xf0, 0, 0, 0, 5, 0x80, 0, 0, 0, 0x40].to_vec();
    let beyond = [0x00, 0x53, 0x77, 0xb1, 0xff, 0xff, 0xff, 0xff, b'x'].to_vec();
    let map = [0x00, 0x53, 0x77, 0xc1, 1, 0].to_vec();
    let cases = [
        (7, [nested, data(b"b")].concat(), Ok("b".into())),
        (7, [zeros, data(b"b")].concat(), Ok("b".into())),
        (7, [data(b"one"), data(b"two"), data(b"three")].concat(), Ok("onetwothree".into())),
        (7, beyond.clone(), Ok(beyond)),
        (7, map.clone(), Ok(map)),
        (7, b"x".to_vec(), Ok(b"x".to_vec())),
        (7, Vec::new(), Ok(Vec::new())),
        (8, data(b"b"), Err("connection lost: the peer sent a message on an unknown link".to_owned())),
    ];
    for (handle, payload, expected) in cases {
        let mut session = session();
        let taken = session.take(&transfer(handle, 1, &[], &payload));
        let body = taken.map(|()| session.ready[0].body.to_vec()).map_err(|error| error.to_string());
        assert_eq!(body, expected, "{}", payload[..payload.len().min(40)].escape_ascii());
    }
    for frame in [&[0x00, 0x53][..], &[0x40], &list(0x20, &[]), &list(0x14, &[]), &list(0x18, &[])] {
        assert!(session().take(frame).is_err(), "{frame:x?}");
    }
    for (descriptor, at) in [(0x16, 2), (0x17, 0), (0x18, 0)] {
        let error = list(0x1d, &[&text(SYMBOL, "amqp:not-allowed"), &text(STRING, "u:S3CRET is refused")]);
        let fields = [&[0x52, 7][..], NULL, &error];
        let mut session = session();
        session.secrets = Scrubber::new(["S3CRET"]);
        let end = session.take(&list(descriptor, &fields[2 - at..])).unwrap_err().to_string();
        assert!(end.ends_with("amqp:not-allowed: u:*** is refused"), "{end}");
    }
    // No change of one byte and no missing end makes a panic.
    let message = [&[0x00, 0x53, 0x73][..], &[0xc0, 3, 1, 0xa1, 0], &data(b"b")].concat();
    let valid = transfer(7, 1, &[TRUE, NULL], &message);
    for (at, byte) in (0..valid.len()).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
        let (mut changed, mut session) = (valid.clone(), session());
        changed[at] = byte;
        let _ = (session.take(&valid[..at]), session.take(&changed), session.take(&changed));
    }
}

#[test]
fn a_message_without_end_is_cut_and_memory_bounded() {
    let mut session = session();
    let piece = [b'x'; 50_000];
    let begin = [0x00, 0x53, 0x75, 0xb0, 0xff, 0, 0, 0];
    session.take(&transfer(7, 1, &[TRUE], &begin)).unwrap();
    for _ in 0..1000 {
        session.take(&transfer(7, 1, &[TRUE], &piece)).unwrap();
    }
    let held = session.links[0].unfinished.as_ref().unwrap().payload.capacity();
    assert!(held < 1_000_000, "{held}");
    session.take(&transfer(7, 1, &[], b"yz")).unwrap();
    let message = session.ready.pop_front().unwrap();
    assert_eq!(message.body, [b'x'; BodyBounds::HEAD][..]);
    let whole = [&[b'x'; 50_000].repeat(1000)[..], b"yz"].concat();
    let digest = osnl_model::BodyDigest::new(&whole);
    assert_eq!(*message.cut.unwrap(), Cut { bytes: 50_000_002, digest });
}

#[test]
fn of_large_messages_side_by_side_each_is_whole_at_last() {
    let mut session = session_of(0..4);
    let body = |letter: u8| [letter; 150_000];
    let part = |letter| [&[0x00, 0x53, 0x75, 0xb0][..], &uint(150_000)[1..], &body(letter)].concat();
    for link in 0..3 {
        session.take(&transfer(link, link.into(), &[TRUE], &part(link)[..140_000])).unwrap();
    }
    session.take(&transfer(3, 3, &[], &data(b"small"))).unwrap();
    due(&mut session);
    let cut = session
        .links
        .iter()
        .position(|link| link.unfinished.as_ref().is_some_and(|delivery| delivery.cut.is_some()));
    for link in 0..3 {
        session.take(&transfer(link, link.into(), &[], &part(link)[140_000..])).unwrap();
    }
    // The one that was cut for the others is given back, and comes again.
    let released = due(&mut session).into_iter().filter(|(kind, _)| *kind == 0x15);
    let cut = u8::try_from(cut.unwrap()).unwrap();
    assert_eq!(released.map(|(_, fields)| fields[1]).collect::<Vec<_>>(), [Some(cut.into())]);
    session.take(&transfer(cut, 4, &[], &part(cut))).unwrap();
    assert!(session.ready.iter().all(|message| message.cut.is_none()));
    let mut bodies: Vec<_> = session.ready.iter().map(|message| message.body.to_vec()).collect();
    bodies.sort();
    assert_eq!(bodies, [body(0).to_vec(), body(1).to_vec(), body(2).to_vec(), b"small".to_vec()]);
}

#[test]
fn a_message_larger_than_all_in_hand_is_whole() {
    let mut session = session();
    session.bounds.in_hand = 50_000;
    let message = data(&[b'x'; 150_000]);
    for piece in message.chunks(40_000) {
        session.take(&transfer(7, 1, &[TRUE], piece)).unwrap();
    }
    session.take(&transfer(7, 1, &[], b"")).unwrap();
    assert_eq!(session.ready.pop_front().unwrap().body.len(), 150_000);
}

#[test]
fn no_frame_follows_the_close() {
    let mut session = session();
    session.quiesce();
    session.close();
    assert_eq!(kinds(&mut session), [0x18]);
}

#[test]
fn the_head_and_the_digest_of_a_cut_body_begin_with_its_first_section() {
    let mut session = session();
    let sections = [data(&[b'a'; 10]), data(&[b'b'; 190_000]), data(&[b'c'; 190_000])].concat();
    for piece in sections.chunks(50_000) {
        session.take(&transfer(7, 1, &[TRUE], piece)).unwrap();
    }
    session.take(&transfer(7, 1, &[], b"")).unwrap();
    let message = session.ready.pop_front().unwrap();
    let cut = Cut { bytes: sections.len() as u64 - 8, digest: osnl_model::BodyDigest::new(&sections[8..]) };
    assert_eq!((&message.body[..10], *message.cut.unwrap()), (&[b'a'; 10][..], cut));
}

#[test]
fn properties_are_read_beside_the_body() {
    let mut session = session();
    let names = ["text/x", "latin-1"].map(|name| text(SYMBOL, name));
    let properties = list(0x73, &[NULL, NULL, NULL, NULL, NULL, NULL, &names[0], &names[1]]);
    let entry = [text(STRING, "compression"), text(STRING, "zip")].concat();
    let size = u8::try_from(entry.len() + 1).unwrap();
    let application = [&[0x00, 0x53, 0x74, 0xc1, size, 2][..], &entry].concat();
    let header = list(0x70, &[NULL, NULL, NULL, NULL, &[0x52, 1]]);
    let message = [header, properties, application, data(b"b")].concat();
    session.take(&transfer(7, 1, &[], &message)).unwrap();
    let found = session.ready.pop_front().unwrap();
    let names =
        [&found.properties.content_type, &found.properties.content_encoding].map(|name| name.as_deref());
    assert_eq!(
        (names, found.properties.compression.as_deref()),
        ([Some("text/x"), Some("latin-1")], Some("zip"))
    );
    assert!(found.redelivered && found.body == "b");
}

#[test]
fn credit_is_the_prefetch_less_the_messages_in_hand() {
    let mut session = session();
    for id in 1..=8 {
        session.take(&transfer(7, id, &[], &data(b""))).unwrap();
    }
    let more = session.take(&transfer(7, 9, &[], &data(b""))).unwrap_err().to_string();
    assert!(more.ends_with("the peer sent more messages than its credit"), "{more}");
    session.links[0].unsettled.truncate(4);
    assert!(credits(&mut session).is_empty());
    session.links[0].unsettled.truncate(1);
    assert_eq!(credits(&mut session), [3]);
    // An aborted delivery is no message, and its credit is spent.
    session.take(&transfer(7, 6, &[TRUE], b"x")).unwrap();
    session.take(&transfer(7, 6, &[NULL, NULL, NULL, NULL, TRUE], b"")).unwrap();
    assert_eq!((session.ready.len(), session.links[0].credit), (8, 2));
    session.quiesce();
    assert_eq!(credits(&mut session), [0]);
    session.take(&transfer(7, 7, &[], &data(b""))).unwrap();
    assert!(session.ready.is_empty() && session.links[0].unsettled.is_empty(), "all are given back");
}

#[test]
fn a_part_of_another_message_is_none_of_this_one() {
    let mut session = session();
    session.take(&transfer(7, 1, &[TRUE], &data(b"one")[..6])).unwrap();
    // A further part may leave out the id of its message.
    session
        .take(
            &[list(0x14, &[&[0x52, 7], NULL, NULL, NULL, NULL, TRUE]), data(b"one")[6..7].to_vec()].concat(),
        )
        .unwrap();
    let error = session.take(&transfer(7, 2, &[], b"two")).unwrap_err().to_string();
    assert!(error.ends_with("the peer began a message within another one of its link"), "{error}");
    assert!(session.ready.is_empty());
}

#[test]
fn a_flow_that_asks_for_an_echo_has_one_and_many_have_no_more() {
    let mut session = session();
    let flow = |handle: &[u8], echo| {
        list(0x13, &[&uint(0), &uint(1), &uint(0), &uint(1), handle, NULL, NULL, NULL, NULL, echo])
    };
    session.take(&flow(&[0x52, 7], FALSE)).unwrap();
    assert!(due(&mut session).is_empty());
    for _ in 0..100 {
        session.take(&flow(&[0x52, 7], TRUE)).unwrap();
        session.take(&flow(NULL, TRUE)).unwrap();
    }
    let flows = due(&mut session);
    assert_eq!(flows.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [0x13, 0x13]);
    assert_eq!((flows[0].1[4..].to_vec(), flows[1].1.len()), (vec![Some(0), Some(0), Some(4)], 4));
}

#[test]
fn an_end_names_its_address_and_is_answered() {
    let reason = |condition: &str, words: &str| {
        list(0x1d, &[&text(SYMBOL, format!("amqp:{condition}")), &text(SYMBOL, words)])
    };
    let detach =
        |handle, condition, words: &str| list(0x16, &[&[0x52, handle], TRUE, &reason(condition, words)]);
    let long = "x".repeat(60_000);
    for (frame, expected, answers) in [
        (detach(8, "not-found", "-"), "queue \"address8\" does not exist", &[0x16, 0x18][..]),
        (detach(7, "resource-deleted", "-"), "consumer of queue \"address7\" cancelled", &[0x16, 0x18]),
        (
            detach(8, "unauthorized-access", "w"),
            "read address \"address8\": the peer detached the link: amqp:unauthorized-access: w",
            &[0x16, 0x18],
        ),
        (
            detach(7, "link:stolen", "w"),
            "connection lost: read address \"address7\": the peer detached the link: amqp:link:stolen: w",
            &[0x16, 0x18],
        ),
        (
            list(0x17, &[&reason("internal-error", &long)]),
            "connection lost: the peer ended the session: amqp:internal-error: x",
            &[0x18],
        ),
        (list(0x18, &[]), "connection lost: the peer closed the connection", &[0x18]),
    ] {
        let mut session = session_of([7, 8]);
        let error = session.take(&frame).unwrap_err().to_string();
        assert!(error.contains(expected) && error.len() < 400, "{error}");
        session.close();
        session.close();
        assert_eq!(kinds(&mut session), answers, "{error}");
    }
}

#[test]
fn nothing_follows_the_close() {
    let mut session = session();
    for id in 0..4 {
        session.take(&transfer(7, id, &[], &data(b""))).unwrap();
    }
    session.close();
    session.settle(0, &[Settlement::AcknowledgeThrough(4)]);
    session.take(&list(0x13, &[NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, TRUE])).unwrap();
    assert_eq!(kinds(&mut session), [0x18]);
}

#[test]
fn the_head_of_a_cut_body_begins_behind_its_constructor() {
    assert_eq!(body_start(&[0, 0x53, 0x75, 0xb0, 0, 0, 1, 0, b'{']), 8);
    assert_eq!(body_start(&[0, 0x53, 0x77, 0xa1, 1, b'{']), 5);
    assert_eq!(body_start(&[0, 0x53, 0x78, 0x45, 0, 0x53, 0x75, 0xa0, 9, b'{']), 9);
    assert_eq!(body_start(b"{"), 0);
}

#[test]
fn a_range_of_settlements_covers_no_other_delivery() {
    let mut session = session();
    for id in [u32::MAX, 0, 2, 3] {
        session.take(&transfer(7, id, &[], &data(b""))).unwrap();
    }
    session.settle(0, &[Settlement::Requeue(3), Settlement::AcknowledgeThrough(4)]);
    let ranges = due(&mut session).into_iter().filter(|(kind, _)| *kind == 0x15);
    let ranges: Vec<_> = ranges.map(|(_, fields)| (fields[1].unwrap(), fields[2].unwrap())).collect();
    assert_eq!(ranges, [(2, 2), (u32::MAX.into(), 0), (3, 3)]);
}
