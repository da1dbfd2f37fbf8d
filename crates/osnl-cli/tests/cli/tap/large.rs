use osnl_testkit::{RawMessage, wait_until};
use serde_json::{Value, json};

use super::Rig;
use crate::harness::{PROMPTLY, SOON};

#[test]
fn an_event_of_a_megabyte_is_shown_whole_in_every_form() {
    let mut rig = Rig::with_nova("tap-large");
    // A single text of more than 256 KiB is shown by its length alone.
    let long = "仮想 x".repeat(20_000);
    let payload =
        json!({"instance_id": "i-1", "display_name": "vm", "note": vec![&long; 8], "adminPass": "S3CRET"});
    let body =
        json!({"event_type": "compute.instance.update", "priority": "INFO", "payload": payload}).to_string();
    assert!(body.len() > 1 << 20, "{}", body.len());
    let forms: [&[&str]; 4] = [&[], &["--format", "json"], &["--body"], &["--raw"]];
    let mut taps: Vec<_> =
        forms.iter().map(|form| rig.listening(&[&["-e", "nova", "-n", "2"], *form].concat())).collect();
    let cut =
        RawMessage { exchange: "nova".into(), body: body[..body.len() - 3].into(), ..RawMessage::default() };
    rig.publisher.raw(&RawMessage { body: body.clone().into_bytes(), ..cut.clone() });
    rig.publisher.raw(&cut);
    for (form, tap) in forms.iter().zip(&mut taps) {
        assert_eq!(tap.wait(SOON).code(), Some(0), "{form:?} {}", tap.stderr());
        let shown = tap.stdout();
        assert_eq!(shown.contains("S3CRET"), form.contains(&"--raw"), "{form:?}");
        match form {
            [] => {
                let lines: Vec<&str> = shown.lines().collect();
                assert!(lines[0].contains(" id=i-1 name=vm legacy"), "{}", lines[0]);
                assert!(lines[1].contains(" unreadable: ") && lines[1].len() < 40_000, "{}", lines[1].len());
            }
            ["--format", ..] => {
                let event: Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
                assert_eq!(event["payload"]["note"], payload["note"]);
            }
            _ => assert!(shown.contains(&long), "{form:?}"),
        }
    }
}

#[test]
fn three_thousand_at_once_are_all_counted() {
    let rig = Rig::with_nova("tap-many");
    let mut tap = rig.listening(&["-e", "nova", "--rates", "--format", "json"]);
    let place = &rig.place;
    place.write("one.json", r#"{"event_type": "compute.instance.update", "payload": {"instance_id": "i"}}"#);
    let url = rig.vhost.url();
    let args = ["send", "--transport-url", &url, "-e", "nova", "--count", "3000", "one.json"];
    let args: Vec<&str> = args.iter().map(|arg| if *arg == "-e" { "--exchange" } else { arg }).collect();
    let mut sent = place.run(std::path::Path::new(env!("CARGO_BIN_EXE_osnl")), &args);
    assert_eq!(sent.wait(SOON * 4).code(), Some(0), "{}", sent.stderr());
    let counted = |tap: &crate::harness::Osnl| -> u64 {
        let events = |line: &str| serde_json::from_str::<Value>(line).ok()?["events"].as_u64();
        tap.stdout().lines().filter(|line| line.contains("\"per_second\"")).filter_map(events).sum()
    };
    wait_until(SOON, "all to be counted", || counted(&tap) >= 3_000);
    tap.signal("INT");
    assert_eq!(tap.wait(PROMPTLY).code(), Some(0), "{}", tap.stderr());
    assert!(tap.stderr().contains("3000 events shown in "), "{}", tap.stderr());
    assert!(!tap.stderr().contains("dropped"), "{}", tap.stderr());
}
