//! Names of members. The control socket keeps older names beside those of the glossary until 1.0; over HTTP there are
//! only the latter, and a state is called `state` wherever there is one.

use serde_json::{Map, Value};

/// The counters whose names are older than the glossary.
const COUNTERS: [(&str, &str); 4] = [
    ("unreadable", "quarantined"),
    ("adopted", "deduplicated"),
    ("nothing_to_do", "no_action_needed"),
    ("shadowed", "shadow"),
];

/// Returns an answer of the control socket as the endpoint documents it.
pub(crate) fn answer(verb: &str, mut answer: Value) -> Value {
    match verb {
        "status" => status(&mut answer),
        "list" => {
            each(&mut answer["deliveries"], delivery);
            rename(&mut answer["totals"], "by_phase", "by_state");
        }
        "show" => {
            object(&mut answer["delivery"], delivery);
            each(&mut answer["others"], delivery);
            remove(&mut answer["message"], &["body_base64"]);
        }
        "quarantine-show" => remove(&mut answer, &["body_base64"]),
        "probe" => rename(&mut answer, "status", "state"),
        _ => {}
    }
    answer
}

/// Makes a request's selection of deliveries that of the control socket: `states` has the words of the glossary.
///
/// # Errors
/// A member that the endpoint does not document.
pub(crate) fn filter(request: &mut Map<String, Value>) -> Result<(), String> {
    let Some(Value::Object(filter)) = request.get_mut("filter") else { return Ok(()) };
    if filter.contains_key("phases") {
        return Err("\"phases\" is not a member of a filter; it is states".to_owned());
    }
    if let Some(states) = filter.remove("states") {
        filter.insert("phases".to_owned(), states);
    }
    Ok(())
}

fn status(answer: &mut Value) {
    each(&mut answer["listeners"], |listener| {
        listener.remove("status");
        listener.remove("waiting_at_connect");
    });
    each(&mut answer["targets"], |target| rename_in(target, "status", "state"));
    rename(&mut answer["journal"], "status", "state");
    rename(&mut answer["journal"], "unreadable", "quarantined");
    for (old, new) in COUNTERS {
        rename(&mut answer["counters"], old, new);
    }
}

fn delivery(delivery: &mut Map<String, Value>) {
    rename_in(delivery, "phase", "state");
    // The order key, and the attempts that count, under older names.
    delivery.remove("resource");
    delivery.remove("attempts");
}

fn rename(of: &mut Value, old: &str, new: &str) {
    object(of, |members| rename_in(members, old, new));
}

/// A member of the new name is replaced.
fn rename_in(members: &mut Map<String, Value>, old: &str, new: &str) {
    if let Some(value) = members.remove(old) {
        members.insert(new.to_owned(), value);
    }
}

fn remove(of: &mut Value, names: &[&str]) {
    object(of, |members| names.iter().for_each(|name| drop(members.remove(*name))));
}

fn each(list: &mut Value, change: impl Fn(&mut Map<String, Value>)) {
    list.as_array_mut().into_iter().flatten().for_each(|one| object(one, &change));
}

fn object(value: &mut Value, change: impl FnOnce(&mut Map<String, Value>)) {
    if let Value::Object(members) = value {
        change(members);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_has_one_name_and_it_is_that_of_the_glossary() {
        let check =
            |verb: &str, given: Value, expected: Value| assert_eq!(answer(verb, given), expected, "{verb}");
        let old = json!({"id": "1.0", "state": "nothing-to-do", "phase": "no action needed", "resource": "k", "key": "k",
                         "attempts": 1, "attempts_counted": 1});
        let new = json!({"id": "1.0", "state": "no action needed", "key": "k", "attempts_counted": 1});
        check(
            "list",
            json!({"deliveries": [old], "totals": {"all": 1, "by_state": {"nothing-to-do": 1},
                   "by_phase": {"no action needed": 1}}, "next": null}),
            json!({"deliveries": [new], "totals": {"all": 1, "by_state": {"no action needed": 1}}, "next": null}),
        );
        check(
            "show",
            json!({"delivery": old, "others": [old], "attempts": [], "message": {"digest": "d", "body_base64": null}}),
            json!({"delivery": new, "others": [new], "attempts": [], "message": {"digest": "d"}}),
        );
        check(
            "status",
            json!({"listeners": [{"state": "standby", "status": "standby", "waiting_at_connect": 3}],
                   "targets": [{"state": "open", "status": "held"}],
                   "journal": {"state": "working", "status": "ok", "unreadable": 2},
                   "counters": {"adopted": 1, "received": 2, "unreadable": 3}}),
            json!({"listeners": [{"state": "standby"}], "targets": [{"state": "held"}],
                   "journal": {"state": "ok", "quarantined": 2},
                   "counters": {"deduplicated": 1, "received": 2, "quarantined": 3}}),
        );
        check("probe", json!({"status": "held"}), json!({"state": "held"}));
        check("reload", json!({"reloaded": true}), json!({"reloaded": true}));
    }
}
