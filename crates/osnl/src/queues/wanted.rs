//! The subjects of surveys that a configuration has: its listeners, and the shards of its actions.

use std::collections::BTreeSet;

use osnl_brokers::{addresses, brokers};
use osnl_model::TransportUrl;
use osnl_transport::{Declare, Shards, login_user};

use super::{Wanted, WantedOrigin, WantedShards};
use crate::native::{ActionConf, ListenerConf, Native};

impl Native {
    /// Returns the subjects of surveys of the shards that actions publish to. A listener of the same broker lends its
    /// management API.
    #[must_use]
    pub fn wanted_shards(&self) -> Vec<Wanted> {
        let wanted = |conf: &ActionConf| {
            let (url, rabbit, all) = conf.driver.conf().shards()?;
            let here = brokers(url);
            let is_beside = |theirs: &TransportUrl| {
                theirs.virtual_host() == url.virtual_host() && !brokers(theirs).is_disjoint(&here)
            };
            let mut beside = self.listeners.iter().filter(|one| is_beside(&one.transport_url));
            Some(Wanted {
                listener: conf.name.clone(),
                broker: broker(url),
                exchanges: vec![all.exchange.clone()],
                topics: vec![Shards::TOPIC.to_owned()],
                priorities: (0..all.count.get()).map(|shard| shard.to_string()).collect(),
                pool: None,
                queues: all.queues(),
                dead_letters: Vec::new(),
                bindings: all.bindings(),
                declare: Declare::Create,
                kind: Shards::kind(),
                url: url.clone(),
                rabbit: rabbit.clone(),
                management: beside.find_map(|one| one.management.clone()),
                rules_digest: String::new(),
                permissions: String::new(),
                origin: WantedOrigin::Shards(WantedShards { all, former: None }),
            })
        };
        self.actions.iter().filter_map(wanted).collect()
    }
}

impl ListenerConf {
    /// Returns the subject of a survey of its queues; `None` on Kafka and AMQP 1.0, which have none.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        let (options, targets) = (self.options(), self.targets());
        let vhost = self.transport_url.virtual_host();
        self.driver().has_queues().then(|| Wanted {
            listener: self.name.clone(),
            broker: broker(&self.transport_url),
            exchanges: self.exchanges.clone(),
            topics: self.topics.clone(),
            priorities: self.priorities.iter().map(|priority| priority.as_str().to_owned()).collect(),
            pool: self.pool.clone(),
            queues: self.queues(),
            dead_letters: self.dead_letter_queue().into_iter().collect(),
            bindings: options.bindings(&targets),
            declare: self.declare,
            kind: self.queue.clone(),
            url: self.transport_url.clone(),
            rabbit: self.rabbit.clone(),
            management: self.management.clone(),
            rules_digest: self.rules_digest.clone(),
            permissions: self.needed_permissions(login_user(&self.transport_url), vhost),
            origin: WantedOrigin::Listener,
        })
    }
}

fn broker(url: &TransportUrl) -> String {
    let hosts: BTreeSet<String> = addresses(url).collect();
    hosts.into_iter().collect::<Vec<_>>().join(", ")
}
