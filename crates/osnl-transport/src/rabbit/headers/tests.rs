use lapin::types::parsing::parse_field_table;
use osnl_testkit::amqp::frame::{AMQPContentHeader, AMQPFrame, parse_frame};
use osnl_testkit::amqp::headers::{alone, arrays, named, sized, table, tables, text};
use proptest::prelude::*;

use super::*;

fn framed(payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 1][..], &length(payload), payload, &[0xCE]].concat()
}

fn header(properties: &[u8]) -> Vec<u8> {
    [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9][..], properties].concat()
}

/// Reads as the client library, on a small stack. The header must not exceed its old size or a small frame.
fn read(properties: &[u8]) -> AMQPContentHeader {
    let mut payload = header(properties);
    let before = payload.len();
    if let Some(instead) = content_header(&mut payload) {
        assert!(instead.len() <= before.max(SMALL), "{before} octets became {}", instead.len());
        payload = instead;
    }
    let frame = framed(&payload);
    let reader =
        std::thread::Builder::new().stack_size(256 * 1024).spawn(move || match parse_frame(&frame[..]) {
            Ok((&[], AMQPFrame::Header(1, header))) => header,
            other => panic!("{other:?}"),
        });
    reader.unwrap().join().unwrap()
}

fn names(header: &AMQPContentHeader) -> Vec<String> {
    let headers = header.properties.headers().as_ref().unwrap();
    headers.inner().keys().map(ToString::to_string).collect()
}

fn removed_of(header: &AMQPContentHeader) -> Option<String> {
    header.properties.headers().as_ref().and_then(removed).map(Cow::into_owned)
}

#[test]
fn ordinary_headers_are_not_touched() {
    let all: Vec<u8> = [
        &b"\x01at\x01"[..],
        b"\x01bb\x01",
        b"\x01cB\x01",
        b"\x01ds\0\x01",
        b"\x01eU\0\x01",
        b"\x01fu\0\x01",
        b"\x01gI\0\0\0\x01",
        b"\x01hi\0\0\0\x01",
        b"\x01if\0\0\0\x01",
        b"\x01jD\x02\0\0\0\x01",
        b"\x01kl\0\0\0\0\0\0\0\x01",
        b"\x01lL\0\0\0\0\0\0\0\x01",
        b"\x01md\0\0\0\0\0\0\0\x01",
        b"\x01nT\0\0\0\0\0\0\0\x01",
        b"\x01oS\0\0\0\x01\xff",
        b"\x01px\0\0\0\x01\xff",
        b"\x01qV",
        b"\x02\xc3\xa9A\0\0\0\x02VV",
    ]
    .concat();
    for properties in [
        vec![0, 0],
        [
            &[0xff, 0xfc][..],
            b"\x01a\x01b\0\0\0\0\x02\x03\x01c\x01d\x01e\x01f\0\0\0\0\0\0\0\x01\x01g\x01h\x01i\x01j",
        ]
        .concat(),
        [&HEADERS.to_be_bytes()[..], &length(&all), &all].concat(),
        alone(&[("compression", text("zlib")), ("deep", tables(DEEPEST - 1)), ("x", arrays(DEEPEST - 1))]),
        alone(&[("many", sized(b'A', &[b'V'; MOST_VALUES - 1]))]),
    ] {
        let mut payload = header(&properties);
        assert_eq!(content_header(&mut payload), None, "{properties:?}");
        assert_eq!(payload, header(&properties));
        assert_eq!(removed_of(&read(&properties)), None);
    }
    assert!(parse_field_table(&[&length(&all)[..], &all].concat()[..]).is_ok(), "the library knows them all");
}

