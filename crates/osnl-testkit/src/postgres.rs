//! A private PostgreSQL server: its own folder, a port of 127.0.0.1, no password.
//!
//! [`Postgres::shared`] is the server that `cargo xtask test` started for all tests, or one of this process.
//! [`Postgres::start`] is for a test that stops or kills the server; a start takes about two seconds. Commits reach
//! the disk only on request.
//!
//! PostgreSQL refuses to run as root, so that a test of root starts the server as the package's user.

mod full;
mod standby;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::disk::Disk;
use crate::ports;
use crate::process::{ChildGroup, Guard};
use crate::tls::Certificate;
use crate::wait::reached;

const DEBIAN: &str = "/usr/lib/postgresql";
const USERS: [&str; 2] = ["postgres", "nobody"];
const PATIENCE: Duration = Duration::from_secs(60);
const SHUTDOWN: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub struct Postgres {
    port: u16,
    durable: bool,
    prefix: String,
    databases: AtomicU32,
    running: Option<RunningServer>,
    disk: Option<(Disk, u32)>,
    folder: PathBuf,
    _own: Option<TempDir>,
}

/// Fields drop in this order: the guard is called off last.
#[derive(Debug)]
struct RunningServer {
    group: ChildGroup,
    _guard: Guard,
}

impl RunningServer {
    fn start(postgres: &mut Command, folder: &Path) -> Self {
        let group = ChildGroup::spawn(postgres);
        // SIGQUIT makes PostgreSQL end its children and give back its shared memory.
        let guard = Guard::asking("QUIT", &[group.id()], Some(folder));
        Self { group, _guard: guard }
    }
}

impl Postgres {
    /// Returns the server that all tests share. A test must not stop it.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var_os(crate::POSTGRES_VARIABLE) {
            Some(folder) => Self::attach(folder.into()),
            None => Self::start(false),
        })
    }

    fn attach(folder: PathBuf) -> Self {
        let pid_file = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
        let port = pid_file.lines().nth(3).and_then(|line| line.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port of PostgreSQL in {pid_file:?}"));
        let prefix = format!("test{}x", std::process::id());
        Self {
            port,
            durable: false,
            prefix,
            databases: AtomicU32::new(0),
            running: None,
            disk: None,
            folder,
            _own: None,
        }
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn prepare(port: u16, durable: bool) -> Self {
        let own = tempfile::Builder::new().prefix("osnl-postgres-").tempdir().unwrap();
        let folder = own.path().to_owned();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        if let Some((user, group)) = other_user() {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
        }
        Self {
            port,
            durable,
            prefix: "test".to_owned(),
            databases: AtomicU32::new(0),
            running: None,
            disk: None,
            folder,
            _own: Some(own),
        }
    }

    #[must_use]
    pub fn start(durable: bool) -> Self {
        let mut server = Self::prepare(ports::free_port(), durable);
        server.initialize();
        server.start_again();
        server
    }

    fn initialize(&self) {
        let mut initdb = program("initdb", &self.folder);
        initdb.args(["--username=osnl", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]);
        let made = initdb.arg(self.data()).stdin(Stdio::null()).output();
        let made = made.unwrap_or_else(|error| missing(&error));
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    }

    fn data(&self) -> PathBuf {
        match self.disk {
            Some(_) => self.folder.join("disk/data"),
            None => self.folder.join("data"),
        }
    }

    pub fn start_again(&mut self) {
        self.running = None;
        let log = std::fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let durable = if self.durable { "on" } else { "off" };
        let mut postgres = program("postgres", &self.folder);
        postgres.arg("-D").arg(self.data());
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            "unix_socket_directories=".to_owned(),
            "max_connections=200".to_owned(),
            "shared_buffers=16MB".to_owned(),
            "max_wal_size=96MB".to_owned(),
            "track_commit_timestamp=on".to_owned(),
            "wal_retrieve_retry_interval=500ms".to_owned(),
            format!("fsync={durable}"),
        ] {
            postgres.args(["-c", &setting]);
        }
        postgres.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut running = None;
        // Children of a killed server may hold its memory for a moment, and the start fails.
        let mut is_ready = || {
            if !running.as_mut().is_some_and(|server: &mut RunningServer| server.group.is_running()) {
                running = Some(RunningServer::start(&mut postgres, &self.folder));
            }
            self.is_ready()
        };
        assert!(reached(PATIENCE, &mut is_ready), "PostgreSQL did not start:\n{}", self.output());
        self.running = running;
    }

    fn is_ready(&self) -> bool {
        let mut ready = program("pg_isready", &self.folder);
        ready.args(["-q", "-h", "127.0.0.1", "-U", "osnl", "-d", "postgres", "-p", &self.port.to_string()]);
        ready.stdin(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn database(&self) -> String {
        let name = format!("{}{}", self.prefix, self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        format!("postgresql://osnl@127.0.0.1:{}/{name}", self.port)
    }

    #[must_use]
    pub fn rows(&self, database: &str, sql: &str) -> String {
        let mut psql = program("psql", &self.folder);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "osnl", "-p"]);
        psql.arg(self.port.to_string()).args(["-d", database, "-c", sql]).stdin(Stdio::null());
        let done = psql.output().unwrap_or_else(|error| missing(&error));
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
    }

    pub fn sql(&self, database: &str, sql: &str) {
        let _ = self.rows(database, sql);
    }

    pub fn encrypt(&self, certificate: &Certificate) {
        for (from, name) in [(certificate.file(), "server.crt"), (certificate.key_file(), "server.key")] {
            let to = self.data().join(name);
            std::fs::copy(from, &to).unwrap();
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
            if let Some((user, group)) = other_user() {
                std::os::unix::fs::chown(&to, Some(user), Some(group)).unwrap();
            }
        }
        self.set("ssl", Some("on"));
        let is_on = || self.rows("postgres", "SHOW ssl") == "on";
        assert!(reached(PATIENCE, &mut { is_on }), "the certificate is refused:\n{}", self.output());
    }

    pub fn set(&self, setting: &str, value: Option<&str>) {
        let change = match value {
            Some(value) => format!("ALTER SYSTEM SET {setting} = '{value}'"),
            None => format!("ALTER SYSTEM RESET {setting}"),
        };
        self.sql("postgres", &change);
        self.sql("postgres", "SELECT pg_reload_conf()");
    }

    pub fn quit(&mut self) {
        if let Some(running) = &mut self.running {
            running.group.signal("QUIT");
            assert!(reached(PATIENCE, &mut || !running.group.is_running()), "PostgreSQL did not end");
        }
        self.running = None;
    }

    /// Ends the server in good order and rolls back open transactions; a shutdown that takes too long becomes
    /// [`Postgres::quit`].
    pub fn shutdown(&mut self) {
        if let Some(running) = &mut self.running {
            running.group.signal("INT");
            if reached(SHUTDOWN, &mut || !running.group.is_running()) {
                self.running = None;
            }
        }
        self.quit();
    }

    pub fn kill9(&mut self) {
        self.running = None;
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log()).unwrap_or_default()).into_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.quit();
    }
}

