use lapin::types::{AMQPValue, FieldTable};
use proptest::prelude::*;

use super::*;

fn text(text: &str) -> Vec<u8> {
    [&[b'S'][..], &u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn start(properties: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entry = |(name, value): &(&str, Vec<u8>)| {
        [&[u8::try_from(name.len()).unwrap()][..], name.as_bytes(), value].concat()
    };
    let table: Vec<u8> = properties.iter().flat_map(entry).collect();
    let length = u32::try_from(table.len()).unwrap().to_be_bytes();
    let texts = [text("PLAIN AMQPLAIN"), text("en_US")].map(|text| text[1..].to_vec()).concat();
    frame(&[&START[..], &[0, 9], &length, &table, &texts].concat())
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&METHOD[..], &size, payload, &[0xCE]].concat()
}

fn heard(bytes: &[u8], piece: usize) -> Option<Greeting> {
    let told = Arc::default();
    let mut listener = GreetingReader::new(Arc::clone(&told));
    let done = bytes.chunks(piece).any(|part| listener.pass(part));
    assert!(listener.bytes.len() <= MOST);
    assert_eq!(done, told.get().is_some());
    told.get().cloned()
}

fn rabbit() -> Vec<u8> {
    let capabilities = [&[b'F', 0, 0, 0, 8][..], b"\x05basict\x01"].concat();
    start(&[
        ("capabilities", capabilities),
        ("cluster_name", text("rabbit@mq1")),
        ("copyright", text(&"x".repeat(300))),
        ("product", text("RabbitMQ")),
        ("version", text("3.10.8")),
    ])
}

#[test]
fn what_rabbitmq_says_is_told_however_it_is_cut() {
    let bytes = [rabbit(), frame(b"and more")].concat();
    for piece in [1, 2, 3, 7, 64, bytes.len()] {
        let greeting = heard(&bytes, piece).unwrap();
        assert_eq!(greeting.words().unwrap(), "RabbitMQ 3.10.8, cluster rabbit@mq1", "in pieces of {piece}");
    }
    let cut = &bytes[..rabbit().len() - 2];
    assert_eq!(heard(cut, 64), None, "the rest is waited for");
}

#[test]
fn what_is_missing_or_odd_is_left_out() {
    let check = |properties: &[(&str, Vec<u8>)], expected: Option<&str>| {
        let greeting = heard(&start(properties), 4096).unwrap();
        assert_eq!(greeting.words().as_deref(), expected, "{greeting:?}");
    };
    check(&[], None);
    check(&[("product", text("LavinMQ"))], Some("LavinMQ"));
    check(&[("version", text("4.3"))], Some("version 4.3"));
    check(&[("product", text("")), ("version", vec![b'I', 0, 0, 0, 1])], None);
    check(&[("product", text("Rab\x1b[2Jbit\n"))], Some("Rab[2Jbit"));
    check(&[("product", text(&"é".repeat(500)))], Some(&"é".repeat(100)));
    // After a value of unknown length nothing can be found.
    check(&[("product", text("A")), ("x", vec![b'?']), ("version", text("1"))], Some("A"));
    check(&[("x", vec![b'S', 0xff, 0xff, 0xff, 0xff]), ("version", text("1"))], None);
    let mut all = FieldTable::default();
    for (name, value) in [
        ("a", AMQPValue::Boolean(true)),
        ("b", AMQPValue::ShortShortInt(1)),
        ("c", AMQPValue::ShortShortUInt(1)),
        ("d", AMQPValue::LongInt(1)),
        ("e", AMQPValue::LongUInt(1)),
        ("f", AMQPValue::LongLongInt(1)),
        ("g", AMQPValue::Float(1.0)),
        ("h", AMQPValue::Double(1.0)),
        ("i", AMQPValue::Timestamp(1)),
        ("j", AMQPValue::FieldArray(vec![AMQPValue::Void, AMQPValue::Boolean(true)].into())),
        ("k", AMQPValue::Void),
        ("l", AMQPValue::ByteArray(vec![1, 2].into())),
    ] {
        all.insert(name.into(), value);
    }
    all.insert("version".into(), AMQPValue::LongString("9".into()));
    let written = written(&all);
    let bytes = frame(&[&START[..], &[0, 9], &written].concat());
    assert_eq!(heard(&bytes, 64).unwrap().version.as_deref(), Some("9"));
}

fn written(table: &FieldTable) -> Vec<u8> {
    let (bytes, _) =
        lapin::types::generation::gen_field_table(table)(Vec::new().into()).unwrap().into_inner();
    bytes
}

#[test]
fn what_is_no_greeting_is_none_and_not_waited_for() {
    for bytes in [
        frame(&[0, 10, 0, 30, 7, 255]),
        frame(&[]),
        b"HTTP/1.1 400 Bad Request\r\n".repeat(1000),
        b"AMQP\0\0\x09\x01".repeat(2000),
        [&METHOD[..], &[0xff; 4], &START, &[0; 9000]].concat(),
    ] {
        for piece in [1, 7, 100_000] {
            assert_eq!(heard(&bytes, piece), Some(Greeting::default()), "{:?}", &bytes[..8]);
        }
    }
    // A deeply nested table within the properties is skipped.
    let deep = [&[b'F', 0, 0, 0x0f, 0xa0][..], &b"\x01aF\0\0\0\x07".repeat(572)[..4000]].concat();
    let greeting = heard(&start(&[("deep", deep), ("version", text("1"))]), 4096).unwrap();
    assert_eq!(greeting.version.as_deref(), Some("1"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived_and_the_cut_does_not_matter(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        piece in 1..64_usize,
    ) {
        let mut bytes = rabbit();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let whole = heard(&bytes, 100_000);
        prop_assert_eq!(heard(&bytes, piece), whole.clone());
        for text in whole.into_iter().flat_map(|found| [found.product, found.version, found.cluster]).flatten() {
            prop_assert!(text.chars().count() <= LONGEST && !text.contains(char::is_control));
        }
    }
}
