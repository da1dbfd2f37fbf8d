use super::session::{ConsumerSession, POOL, depth_becomes};
use super::{BrokerRig, SampleMessage};

pub async fn an_empty_body_is_a_message<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    rig.publish(vec![SampleMessage::new(""), SampleMessage::new("1"), SampleMessage::new("")]).await;
    let taken = session.take(3).await;
    assert_eq!(taken.iter().map(|m| m.body.len()).collect::<Vec<_>>(), [0, 1, 0]);
    session.acknowledge(taken);
    session.flush().await;
    depth_becomes(&rig, POOL, 0, 0);
}

pub async fn a_body_of_4_mb_arrives_whole<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    let body: Vec<u8> =
        (0..4 * 1024 * 1024_u32).flat_map(|n| [n.wrapping_mul(2_654_435_761).to_be_bytes()[0]]).collect();
    rig.publish(vec![
        SampleMessage::new("before"),
        SampleMessage::new(body.clone()),
        SampleMessage::new("after"),
    ])
    .await;
    let taken = session.take(3).await;
    assert!(taken[1].body == body, "{} bytes", taken[1].body.len());
    assert_eq!((&taken[0].body[..], &taken[2].body[..]), (&b"before"[..], &b"after"[..]));
}

pub async fn bytes_and_properties_arrive_as_they_were_sent<R: BrokerRig>(mut rig: R) {
    let mut session = ConsumerSession::open(&rig, POOL).await;
    let all: Vec<u8> = (0..=255).collect();
    let bare = SampleMessage { content_type: None, content_encoding: None, ..SampleMessage::new(all) };
    let odd = SampleMessage {
        content_type: Some("application/x-msgpack".to_owned()),
        content_encoding: Some("latin-1".to_owned()),
        compression: Some("application/x-gzip".to_owned()),
        ..SampleMessage::new("odd")
    };
    let samples = vec![SampleMessage::new("usual"), bare, odd];
    rig.publish(samples.clone()).await;
    for (message, sample) in session.take(3).await.iter().zip(&samples) {
        assert_eq!(message.body, sample.body);
        let found = &message.properties;
        assert_eq!(found.content_type.as_deref(), sample.content_type.as_deref());
        assert_eq!(found.content_encoding.as_deref(), sample.content_encoding.as_deref());
        assert_eq!(found.compression, sample.compression);
    }
}