#[test]
fn what_the_library_cannot_bear_is_removed_and_the_rest_stays() {
    let check = |entry: (&str, Vec<u8>), expected: &str, stays: bool| {
        let entries = [("compression", text("zlib")), entry.clone(), ("z", text("last"))];
        let header = read(&alone(&entries));
        assert_eq!(removed_of(&header).as_deref(), Some(expected), "{}", entry.0);
        let mut names_expected = vec!["compression", MARK, "z"];
        if stays {
            names_expected.push(entry.0);
        }
        names_expected.sort_unstable();
        assert_eq!(names(&header), names_expected);
        let headers = header.properties.headers().as_ref().unwrap();
        if stays {
            assert_eq!(headers.inner().get(entry.0), Some(&AMQPValue::FieldTable(FieldTable::default())));
        }
        assert_eq!(headers.inner().get("compression"), Some(&AMQPValue::LongString("zlib".into())));
    };
    let deep = "headers that nest deeper than 16 levels";
    for levels in [DEEPEST, DEEPEST + 1, 100, 3_000, 15_000] {
        check(("evil", tables(levels)), deep, true);
        check(("evil", arrays(levels)), deep, true);
        check(("evil", table(&[("a", arrays(levels)), ("b", tables(levels))])), deep, true);
    }
    check(("evil", sized(b'A', &[b'V'; MOST_VALUES])), "headers beyond 1024 values", true);
    check(("evil", sized(b'A', &[b'V'; 100_000])), "headers beyond 1024 values", true);
    let malformed = "malformed headers";
    check(("evil", sized(b'F', b"\x02\xff\xffV")), malformed, true);
    check(("evil", sized(b'F', b"\x09a")), malformed, true);
    check(("evil", sized(b'A', b"?")), malformed, true);
    check(("evil", sized(b'A', b"S\0\0\0\x09a")), malformed, true);
    let forged = read(&alone(&[(MARK, text("everything")), ("evil", tables(99))]));
    assert_eq!(
        (removed_of(&forged).as_deref(), names(&forged)),
        (Some(deep), vec!["evil".into(), MARK.into()])
    );
}

#[test]
fn a_table_that_cannot_be_followed_is_cut_where_it_is_malformed() {
    let check = |entries: &[u8], expected: &[&str]| {
        let header = read(&[&HEADERS.to_be_bytes()[..], &length(entries), entries].concat());
        assert_eq!(removed_of(&header).as_deref(), Some("malformed headers"), "{entries:?}");
        assert_eq!(names(&header), expected);
    };
    let first = named(b"a", &text(&"x".repeat(100)));
    check(&[&first[..], b"\x01b?", b"\x01cV"].concat(), &["a", MARK]);
    check(&[&first[..], &named(b"\xff\xfe", b"V"), b"\x01cV"].concat(), &["a", "c", MARK]);
    check(&[&first[..], b"\x09b"].concat(), &["a", MARK]);
    check(&[&first[..], b"\x01b"].concat(), &["a", MARK]);
    check(&[&first[..], b"\x01bS\0\0\xff\xff"].concat(), &["a", MARK]);
    // A large frame has no room for both the mark and the remaining headers.
    let large = named(b"a", &text(&"x".repeat(SMALL)));
    check(&[&large[..], b"\x01b?"].concat(), &[MARK]);
    check(&[&large[..], b"\x01b?", &[0; 60]].concat(), &["a", MARK]);
}

#[test]
fn many_headers_are_kept_up_to_the_bound() {
    let entries: Vec<u8> =
        (0..MOST_VALUES + 500).flat_map(|n| named(format!("{n:05}").as_bytes(), b"V")).collect();
    let header = read(&[&HEADERS.to_be_bytes()[..], &length(&entries), &entries].concat());
    assert_eq!(removed_of(&header).as_deref(), Some("headers beyond 1024 values"));
    assert_eq!(names(&header).len(), MOST_VALUES + 1);
}

#[test]
fn texts_that_are_none_are_made_such_octet_for_octet() {
    let check = |octets: &[u8], expected: &str| {
        let header = read(&[&[0x80, 0][..], &named(octets, &[])].concat());
        assert_eq!(header.properties.content_type().as_ref().map(ShortText::text), Some(expected));
    };
    check(b"application/json", "application/json");
    check("é".as_bytes(), "é");
    check(b"a\xffb\xc3", "a?b?");
    check(b"\xff\xff\xff", "???");
    check(b"", "");
}

trait ShortText {
    fn text(&self) -> &str;
}

impl ShortText for lapin::types::ShortString {
    fn text(&self) -> &str {
        self.as_str()
    }
}

