use std::process::Stdio;

use super::{PATIENCE, Postgres, missing, program};
use crate::wait::reached;

const SYNCHRONOUS: &str = "SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'";

impl Postgres {
    #[must_use]
    pub fn standby(&self, port: u16, through: u16) -> Self {
        let mut standby = Self::prepare(port, self.durable);
        if let Some((_, megabytes)) = self.disk {
            standby.mount(megabytes).unwrap();
        }
        let mut copy = program("pg_basebackup", &standby.folder);
        copy.args(["-h", "127.0.0.1", "-U", "osnl", "-R", "-X", "stream", "-c", "fast", "--no-sync", "-p"]);
        copy.arg(through.to_string()).arg("-D").arg(standby.data()).stdin(Stdio::null());
        let made = copy.output().unwrap_or_else(|error| missing(&error));
        assert!(made.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&made.stderr));
        standby.start_again();
        standby
    }

    pub fn wait_for_standby(&self) {
        self.set("synchronous_standby_names", Some("*"));
        let follows = || self.rows("postgres", SYNCHRONOUS) == "t";
        assert!(reached(PATIENCE, &mut { follows }), "no standby follows:\n{}", self.output());
    }

    pub(crate) fn promote(&self) {
        assert_eq!(self.rows("postgres", "SELECT pg_promote()"), "t", "{}", self.output());
        self.set("synchronous_standby_names", None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{FaultyProxy, NetworkFault, ports};

    #[test]
    fn a_promoted_standby_has_what_was_committed_and_can_have_a_standby() {
        let mut primary = Postgres::start(true);
        let _ = primary.database();
        primary.sql("test0", "CREATE TABLE t (x int)");
        for x in 1..=2 {
            let port = ports::free_port();
            let standby = primary.standby(port, primary.port());
            primary.wait_for_standby();
            primary.sql("test0", &format!("INSERT INTO t VALUES ({x})"));
            primary.kill9();
            drop(primary);
            standby.promote();
            assert_eq!(standby.rows("test0", "SELECT count(*) FROM t"), x.to_string());
            primary = standby;
        }
        primary.sql("test0", "INSERT INTO t VALUES (3)");
    }

    #[test]
    fn a_commit_waits_for_a_slow_standby() {
        let primary = Postgres::start(true);
        let _ = primary.database();
        primary.sql("test0", "CREATE TABLE t (x int)");
        let link = FaultyProxy::before(primary.port());
        let _standby = primary.standby(ports::free_port(), link.port());
        primary.wait_for_standby();
        link.set(NetworkFault::Delay(Duration::from_millis(300)));
        let began = std::time::Instant::now();
        primary.sql("test0", "INSERT INTO t VALUES (1)");
        assert!(began.elapsed() >= Duration::from_millis(550), "{:?}", began.elapsed());
    }
}
