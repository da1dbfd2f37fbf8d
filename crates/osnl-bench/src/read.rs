//! What it costs to understand a message: parsing it once, and reading what it is about.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result};
use osnl_model::{Notification, mask_secrets, resources, service};
use serde_json::{Value, json};

/// A recorded `instance.create.end` of nova.
const RECORDED: &str = include_str!("../../../fixtures/emission/captures/nova.json");
/// Bytes of the message that is read.
const SIZE: usize = 15_000;
/// Readings between two looks at the clock.
const BATCH: u32 = 100;

/// Prints `BYTES PARSE DECODE RESOURCE TYPED MASK`: the size, and nanoseconds for parsing the envelope and the
/// message in it with serde_json, for decoding it as osnl does, for decoding and reading the resource view, for
/// decoding and reading its typed form, for masking the payload. Of `rounds`, the fastest of each.
#[expect(clippy::print_stdout, reason = "a command line tool: its output is its purpose")]
pub(crate) fn run(rounds: u64) -> Result<()> {
    let body = message()?;
    let body = body.as_bytes();
    let decoded = Notification::decode(body)?;
    let mut best = [u128::MAX; 5];
    for _ in 0..rounds {
        let taken = [
            time(|| parse(body)),
            time(|| Notification::decode(body)),
            time(|| Notification::decode(body).map(|n| resources(&n).len())),
            time(|| {
                Notification::decode(body).map(|n| black_box(service::read(&n)) == service::read(&decoded))
            }),
            time(|| mask_secrets(&decoded.payload)),
        ];
        best = std::array::from_fn(|at| best[at].min(taken[at]));
    }
    let figures: Vec<String> = best.iter().map(u128::to_string).collect();
    println!("{} {}", body.len(), figures.join(" "));
    Ok(())
}

/// The least that anybody has to do.
fn parse(body: &[u8]) -> Result<Value> {
    let outer: Value = serde_json::from_slice(body)?;
    let inner = outer["oslo.message"].as_str().context("no message")?;
    Ok(serde_json::from_str(inner)?)
}

fn time<T>(mut read: impl FnMut() -> T) -> u128 {
    let start = Instant::now();
    for _ in 0..BATCH {
        black_box(read());
    }
    start.elapsed().as_nanos() / u128::from(BATCH)
}

/// A message of nova's with more of what makes such messages long: key pairs, addresses, tags, metadata.
fn message() -> Result<String> {
    let recorded: Value = serde_json::from_str(RECORDED)?;
    let body = recorded["cases"]["instance_create_end"][0]["body_text"].as_str().context("no body")?;
    let mut outer: Value = serde_json::from_str(body)?;
    let mut inner: Value = serde_json::from_str(outer["oslo.message"].as_str().context("no message")?)?;
    let data = &mut inner["payload"]["nova_object.data"];
    let address = data["ip_addresses"][0].clone();
    data["ip_addresses"] = Value::Array(vec![address; 8]);
    data["tags"] = (0..20).map(|n| format!("tag-{n}")).collect();
    data["keypairs"] = Value::Array(vec![
        json!({
            "nova_object.name": "KeypairPayload", "nova_object.namespace": "nova", "nova_object.version": "1.0",
            "nova_object.data": {"name": "k", "public_key": "ssh-rsa ".to_owned() + &"A".repeat(370), "type": "ssh"},
        });
        6
    ]);
    let mut length = 0;
    for n in 0.. {
        outer["oslo.message"] = Value::from(inner.to_string());
        length = outer.to_string().len().max(length);
        if length >= SIZE {
            break;
        }
        inner["payload"]["nova_object.data"]["metadata"][format!("name-{n}")] = json!(format!("value {n}"));
    }
    Ok(outer.to_string())
}
