use std::collections::BTreeSet;

use osnl::control as of;
use osnl_admin::api::{ParameterPlace, ROUTES, openapi};
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor, value::Error};
use serde_json::Value;

#[test]
fn every_row_is_described() {
    let document: Value = serde_json::from_str(openapi()).unwrap();
    assert_eq!(document["servers"][0]["url"], osnl::control::routes::BASE);
    for route in ROUTES {
        let path = route.path;
        let operation = &document["paths"][path][route.method.as_str().to_lowercase()];
        assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{path}: {operation}");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let described = |place: &str| parameters.iter().filter(|parameter| parameter["in"] == place).count();
        let body = &operation["requestBody"]["content"]["application/json"]["schema"]["properties"];
        let places = [ParameterPlace::Path, ParameterPlace::Query, ParameterPlace::Body];
        let expected = places.map(|place| route.taken(place).count());
        let body = body.as_object().map_or(0, |members| members.len());
        assert_eq!([described("path"), described("query"), body], expected, "{path}");
        assert_eq!(expected[0], path.matches('{').count(), "{path}");
        let answer = &operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        let name = answer.as_str().unwrap().rsplit('/').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{path}: {name}");
    }
}

#[test]
fn the_daemon_reads_a_body_as_described() {
    let document: Value = serde_json::from_str(openapi()).unwrap();
    for route in ROUTES.iter().filter(|route| route.changes()) {
        let operation = &document["paths"][route.path]["post"];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let mut request = serde_json::json!({"verb": route.verb, "by": "x"});
        for (name, of) in schema["properties"].as_object().into_iter().flatten() {
            request[name] = match (of["type"].as_str(), of["$ref"].as_str()) {
                (_, Some(name)) => {
                    sample(&document["components"]["schemas"][name.rsplit('/').next().unwrap()])
                }
                _ => sample(of),
            };
        }
        for part in route.path.split('/').filter_map(|part| part.strip_prefix('{')) {
            request[part.trim_end_matches('}')] = "x".into();
        }
        let read = serde_json::from_value::<osnl::control::ControlRequest>(request.clone());
        assert!(read.is_ok(), "{}: {read:?} of {request}", route.path);
    }
}

#[test]
fn filters_and_answers_have_the_members_that_are_described() {
    let document: Value = serde_json::from_str(openapi()).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut known = BTreeSet::new();
    let mut check = |name: &'static str, members: Vec<&'static str>, unasked: &[&str]| {
        let members: BTreeSet<_> = members.into_iter().filter(|member| !unasked.contains(member)).collect();
        let described = schemas[name]["properties"].as_object().unwrap();
        let described: BTreeSet<_> = described.keys().map(String::as_str).collect();
        assert_eq!(described, members, "{name}");
        known.insert(name);
    };
    check("DeliveryFilter", members::<of::Which>(), &[]);
    check("QuarantineFilter", members::<of::WhichMessages>(), &[]);
    check("Status", members::<of::Status>(), &[]);
    check("StatusNumbers", members::<of::StatusNumbers>(), &[]);
    check("Incident", members::<of::Incident>(), &[]);
    check("ConfigurationStatus", members::<of::ConfigurationStatus>(), &[]);
    check("NotReloaded", members::<of::NotReloaded>(), &[]);
    check("ListenerStatus", members::<of::ListenerStatus>(), &[]);
    check("LagStatus", members::<of::LagStatus>(), &[]);
    check("PartitionLag", members::<of::PartitionLag>(), &[]);
    check("ManagementStatus", members::<of::ManagementStatus>(), &[]);
    check("QueueStatus", members::<of::QueueStatus>(), &[]);
    check("Finding", members::<osnl::queues::Finding>(), &[]);
    check("LeftQueue", members::<of::LeftQueue>(), &[]);
    check("TargetStatus", members::<of::TargetReport>(), &[]);
    check("FailingResource", members::<of::FailingResource>(), &[]);
    check("LatestFailure", members::<of::AttemptFailure>(), &[]);
    check("Unavailable", members::<of::Unavailable>(), &[]);
    check("ExpiryStatus", members::<of::ExpiryStatus>(), &[]);
    check("JournalStatus", members::<of::JournalStatus>(), &[]);
    check("DeliveryPage", members::<of::List>(), &[]);
    check("DeliveryGroups", members::<of::DeliveryGroups>(), &[]);
    check("DeliveryGroup", members::<of::DeliveryGroup>(), &[]);
    // No request of the API bounds the count.
    check("DeliveryTotals", members::<of::StateTotals>(), &["more"]);
    check("Delivery", members::<of::Delivery>(), &[]);
    check("DeliveryDetails", members::<of::Show>(), &[]);
    check("FailedAttempt", members::<of::AttemptAnswer>(), &[]);
    check("Message", members::<of::MaskedMessage>(), &["body_base64"]);
    check("DeliveryChanges", members::<of::ChangeResult>(), &[]);
    check("NotChangedDelivery", members::<of::RefusedDelivery>(), &[]);
    check("ForgottenQueues", members::<of::ForgottenQueues>(), &[]);
    check("PauseResult", members::<of::PauseResult>(), &[]);
    check("ProbeResult", members::<of::ProbeResult>(), &[]);
    check("QuarantinePage", members::<of::QuarantineList>(), &[]);
    check("QuarantinedMessage", members::<of::QuarantinedMessage>(), &[]);
    check("QuarantineDetails", members::<of::QuarantineShow>(), &["body_base64"]);
    check("QuarantineChanges", members::<of::QuarantineChanges>(), &[]);
    check("NotChangedMessage", members::<of::NotChanged>(), &[]);
    check("ReplayResult", members::<of::ReplayResult>(), &[]);
    check("ReloadResult", members::<of::ReloadResult>(), &[]);
    check("SectionChange", members::<osnl::daemon::SectionChange>(), &[]);
    // An enum with a tag has no list of members; `cli/served.rs` compares it with answers.
    known.insert("DeliveryObstacle");
    let all: BTreeSet<_> = schemas.keys().map(String::as_str).collect();
    assert_eq!(known, all);
}

fn members<T: DeserializeOwned>() -> Vec<&'static str> {
    struct Members(Vec<&'static str>);
    impl<'de> Deserializer<'de> for &mut Members {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(Error::custom("not a struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            members: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Error> {
            self.0 = members.to_vec();
            Err(Error::custom("known"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut known = Members(Vec::new());
    let _ = T::deserialize(&mut known);
    known.0
}

fn sample(schema: &Value) -> Value {
    match schema["type"].as_str() {
        Some("array") if schema["items"]["type"] == "object" => serde_json::json!([]),
        Some("array") => Value::Array(vec![sample(&schema["items"])]),
        Some("integer") => 1.into(),
        Some("boolean") => true.into(),
        Some("object") => {
            let members = schema["properties"].as_object().unwrap();
            members.iter().map(|(name, schema)| (name.clone(), sample(schema))).collect()
        }
        _ => "x".into(),
    }
}
