mod emitter;
mod faults;
mod interop;
mod memory;
mod ordered;
mod pauses;

use std::sync::Arc;
use std::time::Duration;

use osnl_model::TransportUrl;
use osnl_notify::notifier::{Driver, Notifier, NotifierBuilder};
use osnl_notify::transport;
use osnl_transport::Transport;

const LONG: Duration = Duration::from_secs(60);

fn rabbit(url: &str) -> Arc<dyn Transport> {
    transport(&TransportUrl::parse(url).unwrap()).unwrap().into()
}

fn builder(transport: Arc<dyn Transport>, driver: Driver) -> NotifierBuilder {
    Notifier::builder("compute.node1").transport(transport).exchange("nova").driver(driver)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
