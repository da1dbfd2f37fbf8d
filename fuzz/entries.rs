use osnl_model::{
    BodyDigest, Budget, ContentInfo, DecodeError, MaskedJson, Notification, Secret, TransportUrl, bulk_len,
    bulk_part, mask_secrets, mask_text, parse_python_json, parse_python_literal, plain_body, read_head,
    resource_key, resources, to_python_json,
};

pub(crate) fn transport_url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match TransportUrl::parse(&text) {
        Ok(url) => {
            let again = TransportUrl::parse(&url.to_string_with_secrets()).expect("it was printed");
            assert_eq!(again, url);
            let shown = TransportUrl::parse(&url.to_string()).expect("it was printed for people");
            assert_eq!(format!("{url:?}"), format!("TransportUrl({url})"));
            for (shown, host) in shown.hosts().iter().zip(url.hosts()) {
                assert_eq!(shown.hostname, host.hostname);
                assert_eq!(
                    shown.password.as_ref().map(Secret::expose),
                    host.password.as_ref().map(|_| "***")
                );
            }
        }
        Err(error) => {
            let said = format!("{error} {error:?}");
            // Only texts too long to occur in a message by chance are compared. A guided input can equal the
            // message's own words, hence the second text.
            let backwards: String = text.chars().rev().collect();
            let words = TransportUrl::parse(&backwards)
                .map_or_else(|error| format!("{error} {error:?}"), |_| String::new());
            assert!(text.len() < 24 || !said.contains(&*text) || words.contains(&*text), "{said}");
        }
    }
}

pub(crate) fn envelope(data: &[u8]) {
    let _ = read_head(data);
    let _ = BodyDigest::new(data);
    let Ok(read) = Notification::decode(data) else { return };
    assert_eq!(read_head(data), Ok(read.head()), "the head is the whole's, also if a key is repeated");
    let _ = (resource_key(&read), format!("{read:?}"));
    masked(&read);
    let plain = serde_json::json!({
        "event_type": read.event_type,
        "publisher_id": read.publisher_id,
        "priority": read.priority.as_ref().map(|priority| priority.as_str()),
        "payload": read.payload,
    });
    let framed = serde_json::json!({ "oslo.version": "2.0", "oslo.message": plain.to_string() });
    for body in [plain.to_string(), framed.to_string()] {
        assert_eq!(read_head(body.as_bytes()), Ok(read.head()), "{body}");
        assert_eq!(
            Notification::decode(body.as_bytes()).map(|again| again.payload),
            Ok(read.payload.clone())
        );
    }
}

pub(crate) fn compressed(data: &[u8]) {
    let names = [None, Some("application/x-gzip"), Some("application/x-bz2"), Some("zlib"), Some("x")];
    for compression in names {
        for content_encoding in [None, Some("latin-1")] {
            let info = ContentInfo { content_type: None, content_encoding, compression };
            if let Ok(plain) = plain_body(data, &info) {
                // latin-1 text can double its size as UTF-8.
                assert!(plain.len() <= 2 * Budget::DEFAULT.body.max(data.len()));
                envelope(&plain);
            }
        }
    }
}

pub(crate) fn readers(data: &[u8]) {
    let Ok(read) = Notification::decode(data) else { return };
    let found = resources(&read);
    for resource in &found {
        assert!(!resource.kind.is_empty(), "{resource:?}");
        let view = serde_json::to_value(resource).expect("it is texts, addresses and times");
        assert_eq!(view["id"].as_str(), resource.id.as_deref());
    }
    assert!(bulk_len(&read).is_none_or(|parts| parts >= found.len()), "{found:?}");
    for (n, resource) in found.iter().enumerate() {
        let Some(part) = bulk_part(&read, n) else { continue };
        // A part that is not an object keeps its place in the list, so that the other parts keep theirs; alone it has
        // no resource.
        if !part.as_object().is_some_and(|part| part.values().all(serde_json::Value::is_object)) {
            assert_eq!(resource.key(), None);
            continue;
        }
        let alone = Notification { payload: part, ..read.clone() };
        assert_eq!(resources(&alone).first(), Some(resource));
    }
    masked(&read);
}

/// Masking removes the text behind a secret's name. Masking twice may hide more: the first `***` can replace a sign
/// that ended a URL's login or a value.
pub(crate) fn masking(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let value = serde_json::json!({ "note": text, "connection_info": text, "list": [text, text], "password": [text] });
    assert_eq!(format!("{:?}", MaskedJson::value(&value)), mask_secrets(&value).to_string());
    // A fuzzer guided by comparisons finds the planted secret itself.
    if text.contains("S3CR3T") {
        return;
    }
    let planted = format!("{text}\npassword=S3CR3T\n");
    assert!(!mask_text(&planted).contains("S3CR3T"), "{text:?}");
    let planted = serde_json::json!([{ "x": text, "token": "S3CR3T" }]).to_string();
    assert!(!mask_text(&planted).contains("S3CR3T"), "{text:?}");
}

pub(crate) fn python_literals(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for value in [parse_python_literal(&text), parse_python_json(&text).ok()].into_iter().flatten() {
        let Ok(written) = to_python_json(&value) else { continue };
        assert_eq!(parse_python_json(&written).ok().as_ref(), Some(&value), "{written}");
    }
    let quoted = serde_json::json!([text, {"a": 1}]).to_string();
    // These escapes of JSON are missing in Python, or differ there.
    if !quoted.contains("\\b") && !quoted.contains("\\f") && !quoted.contains("\\u") {
        assert_eq!(parse_python_literal(&quoted), serde_json::from_str(&quoted).ok(), "{quoted}");
    }
}

/// A message within a small budget reads the same with a larger budget. A refusal names a limit, and never costs more
/// than the limit.
pub(crate) fn budgets(data: &[u8]) {
    let small = Budget { body: 2000, values: 60, resources: 2 };
    match (small.decode(data), Notification::decode(data)) {
        (Ok(small), whole) => assert_eq!(Ok(small), whole),
        (Err(DecodeError::TooMuch(excess)), _) => {
            let said = excess.to_string();
            assert!(!excess.is_raised_by_max_body() || said.contains("max_body"), "{said}");
        }
        (Err(error), whole) => assert_eq!(whole.err(), Some(error)),
    }
    for compression in [Some("gzip"), Some("bz2")] {
        let info = ContentInfo { compression, ..ContentInfo::default() };
        if let Ok(plain) = small.plain_body(data, &info) {
            assert!(plain.len() <= small.body);
        }
    }
}

fn masked(read: &Notification) {
    let masked = mask_secrets(&read.payload);
    assert_eq!(format!("{:?}", MaskedJson::value(&read.payload)), masked.to_string());
    let context = mask_secrets(&serde_json::Value::Object(read.context.clone()));
    assert_eq!(format!("{:?}", MaskedJson::object(&read.context)), context.to_string());
}
