use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use osnl_notify::versioned::{
    DateTime, Dict, FieldType, FlexibleDict, IpNetwork, Json, JsonObject, Level, MacAddress, ObjectVersion,
    Uuid, VersionedObject, Wire, WireObject, Zone, read_text, to_payload_text,
};
use proptest::prelude::*;

fn check_round_trip<T: FieldType + PartialEq + std::fmt::Debug>(value: &T) -> Result<(), TestCaseError> {
    let text = serde_json::to_string(&Wire(value)).unwrap();
    let json: Json = serde_json::from_str(&text).unwrap();
    prop_assert_eq!(&T::read(&json).unwrap(), value);
    Ok(())
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::from),
        "\\PC{0,8}".prop_map(Json::Text),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            prop::collection::vec(("\\PC{0,6}", inner), 0..4)
                .prop_map(|members| Json::Object(JsonObject::from_iter(members))),
        ]
    })
}

fn zone() -> impl Strategy<Value = Zone> {
    let offset = (-23 * 60 - 59..=23 * 60 + 59).prop_map(|minutes: i32| minutes * 60);
    prop_oneof![
        Just(Zone::Utc),
        offset.clone().prop_map(Zone::Offset),
        offset.prop_map(Zone::UtcOffset),
        "[A-Z]{3,5}".prop_filter("UTC is an offset", |name| name != "UTC").prop_map(Zone::Named),
    ]
}

fn date_time() -> impl Strategy<Value = DateTime> {
    (-60_000_000_000_i64..250_000_000_000, zone()).prop_map(|(seconds, zone)| {
        let utc = DateTime::from(jiff::Timestamp::from_second(seconds).unwrap());
        DateTime::new(utc.local(), zone)
    })
}

#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "x", version = "1.0")]
struct Everything {
    integer: i64,
    float: f64,
    boolean: bool,
    text: String,
    uuid: Uuid,
    at: Option<DateTime>,
    level: Level,
    list: Vec<Option<i64>>,
    set: BTreeSet<u32>,
    dict: Dict<Vec<String>>,
    sorted: BTreeMap<String, bool>,
    flexible: FlexibleDict,
    address: IpAddr,
    mac: MacAddress,
    network: IpNetwork,
    nested: Option<NestedObject>,
}

#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "x", version = "2.1")]
struct NestedObject {
    r#type: Option<String>,
}

