use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::{ChildStdin, Stdio};
use std::sync::OnceLock;

use serde_json::json;

use crate::process::{ChildGroup, Guard};

/// One zygote serves all tests of a binary, and ends when the binary closes its pipe.
static ZYGOTE: OnceLock<Zygote> = OnceLock::new();

#[derive(Debug)]
struct Zygote {
    address: SocketAddr,
    _input: ChildStdin,
    _process: ChildGroup,
    _guard: Guard,
}

impl Zygote {
    fn start() -> Self {
        let mut command = super::python_program("python");
        command.args(["-c", include_str!("../../python/zygote.py")]);
        let mut process = ChildGroup::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let guard = Guard::over(&[process.id()], None);
        let input = process.child().stdin.take().unwrap();
        let mut name = String::new();
        BufReader::new(process.child().stdout.take().unwrap()).read_line(&mut name).unwrap();
        assert!(!name.is_empty(), "Python with oslo.messaging does not start; its output above says why");
        let address = SocketAddr::from_abstract_name(name.trim()).unwrap();
        Self { address, _input: input, _process: process, _guard: guard }
    }
}

#[derive(Debug)]
pub(super) struct Script {
    stream: UnixStream,
}

impl Script {
    pub(super) fn start(text: &str, arguments: &[&str]) -> Self {
        let zygote = ZYGOTE.get_or_init(Zygote::start);
        let mut stream = UnixStream::connect_addr(&zygote.address)
            .unwrap_or_else(|error| panic!("the Python process that starts scripts is gone: {error}"));
        stream
            .write_all(format!("{}\n", json!({"script": text, "arguments": arguments})).as_bytes())
            .unwrap();
        Self { stream }
    }

    pub(super) fn write(&mut self, line: &str) -> std::io::Result<()> {
        self.stream.write_all(line.as_bytes())
    }

    pub(super) fn output(&self) -> BufReader<UnixStream> {
        BufReader::new(self.stream.try_clone().unwrap())
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // The connection closes after the script's end, so that the broker has no connection of the script.
        let _ = self.stream.shutdown(Shutdown::Write);
        let _ = self.stream.read_to_end(&mut Vec::new());
    }
}
