//! Reads the type and durability of an exchange from a refusal, since a passive declaration does not show them.
//!
//! RabbitMQ must refuse the declaration, because its argument `alternate-exchange` is no text. For an existing exchange
//! the properties are compared first in a fixed order (type, durable, auto-delete, internal, arguments), and the first
//! difference is named with both values. For a missing exchange the argument is refused before anything is made
//! (`rabbit_channel.erl`, `exchange.declare`).

use std::borrow::Borrow;

use lapin::options::ExchangeDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ExchangeKind};

use super::super::failure::{ACCESS_REFUSED, PRECONDITION_FAILED, lost, reason, reply_code};
use super::super::side::SideChannel;
use crate::TransportError;
use crate::tap::ExchangeFound;

/// Asks twice at most: for the type, then for the durability of an exchange of that type.
pub(in crate::rabbit) async fn describe<C: Borrow<Connection>>(
    side: &mut SideChannel<C>,
    exchange: &str,
) -> Result<ExchangeFound, TransportError> {
    let mut found = ExchangeFound::default();
    for _ in 0..2 {
        let kind = found.kind.clone().unwrap_or_else(|| "topic".to_owned());
        let refusal = ask(side, exchange, &kind).await?;
        if let Some(other) = current(&refusal, "type") {
            found.kind = Some(other);
            continue;
        }
        if current(&refusal, "durable").is_some() {
            (found.kind, found.durable) = (Some(kind), Some(false));
        } else if refusal.contains("inequivalent arg") {
            (found.kind, found.durable) = (Some(kind), Some(true));
        }
        break;
    }
    Ok(found)
}

async fn ask<C: Borrow<Connection>>(
    side: &mut SideChannel<C>,
    exchange: &str,
    kind: &str,
) -> Result<String, TransportError> {
    let channel: Channel = side.channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("alternate-exchange".into(), AMQPValue::Boolean(true));
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let kind = match kind {
        "topic" => ExchangeKind::Topic,
        other => ExchangeKind::Custom(other.to_owned()),
    };
    let Err(error) = channel.exchange_declare(exchange.into(), kind, options, arguments).await else {
        return Ok(String::new());
    };
    let failure = side.closed_by("ask what an exchange is", error);
    match reply_code(&failure.error) {
        Some(PRECONDITION_FAILED) => Ok(reason(&failure.error)),
        Some(ACCESS_REFUSED) => Ok(String::new()),
        Some(_) | None => Err(lost(&failure.error)),
    }
}

/// `inequivalent arg 'type' for exchange 'x' in vhost '/': received 'topic' but current is 'fanout'`
fn current(refusal: &str, argument: &str) -> Option<String> {
    if !refusal.contains(&format!("inequivalent arg '{argument}'")) {
        return None;
    }
    let (_, current) = refusal.rsplit_once("current is '")?;
    Some(current.split('\'').next().unwrap_or_default().to_owned())
}
