//! Expressions and templates evaluated by osnl and by the real Jinja2 in Ansible's setup: both give the same
//! value, or both refuse. The manual, `docs/rules.md`, lists the intended differences, as does the file
//! below.

use osnl_model::{Pattern, catalogue};

use serde_json::{Value as Json, json};

use super::*;

fn events() -> Vec<Names> {
    let recorded =
        ["compute.instance.create.end", "port.create.end", "instance.create.end"].map(|event_type| {
            let events = catalogue::find(event_type);
            let sample = events.iter().find_map(|event| event.sample()).unwrap();
            Names::from(Notification {
                event_type: Some(sample.event_type.to_owned()),
                payload: sample.payload.clone(),
                ..(**names().notification()).clone()
            })
        });
    [names()].into_iter().chain(recorded).collect()
}

fn meant() -> Vec<(Pattern, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/template/tests/jinja-differs.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    let pair =
        |line: &str| line.rsplit_once(" => ").map(|(p, why)| (Pattern::new(p).unwrap(), why.to_owned()));
    lines.map(|line| pair(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

enum CompiledSource {
    Template(Template),
    Expression(Expression),
}

#[test]
fn what_jinja_says_of_it() {
    let given: Json = serde_json::from_str(include_str!("jinja-cases.json")).unwrap();
    let texts = |name: &str| given[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
    let of_table =
        texts("values").flat_map(|value| texts("forms").map(move |form| form.replace("{}", value)));
    let expressions = of_table.chain(texts("more").map(str::to_owned));
    let mut cases: Vec<Json> =
        expressions.map(|source| json!({"source": source, "template": false})).collect();
    cases.extend(texts("templates").map(|source| json!({"source": source, "template": true})));
    let events = events();
    let named = |names: &Names| {
        let n = names.notification();
        let mut all = json!({
            "payload": n.payload, "context": n.context, "event_type": n.event_type, "message_id": n.message_id,
            "publisher_id": n.publisher_id, "priority": n.priority.as_ref().map(Priority::as_str),
            "timestamp": n.timestamp,
        });
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        all
    };
    let given = json!({"cases": cases, "events": events.iter().map(named).collect::<Vec<_>>()});
    let answers = osnl_testkit::python(include_str!("jinja.py"), &given.to_string());
    let answers: Vec<Vec<Json>> = serde_json::from_str(&answers).unwrap();
    let meant = meant();
    let mut different = Vec::new();
    let (mut values, mut refused) = (0, 0);
    for (case, answers) in cases.iter().zip(&answers) {
        let source = case["source"].as_str().unwrap();
        let compiled = match case["template"] == true {
            true => Template::new(source).map(CompiledSource::Template),
            false => Expression::new(source).map(CompiledSource::Expression),
        };
        for (names, theirs) in events.iter().zip(answers) {
            let ours = match &compiled {
                Ok(CompiledSource::Template(template)) => {
                    template.render(names).map(Json::from).map_err(|e| e.to_string())
                }
                Ok(CompiledSource::Expression(expression)) => {
                    expression.value(names).map_err(|e| e.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            let ours = ours.map_or_else(|error| json!({"refused": error}), |value| json!({"value": value}));
            let same = match (ours.get("value"), theirs.get("value")) {
                (Some(ours), Some(theirs)) => ours == theirs,
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if same {
                values += usize::from(theirs.get("value").is_some());
                refused += usize::from(theirs.get("value").is_none());
                continue;
            }
            if !meant.iter().any(|(pattern, _)| pattern.is_match(source)) {
                different.push(format!("{source:?}: ours {ours}, theirs {theirs}"));
                break;
            }
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    assert!(values > 4000 && refused > 1500, "{values} values, {refused} refused");
}
