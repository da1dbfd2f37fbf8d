use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use osnl_testkit::{Broker, Vhost, signal, wait_until};
use tempfile::TempDir;

pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Case {
    pub(crate) folder: TempDir,
}

impl Case {
    pub(crate) fn new(url: &str, api_url: &str, defaults: &str) -> Self {
        let folder = crate::private_folder().unwrap();
        let text = format!(
            "[DEFAULT]\n{defaults}\n[oslo_messaging_notifications]\ntransport_url = {url}\n[k2hr3]\napi_url = {api_url}\n"
        );
        let text = text.replace("FOLDER", folder.path().to_str().unwrap());
        fs::write(folder.path().join("conf"), text).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, name: &str, text: &str) {
        wait_until(SOON, &format!("\"{text}\" in {name}"), || self.read(name).contains(text));
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osnl"));
        command.arg("k2hr3-osnl").arg("-c").arg(self.path("conf")).env_clear().stdin(Stdio::null());
        command.env("STATE_DIRECTORY", self.path("state"));
        command.stderr(File::create(self.path("stderr")).unwrap());
        command
    }
}

pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.0.id(), name);
    }

    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{status}");
    }

    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until(SOON, "the daemon's end", || {
            ended = self.0.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) struct Way {
    pub(crate) vhost: Vhost,
    port: u16,
    open: Arc<AtomicBool>,
    tried: Arc<AtomicUsize>,
}

impl Way {
    pub(crate) fn closed(name: &str) -> Self {
        let vhost = Broker::shared().vhost(name);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, tried) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_open, count) = (open.clone(), tried.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
                if is_open.load(Ordering::Relaxed) {
                    let broker = TcpStream::connect((Ipv4Addr::LOCALHOST, Broker::shared().port())).unwrap();
                    join(&stream, &broker);
                    join(&broker, &stream);
                }
            }
        });
        Self { vhost, port, open, tried }
    }

    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    pub(crate) fn url(&self) -> String {
        format!("rabbit://guest:guest@{}/{}", self.address(), self.vhost.name())
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    #[track_caller]
    pub(crate) fn wait_for_tries(&self, more: usize) {
        let before = self.tried.load(Ordering::Relaxed);
        wait_until(SOON, "another attempt to connect", || {
            self.tried.load(Ordering::Relaxed) >= before + more
        });
    }
}

fn join(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