fn program(name: &str, folder: &Path) -> Command {
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions
        .map(|version| version.path())
        .filter(|path| path.join("bin").join(name).exists())
        .max_by_key(|path| number(path));
    let path = newest.map_or_else(|| PathBuf::from(name), |version| version.join("bin").join(name));
    let mut command = Command::new(path);
    command.current_dir(folder).env("LC_ALL", "C");
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("PG") {
            command.env_remove(variable);
        }
    }
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group);
    }
    command
}

fn other_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    USERS.into_iter().find_map(|name| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2);
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    })
}

fn missing(error: &std::io::Error) -> ! {
    panic!("PostgreSQL cannot be run ({error}): install it by \"cargo xtask setup\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_what_was_committed_over_its_end() {
        let mut server = Postgres::start(true);
        let url = server.database();
        assert_eq!(url, format!("postgresql://osnl@127.0.0.1:{}/test0", server.port()));
        server.sql("test0", "CREATE TABLE t (x int); INSERT INTO t VALUES (7), (8)");
        for end in [Postgres::quit, Postgres::shutdown, Postgres::kill9] {
            end(&mut server);
            server.start_again();
            assert_eq!(server.rows("test0", "SELECT x, x + 1 FROM t ORDER BY x"), "7|8\n8|9");
        }
    }

    #[test]
    fn the_answer_of_a_commit_is_lost_on_request() {
        let server = Postgres::shared();
        let url = server.database();
        let database = url.rsplit_once('/').unwrap().1;
        server.sql(database, "CREATE TABLE t (x int)");
        let proxy = crate::FaultyProxy::before(server.port());
        for (fault, succeeds) in [(crate::NetworkFault::LoseCommit, false), (crate::NetworkFault::None, true)]
        {
            proxy.set(fault);
            let mut psql = program("psql", &server.folder);
            psql.args(["-X", "-q", "-h", "127.0.0.1", "-U", "osnl", "-d", database, "-p"]);
            psql.arg(proxy.port().to_string()).args([
                "-c",
                "BEGIN",
                "-c",
                "INSERT INTO t VALUES (1)",
                "-c",
                "COMMIT",
            ]);
            let done = psql.stdin(Stdio::null()).output().unwrap();
            assert_eq!(done.status.success(), succeeds, "{}", String::from_utf8_lossy(&done.stderr));
        }
        assert_eq!((server.rows(database, "SELECT * FROM t"), proxy.cuts()), ("1\n1".to_owned(), 1));
    }
}
