//! The database of a run: a server, and a synchronous standby that replaces a lost server.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::oracle::pause_until;
use crate::{FaultyProxy, NetworkFault, Postgres, ports};

struct ServerPair {
    primary: Postgres,
    standby: Postgres,
    link: FaultyProxy,
}

impl ServerPair {
    fn of(primary: Postgres, port: u16) -> Self {
        let link = FaultyProxy::before(primary.port());
        let standby = primary.standby(port, link.port());
        primary.wait_for_standby();
        Self { primary, standby, link }
    }

    fn without_primary(self, pause: Duration) -> Self {
        pause_until(Instant::now() + pause);
        let Self { primary: lost, standby: primary, .. } = self;
        let port = lost.port();
        drop(lost);
        primary.promote();
        Self::of(primary, port)
    }
}

/// The size of each server's file system in MB, more than twice the use of half an hour.
const DISK: u32 = 800;

pub(super) struct OracleServers {
    pub(super) without_disks: Option<String>,
    pair: Option<ServerPair>,
    moving: Option<JoinHandle<ServerPair>>,
    ports: [u16; 2],
}

impl OracleServers {
    pub(super) fn start() -> Self {
        let (primary, without_disks) = match Postgres::on_disk(DISK) {
            Ok(primary) => (primary, None),
            Err(why) => (Postgres::start(true), Some(why)),
        };
        let ports = [primary.port(), ports::free_port()];
        Self { pair: Some(ServerPair::of(primary, ports[1])), moving: None, ports, without_disks }
    }

    pub(super) fn ports(&self) -> [u16; 2] {
        self.ports
    }

    fn pair(&self) -> &ServerPair {
        self.pair.as_ref().expect("a fail-over is a fault of its own, and is over")
    }

    pub(super) fn primary(&self) -> &Postgres {
        &self.pair().primary
    }

    pub(super) fn primary_mut(&mut self) -> &mut Postgres {
        &mut self.pair.as_mut().expect("a fail-over is a fault of its own, and is over").primary
    }

    pub(super) fn place(&self) -> usize {
        usize::from(self.primary().port() == self.ports[1])
    }

    pub(super) fn reach_standby(&self, fault: NetworkFault) {
        self.pair().link.set(fault);
    }

    pub(super) fn lose_primary(&mut self, pause: Duration) {
        let Some(mut pair) = self.pair.take() else { return };
        pair.primary.kill9();
        self.moving = Some(std::thread::spawn(move || pair.without_primary(pause)));
    }

    pub(super) fn is_whole(&mut self) -> bool {
        if let Some(moving) = self.moving.take_if(|moving| moving.is_finished()) {
            self.pair = Some(moving.join().expect("a standby takes over and gets a standby"));
        }
        self.pair.is_some()
    }
}