#[test]
fn properties_that_do_not_fit_are_none() {
    let fits = [&[0x80, 0][..], b"\x04json"].concat();
    for properties in [
        [&fits[..], b"behind"].concat(),
        fits[..fits.len() - 1].to_vec(),
        vec![0xff, 0xfc],
        [&HEADERS.to_be_bytes()[..], &[0xff; 4]].concat(),
        [&[0x20, 0x40][..], &[0, 0, 0, 0, 0, 0, 0]].concat(),
    ] {
        let header = read(&properties);
        assert_eq!(removed_of(&header).as_deref(), Some("malformed headers"), "{properties:?}");
        assert_eq!((header.class_id, header.body_size), (60, 9));
        assert_eq!(*header.properties.content_type(), None);
    }
    let mut short = vec![0, 60, 0, 0, 0, 0, 0];
    assert_eq!(content_header(&mut short), None);
}

#[test]
fn tables_of_methods_are_made_safe() {
    let long = |octets: &[u8]| [&length(octets), octets].concat();
    let deep = &table(&[("product", text("RabbitMQ")), ("evil", tables(3_000))])[1..];
    let start = [&[0, 10, 0, 10, 0, 9][..], deep, &long(b"PLAIN"), &long(b"en_US")].concat();
    let declare = [&[0, 50, 0, 10, 0, 0, 1, b'q', 0][..], deep].concat();
    let bind = [&[0, 50, 0, 20, 0, 0, 1, b'q', 1, b'e', 0, 0][..], deep].concat();
    for mut payload in [start, declare, bind] {
        let instead = method(&mut payload).unwrap();
        let frame = [&[1, 0, 1][..], &length(&instead), &instead, &[0xCE]].concat();
        let read = parse_frame(&frame[..]);
        let Ok((&[], AMQPFrame::Method(1, read))) = read else { panic!("{read:?}") };
        assert!(
            format!("{read:?}").contains("ShortString(\"product\"): LongString"),
            "what else it says stays: {read:?}"
        );
    }
    let mut deliver = [&[0, 60, 0, 60, 1, b'c'][..], &[0; 9], &[1, b'e', 2, 0xff, b'k']].concat();
    assert_eq!(method(&mut deliver), None);
    assert!(deliver.ends_with(&[1, b'e', 2, b'?', b'k']));
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(b"V".to_vec()),
        any::<bool>().prop_map(|b| vec![b't', u8::from(b)]),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(|octets| sized(b'S', &octets)),
        prop::collection::vec(any::<u8>(), 0..4),
        (1..40_usize).prop_map(tables),
        (1..40_usize).prop_map(arrays),
    ];
    leaf.prop_recursive(20, 200, 6, |inner| {
        let name = prop::collection::vec(prop_oneof![9 => b'a'..=b'z', 1 => any::<u8>()], 0..4);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| sized(b'A', &items.concat())),
            prop::collection::vec((name, inner), 0..6).prop_map(|entries| {
                let entry = |(name, value): &(Vec<u8>, Vec<u8>)| named(name, value);
                sized(b'F', &entries.iter().flat_map(entry).collect::<Vec<_>>())
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1024, ..ProptestConfig::default() })]

    /// The client library can read any headers after the cleaning. Headers within the bounds that it could read before
    /// stay unchanged.
    #[test]
    fn any_headers_can_be_read_afterwards(
        entries in prop::collection::vec(("[a-z]{1,3}", value()), 0..6),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop_oneof![4 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)],
    ) {
        let entries: Vec<(&str, Vec<u8>)> =
            entries.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let mut properties = alone(&entries);
        for (at, octet) in changes {
            let at = at.index(properties.len());
            properties[at] = octet;
        }
        if let Some(cut) = cut {
            properties.truncate(2 + cut.index(properties.len() - 1));
        }
        let header = read(&properties);
        prop_assert_eq!(header.body_size, 9);
        let mut payload = self::header(&properties);
        if content_header(&mut payload).is_some() {
            prop_assert!(removed_of(&header).is_some());
        } else {
            prop_assert_eq!(payload.len(), self::header(&properties).len());
        }
    }
}
