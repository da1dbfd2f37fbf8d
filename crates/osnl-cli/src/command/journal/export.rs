//! A line is an object. Later versions add members; the meaning of a member does not change within
//! one `format`.
//!
//! | member | |
//! | --- | --- |
//! | `format` | [`FORMAT`] |
//! | `event` | its number in the journal |
//! | `received`, `listener`, `queue`, `exchange`, `routing_key` | its origin |
//! | `deliveries` | of each `id`, `rule`, `action`, `resource` (`key`, `id`, `name`), `state`, `attempts`, `ended`, `reason` |
//! | `message_id`, `timestamp`, `priority`, `event_type`, `publisher_id`, `context`, `payload` | the notification, secrets masked |
//! | `unreadable` | in their place, the reason why the message cannot be read |
//! | `properties`, `body` or `body_base64` | with `--raw`, in their place: the message as received |
//!
//! `osnl replay`, `explain`, and `send` read both forms.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;

use osnl::journal::query::{DeliveryListRow, KeptEvent, Phase};
use osnl::journal::sqlite::upkeep::{self, UpkeepError, UpkeepProgress};
use osnl::saved;
use osnl_model::{MaskedJson, mask_text};
use serde_json::{Map, Value, json};

use super::args::ExportArgs;
use super::{events, file, refused, report, shown, timestamp};
use crate::clean::mask_urls;
use crate::command::asking::{NoAnswer, clean};
use crate::command::progress::Display;
use crate::command::saved_events::{self, SavedEventsRefusal};
use crate::exit::Exit;

const FORMAT: &str = "osnl-events/1";

pub(super) fn run(args: &ExportArgs) -> Result<Exit, NoAnswer> {
    let journal = &file(&args.journal)?;
    let failed = |(exit, text): SavedEventsRefusal| NoAnswer::new(exit, text);
    let reader = saved_events::reader(journal).map_err(failed)?;
    args.pick.has_names(None, &reader).map_err(failed)?;
    let display = Display::cancelling("events");
    let observer = display.observer(|progress| progress);
    let of = args.pick.count(&reader, &BTreeSet::new(), u64::MAX).map_err(failed)?;
    let part = upkeep::begin(journal, &args.output, args.overwrite).map_err(refused)?;
    let mut out = BufWriter::new(part.file());
    let (mut count, mut ended) = (0_u64, Ok(()));
    let each = args.pick.each(&reader, |kept| {
        ended = writeln!(out, "{}", line(kept, args.raw)).map_err(|error| part.failed(error));
        count += 1;
        let progress = UpkeepProgress { done: count, of };
        match (&ended, observer(progress)) {
            (Ok(()), ControlFlow::Continue(())) => ControlFlow::Continue(()),
            (Ok(()), ControlFlow::Break(())) => {
                ended = Err(UpkeepError::Interrupted);
                ControlFlow::Break(())
            }
            (Err(_), _) => ControlFlow::Break(()),
        }
    });
    each.map_err(failed)?;
    ended.map_err(refused)?;
    out.flush().map_err(|error| refused(part.failed(error)))?;
    drop(out);
    part.place().map_err(refused)?;
    drop(display);
    let secrets = if args.raw { "with secrets" } else { "secrets masked" };
    let text = format!("{}: {}, {secrets}\n", shown(&args.output), events(count));
    Ok(report(
        &args.journal.format,
        &text,
        || json!({"file": args.output.display().to_string(), "events": count, "masked": !args.raw}),
    ))
}

fn line(kept: &KeptEvent, raw: bool) -> Value {
    let origin = &kept.received.origin;
    let mut line = json!({
        "format": FORMAT,
        "event": kept.number,
        "received": timestamp(origin.received),
        "listener": &*origin.listener,
        "queue": &*origin.queue,
        "exchange": origin.exchange,
        "routing_key": origin.routing_key,
        "deliveries": kept.deliveries.iter().map(delivery).collect::<Vec<_>>(),
    });
    let message = match raw {
        true => saved::body_members(&kept.received.body, &kept.received.properties),
        false => masked(kept),
    };
    if let Value::Object(line) = &mut line {
        line.extend(message);
    }
    if !raw {
        mask_urls(&mut line);
    }
    line
}

fn delivery(row: &DeliveryListRow) -> Value {
    json!({
        "id": row.id.to_string(),
        "rule": row.rule,
        "action": row.action,
        "resource": {"key": row.key, "id": row.resource_id, "name": row.resource_name},
        "state": Phase::word_of(row.state),
        "attempts": row.tries,
        "ended": row.ended.map(timestamp),
        "reason": row.reason.as_deref().map(|reason| clean(&mask_text(reason)).into_owned()),
    })
}

fn masked(kept: &KeptEvent) -> Map<String, Value> {
    let members = match kept.received.decode() {
        Ok(n) => json!({
            "message_id": n.message_id,
            "timestamp": n.timestamp,
            "priority": n.priority.as_ref().map(|priority| priority.as_str()),
            "event_type": n.event_type,
            "publisher_id": n.publisher_id,
            "context": MaskedJson::object(&n.context),
            "payload": MaskedJson::value(&n.payload),
        }),
        Err(error) => json!({"unreadable": error.to_string()}),
    };
    members_of(members)
}

fn members_of(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
