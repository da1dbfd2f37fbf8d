//! oss_watcher's node details, completed from the OpenStack APIs before a plug-in is handed them.

use std::sync::Arc;

use osnl_model::Notification;
use osnl_transport::BoxFuture;

use super::node_detail::{Asked, NodeDetails, OssDetails, Told};
use crate::action::{ActionError, Event};
use crate::oss::{Lists, Servers, Telling, completed};

/// [`OssDetails`], and who may be asked for what no event has told.
#[derive(Clone, Debug)]
pub(super) struct CompletedDetails {
    pub(super) details: OssDetails,
    pub(super) servers: Arc<dyn Servers>,
}

impl NodeDetails for CompletedDetails {
    fn of(&self, notification: &Notification) -> Result<Told, ActionError> {
        self.details.of(notification)
    }

    fn of_event(&self, event: &Event) -> Result<Asked, ActionError> {
        self.details.of_event(event)
    }

    fn completed<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<Asked, ActionError>> {
        Box::pin(async move {
            let mut telling = Telling::of(event, &self.details.lists);
            if let Telling::Calls(calls) = &mut telling {
                for call in calls {
                    call.happened = completed(call.happened.clone(), &*self.servers).await?;
                }
            }
            self.details.told(telling)
        })
    }

    fn watches(&self) -> Option<Lists> {
        self.details.watches()
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::time::SystemTime;

    use futures_util::FutureExt as _;
    use osnl_testkit::fixture;
    use serde_json::{Value, json};

    use super::*;
    use crate::oss::Instance;
    use crate::received::{Origin, Received};

    #[derive(Debug)]
    struct Known;

    impl Servers for Known {
        fn of_port<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<String>, ActionError>> {
            ready(Ok(None)).boxed()
        }

        fn instance<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Instance>, ActionError>> {
            let instance = Instance { memory_mb: Some(2048), ..Instance::default() };
            ready(Ok(Some(instance))).boxed()
        }
    }

    #[test]
    fn a_plug_in_is_handed_what_was_asked_for() {
        let file = fixture::json("emission/captures/neutron.json");
        let body = file["cases"]["floatingip_update_associate"][1]["body_text"].as_str().unwrap().to_owned();
        let origin = Origin {
            listener: "l".into(),
            queue: "q".into(),
            exchange: String::new(),
            routing_key: String::new(),
            redelivered: false,
            received: SystemTime::UNIX_EPOCH,
        };
        let received =
            Received { body: body.into(), properties: Default::default(), origin, noted: Default::default() };
        let event = Event {
            notification: Arc::new(received.decode().unwrap()),
            received: Arc::new(received),
            rule: "r".into(),
            action: "a".into(),
            resource: None,
            enriched: None,
        };
        let ram = |details: &dyn NodeDetails| {
            let asked = details.completed(&event).now_or_never().unwrap().unwrap();
            let [Told::Notify { node_detail, created: true }] = &asked[..] else { panic!("{asked:?}") };
            serde_json::from_str::<Value>(node_detail.get()).unwrap()["Ram"].clone()
        };
        let details = OssDetails::default();
        assert_eq!(ram(&details), Value::Null);
        assert_eq!(ram(&*details.asking(Arc::new(Known)).unwrap()), json!(2048));
    }
}
