//! Bulk requests: notifications about many resources at once.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};

use crate::queue;

/// Publishes `count` notifications `port.create.end` of `resources` ports each, numbered from 1 on.
pub(crate) async fn run(url: &str, count: u64, resources: u64) -> Result<()> {
    let (connection, channel) = queue::open(url).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2);
    for n in 0..count {
        let body = body(n, resources)?;
        let (exchange, key) = (queue::EXCHANGE.into(), queue::ROUTING_KEY.into());
        let options = BasicPublishOptions::default();
        drop(channel.basic_publish(exchange, key, options, &body, properties.clone()).await?);
    }
    let refused = channel.wait_for_confirms().await?;
    ensure!(refused.is_empty(), "the broker refused {} messages", refused.len());
    connection.close(200, "done".into()).await?;
    Ok(())
}

fn body(n: u64, resources: u64) -> Result<Vec<u8>> {
    let mut ports = String::new();
    for port in n * resources + 1..=(n + 1) * resources {
        let comma = if ports.is_empty() { "" } else { ", " };
        write!(
            ports,
            r#"{comma}{{"id": "30000000-0000-4000-8000-{port:012x}", "device_id": "00000000-0000-4000-8000-{port:012x}", "name": "", "status": "DOWN"}}"#
        )?;
    }
    Ok(format!(
        r#"{{"message_id": "10000000-0000-4000-8000-{n:012x}", "_unique_id": "20000000000040008000{n:012x}", "publisher_id": "network.vm", "event_type": "port.create.end", "priority": "INFO", "timestamp": "2026-11-20 06:00:00.000000", "payload": {{"ports": [{ports}]}}}}"#
    )
    .into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_has_a_number_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..3 {
            let body: serde_json::Value = serde_json::from_slice(&body(n, 4).unwrap()).unwrap();
            let ports = body["payload"]["ports"].as_array().unwrap();
            assert_eq!(ports.len(), 4);
            seen.extend(ports.iter().map(|port| port["device_id"].as_str().unwrap().to_owned()));
        }
        assert_eq!(seen.len(), 12);
    }
}
