use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::Certificate;
use crate::process::{ChildGroup, Guard};

#[derive(Debug)]
pub struct OldServer {
    port: u16,
    _process: ChildGroup,
    _guard: Guard,
}

impl OldServer {
    #[must_use]
    pub fn start(certificate: &Certificate) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-accept", "127.0.0.1:0"]);
        command.arg("-cert").arg(certificate.file()).arg("-key").arg(certificate.key_file());
        // An open pipe, because the server ends at the end of its input.
        let mut process =
            ChildGroup::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()));
        let guard = Guard::over(&[process.id()], None);
        let mut lines = BufReader::new(process.child().stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| line.ok()?.strip_prefix("ACCEPT 127.0.0.1:")?.parse().ok())
            .unwrap_or_else(|| panic!("openssl s_server does not listen"));
        // The server writes for each event, and would block without a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { port, _process: process, _guard: guard }
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}
