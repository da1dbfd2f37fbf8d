use super::{Disk, Postgres, SHUTDOWN, other_user};
use crate::ports;
use crate::wait::reached;

const PLACE: &str = "disk";

impl Postgres {
    /// Starts a server whose commits wait for the disk, on a file system of this size.
    ///
    /// The reason why no file system can be mounted; mounting takes root.
    pub fn on_disk(megabytes: u32) -> Result<Self, String> {
        let mut server = Self::prepare(ports::free_port(), true);
        server.mount(megabytes)?;
        server.initialize();
        server.start_again();
        Ok(server)
    }

    pub(super) fn mount(&mut self, megabytes: u32) -> Result<(), String> {
        let place = self.folder.join(PLACE);
        std::fs::create_dir(&place).unwrap();
        self.disk = Some((Disk::mount(&place, megabytes, other_user())?, megabytes));
        Ok(())
    }

    pub(crate) fn fill_disk(&self) {
        let (disk, _) = self.disk.as_ref().expect("a server of Postgres::on_disk");
        disk.fill();
    }

    pub(crate) fn free_disk(&mut self) {
        let (disk, _) = self.disk.as_ref().expect("a server of Postgres::on_disk");
        disk.free();
        if !reached(SHUTDOWN, &mut || self.has_ended() || self.is_ready()) || self.has_ended() {
            self.start_again();
        }
    }

    fn has_ended(&mut self) -> bool {
        self.running.as_mut().is_none_or(|running| !running.group.is_running())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::print_stdout, reason = "whether it was tested")]
    fn a_full_disk_refuses_commits_and_loses_none() {
        let mut server = match Postgres::on_disk(300) {
            Ok(server) => server,
            Err(why) => return println!("no file system may be mounted here: not tested: {why}"),
        };
        let _ = server.database();
        server.sql("test0", "CREATE TABLE t (x text)");
        server.sql("test0", "INSERT INTO t VALUES ('before')");
        server.fill_disk();
        // The data exceed the free space in the segments of the log.
        let sql = "INSERT INTO t SELECT repeat(md5(n::text), 100) FROM generate_series(1, 100000) n";
        let inserted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.sql("test0", sql)));
        assert!(inserted.is_err());
        server.free_disk();
        assert_eq!(server.rows("test0", "SELECT count(*) FROM t"), "1");
    }
}
