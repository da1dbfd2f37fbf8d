//! The least that a consumer with an effect does, one message at a time: its POST, the head of the answer, its
//! acknowledgement.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use lapin::options::BasicAckOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{messages, queue};

const END: &[u8] = b"\r\n\r\n";

/// Consumes until the process is ended.
pub(crate) async fn run(url: &str, port: u16) -> Result<()> {
    let (_connection, channel, mut deliveries) = queue::consume(url).await?;
    let mut target = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    target.set_nodelay(true)?;
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        post(&mut target, &delivery.data).await?;
        channel.basic_ack(delivery.delivery_tag, BasicAckOptions::default()).await?;
    }
    anyhow::bail!("the broker ended the consumer")
}

async fn post(target: &mut TcpStream, body: &[u8]) -> Result<()> {
    let instance = messages::instance_of(body).context("a message that names no instance")?;
    let length = body.len();
    let mut request =
        format!("POST /v1/role?cuk={instance} HTTP/1.1\r\nHost: target\r\nContent-Length: {length}\r\n\r\n")
            .into_bytes();
    request.extend_from_slice(body);
    target.write_all(&request).await?;
    let mut answer = Vec::with_capacity(256);
    while !answer.ends_with(END) {
        let read = target.read_buf(&mut answer).await?;
        ensure!(read > 0, "the target closed the connection");
    }
    ensure!(answer.starts_with(b"HTTP/1.1 204 "), "the target refused: {}", String::from_utf8_lossy(&answer));
    Ok(())
}