prop_compose! {
    fn everything()(
        (integer, boolean, text, at) in (any::<i64>(), any::<bool>(), "\\PC{0,12}", prop::option::of(date_time())),
        float in -1.0e12..1.0e12_f64,
        level in prop::sample::select(vec![Level::Debug, Level::Warning, Level::Critical]),
        list in prop::collection::vec(any::<Option<i64>>(), 0..5),
        set in prop::collection::btree_set(any::<u32>(), 0..5),
        dict in prop::collection::vec(("[a-z]{1,6}", prop::collection::vec("\\PC{0,4}", 0..3)), 0..3),
        sorted in prop::collection::btree_map("[a-z]{1,6}", any::<bool>(), 0..3),
        flexible in prop::collection::vec(("[a-z]{1,6}", json()), 0..4),
        (v4, v6, is_v4, prefix) in (any::<[u8; 4]>(), any::<[u8; 16]>(), any::<bool>(), 0..=32_u8),
        mac in any::<[u8; 6]>(),
        nested in prop::option::of(prop::option::of("\\PC{0,4}")),
    ) -> Everything {
        let address = if is_v4 { IpAddr::V4(Ipv4Addr::from(v4)) } else { IpAddr::V6(Ipv6Addr::from(v6)) };
        Everything {
            integer, float, boolean, uuid: text.as_str().into(), text, at, level, list, set,
            dict: dict.into_iter().collect(), sorted,
            flexible: FlexibleDict(flexible.into_iter().collect()),
            address, mac: MacAddress(mac), network: IpNetwork::new(address, prefix).unwrap(),
            nested: nested.map(|r#type| NestedObject { r#type }),
        }
    }
}

proptest! {
    #[test]
    fn versions_are_ordered_as_pairs(a in any::<(u32, u32)>(), b in any::<(u32, u32)>()) {
        let (left, right) = (ObjectVersion::new(a.0, a.1), ObjectVersion::new(b.0, b.1));
        prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        prop_assert_eq!(left.to_string().parse::<ObjectVersion>().unwrap(), left);
        prop_assert_eq!(left.reads(right), a.0 == b.0);
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in "\\PC{0,30}") {
        let json = Json::Text(text.clone());
        let _ = (text.parse::<ObjectVersion>(), DateTime::parse(&text), text.parse::<MacAddress>());
        let _ = (IpNetwork::read(&json), read_text::<Everything>(&text));
    }

    #[test]
    fn date_times_keep_their_zone(at in date_time()) {
        check_round_trip(&at)?;
        if let Some(instant) = at.timestamp() {
            let again = DateTime::from(instant).timestamp();
            prop_assert_eq!(again, Some(instant));
        }
    }

    #[test]
    fn any_json_keeps_its_order(value in json()) {
        let text = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), value);
    }

    #[test]
    fn an_object_of_every_kind_is_read_as_it_was_written(object in everything()) {
        let text = to_payload_text(&object).unwrap();
        match read_text::<Everything>(&text).unwrap() {
            WireObject::Known(read) => {
                prop_assert_eq!(serde_json::to_string(&read.raw).unwrap(), text);
                prop_assert_eq!(read.object, object);
            }
            WireObject::Unknown(unknown) => prop_assert!(false, "{}", unknown.reason),
        }
    }

    /// A foreign value in place of any nested one causes no panic and no loss.
    #[test]
    fn a_payload_with_a_foreign_value_is_never_lost(object in everything(), foreign in json(), at in 0..16_usize) {
        let mut form: Json = serde_json::from_str(&to_payload_text(&object).unwrap()).unwrap();
        let Json::Object(members) = &mut form else { panic!("an object") };
        if let Some(Json::Object(data)) = members.get_mut("x_object.data") {
            data.insert(Everything::INFO.fields[at].name, foreign);
        }
        match osnl_notify::versioned::read::<Everything>(form.clone()) {
            WireObject::Known(read) => prop_assert_eq!(Json::Object(read.raw), form),
            WireObject::Unknown(unknown) => prop_assert_eq!(unknown.raw, form),
        }
    }
}

#[test]
fn values_outside_of_a_kind_are_refused() {
    fn check<T: FieldType>(json: serde_json::Value, expected: &str) {
        let error = T::read(&json.clone().into()).err().unwrap_or_else(|| panic!("{json} was read"));
        assert_eq!(error.problem.to_string(), expected, "{json}");
    }
    check::<i64>(serde_json::json!("7"), "an integer is expected here, not a text");
    check::<i64>(serde_json::json!(1.5), "this is not a valid integer of 64 bits");
    check::<u8>(serde_json::json!(256), "this is not a valid integer of 8 bits without sign");
    check::<u64>(serde_json::json!(-1), "this is not a valid integer of 64 bits without sign");
    check::<bool>(serde_json::json!("false"), "true or false is expected here, not a text");
    check::<f64>(serde_json::json!(null), "a number is expected here, not null");
    check::<String>(serde_json::json!(1), "a text is expected here, not a number");
    check::<MacAddress>(serde_json::json!("AA-BB-CC-DD-EE-FF"), "this is not a valid MAC address");
    check::<MacAddress>(serde_json::json!("zz"), "this is not a valid MAC address");
    check::<Ipv4Addr>(serde_json::json!("::1"), "this is not a valid IPv4 address");
    check::<IpNetwork>(serde_json::json!("10.0.0.0/33"), "this is not a valid network, such as 10.0.0.0/24");
    check::<DateTime>(
        serde_json::json!("yesterday"),
        "this is not a valid date and time, such as 2016-01-26T20:41:03Z",
    );
    check::<Level>(serde_json::json!("INFO"), "this is not a valid NotificationLevel");
    check::<Vec<String>>(serde_json::json!("ab"), "an array is expected here, not a text");
    check::<FlexibleDict>(serde_json::json!([]), "an object is expected here, not an array");
}
