use osnl_model::{ContentInfo, Notification, plain_body, read_head};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;

#[derive(Clone, Debug)]
enum Framing {
    Bare,
    Enveloped,
    EnvelopedOddly,
    /// The body of the AMQP 1.0 driver around another framing, with a key of the head beside the request or not.
    Requested(Box<Framing>, Option<&'static str>),
}

fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("NaN".to_owned()),
        Just("-Infinity".to_owned()),
        Just(r#""\ud800""#.to_owned()),
        any::<i32>().prop_map(|number| number.to_string()),
        text_literal(),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
            vec((text_literal(), inner), 0..3).prop_map(|members| object(&members, ": ")),
        ]
    })
}

fn text_literal() -> impl Strategy<Value = String> {
    let text = prop_oneof!["[a-z.]{0,10}", "[\"\\\\/\n\t{}:,a]{0,6}", "\\PC{0,6}"];
    (text, any::<bool>()).prop_map(|(text, ascii)| {
        let literal = Value::from(text).to_string();
        if ascii { escape_non_ascii(&literal) } else { literal }
    })
}

fn escape_non_ascii(literal: &str) -> String {
    let mut units = [0; 2];
    literal
        .chars()
        .map(|c| match c {
            ' '..='~' => c.to_string(),
            _ => c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        })
        .collect()
}

fn object(members: &[(String, String)], colon: &str) -> String {
    let members: Vec<_> = members.iter().map(|(key, value)| format!("{key}{colon}{value}")).collect();
    format!("{{{}}}", members.join(", "))
}

prop_compose! {
    fn message()(
        event_type in option::weighted(0.9, prop_oneof![4 => text_literal(), 1 => json_text()]),
        publisher_id in option::weighted(0.9, prop_oneof![4 => text_literal(), 1 => json_text()]),
        priority in option::weighted(0.9, prop_oneof![4 => Just(r#""INFO""#.to_owned()), 1 => json_text()]),
        message_id in option::of(text_literal()),
        payload in option::weighted(0.9, json_text()),
        context in option::of(json_text()),
        again in option::weighted(0.3, (key(), prop_oneof![text_literal(), json_text()])),
        colon in prop_oneof![Just(": "), Just(":"), Just(" :\n")],
    )(
        members in Just([
            ("event_type", event_type), ("publisher_id", publisher_id), ("priority", priority),
            ("message_id", message_id), ("payload", payload), ("_context_x", context),
        ].into_iter().filter_map(|(key, value)| Some((format!("\"{key}\""), value?))).collect::<Vec<_>>())
            .prop_shuffle(),
        again in Just(again),
        colon in Just(colon),
    ) -> String {
        object(&members.into_iter().chain(again).collect::<Vec<_>>(), colon)
    }
}

fn key() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("event_type"), Just("publisher_id"), Just("priority"), Just("payload")];
    (name, option::of(any::<prop::sample::Index>())).prop_map(|(name, escaped)| {
        let escaped = escaped.map(|at| at.index(name.len()));
        let character = |(at, c): (usize, char)| match escaped == Some(at) {
            true => format!("\\u{:04x}", u32::from(c)),
            false => c.to_string(),
        };
        format!("\"{}\"", name.chars().enumerate().map(character).collect::<String>())
    })
}

fn framed(message: &str, framing: &Framing) -> String {
    let literal = Value::from(message).to_string();
    match framing {
        Framing::Bare => message.to_owned(),
        Framing::Enveloped => {
            format!(r#"{{"oslo.version": "2.0", "oslo.message": {}}}"#, escape_non_ascii(&literal))
        }
        Framing::EnvelopedOddly => format!(r#"{{"oslo.message":{literal},"x":1,"oslo.version":"2.0"}}"#),
        Framing::Requested(inner, beside) => {
            let beside = beside.map(|key| format!(r#", "{key}": null"#)).unwrap_or_default();
            format!(r#"{{"request": {}, "context": {{"x": 1}}{beside}}}"#, framed(message, inner))
        }
    }
}

fn framing() -> impl Strategy<Value = Framing> {
    let inner = prop_oneof![Just(Framing::Bare), Just(Framing::Enveloped), Just(Framing::EnvelopedOddly)];
    let beside = option::of(prop_oneof![Just("event_type"), Just("publisher_id")]);
    let requested =
        (inner.clone(), beside).prop_map(|(inner, beside)| Framing::Requested(Box::new(inner), beside));
    prop_oneof![3 => inner, 2 => requested]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_head_is_that_of_the_whole(message in message(), framing in framing()) {
        let body = framed(&message, &framing);
        match Notification::decode(body.as_bytes()) {
            Ok(whole) => prop_assert_eq!(read_head(body.as_bytes()), Ok(whole.head())),
            Err(error) => {
                prop_assert!(error.to_string().starts_with("priority is "), "{}", error);
                prop_assert_eq!(read_head(body.as_bytes()), Err(error));
            }
        }
    }

    #[test]
    fn a_damaged_message_never_panics(
        message in message(), framing in framing(), at in any::<prop::sample::Index>(), by in vec(any::<u8>(), 0..3),
    ) {
        let mut body = framed(&message, &framing).into_bytes();
        let at = at.index(body.len());
        body.splice(at..at + 1, by);
        if let Ok(whole) = Notification::decode(&body) {
            prop_assert_eq!(read_head(&body), Ok(whole.head()));
        }
    }

    #[test]
    fn no_bytes_panic(
        bytes in prop_oneof![vec(any::<u8>(), 0..200), "\\PC{0,100}".prop_map(String::into_bytes)],
        encoding in option::of("utf-8|latin-1|x"),
        compression in option::of("gzip|x"),
    ) {
        let info = ContentInfo {
            content_type: None,
            content_encoding: encoding.as_deref(),
            compression: compression.as_deref(),
        };
        let _ = plain_body(&bytes, &info).is_ok();
        let _ = read_head(&bytes).is_ok();
        let _ = Notification::decode(&bytes).is_ok();
    }
}
