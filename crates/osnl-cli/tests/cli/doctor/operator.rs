//! An operator who executes what a screen says, and services with configuration files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use osnl_testkit::{Notice, OsloPublisher, Vhost};

use crate::management::node;

/// A service whose file decides whether, and how, it publishes. Without a line in the file, oslo.messaging's defaults do.
pub(crate) struct Service {
    exchange: String,
    url: String,
    file: PathBuf,
    publisher: Option<OsloPublisher>,
}

impl Service {
    pub(crate) fn new(exchange: &str, url: &str, folder: &Path) -> Self {
        let file = folder.join(format!("{exchange}.conf"));
        std::fs::write(&file, "[DEFAULT]\n").unwrap();
        Self { exchange: exchange.to_owned(), url: url.to_owned(), file, publisher: None }
    }

    pub(crate) fn notify(&mut self, notice: &Notice) {
        let Self { exchange, url, file, publisher } = self;
        let publisher = publisher.get_or_insert_with(|| OsloPublisher::for_service(url, file));
        publisher.notify(&Notice { exchange: exchange.clone(), ..notice.clone() });
    }

    /// Does what `set [SECTION] OPTION = VALUE in FILE, then …` says, and restarts the service. In a file of oslo.config,
    /// the later value counts.
    pub(crate) fn set(&mut self, command: &str) {
        let (section, rest) = command.strip_prefix("set [").unwrap().split_once("] ").unwrap();
        let (line, rest) = rest.split_once(" in ").unwrap();
        let named = PathBuf::from(rest.split(',').next().unwrap());
        assert!(named.starts_with(Path::new("/etc").join(named.file_stem().unwrap())), "{command}");
        assert_eq!(named.file_name(), self.file.file_name(), "{command}");
        let mut text = std::fs::read_to_string(&self.file).unwrap();
        writeln!(text, "[{section}]\n{line}").unwrap();
        std::fs::write(&self.file, text).unwrap();
        self.publisher = None;
    }
}

/// Makes a user of the management API that sees these virtual hosts only, and returns its login and the API's address.
pub(crate) fn monitor(vhosts: &[&Vhost]) -> String {
    let (_, port) = node();
    let user = format!("{}-monitor", vhosts[0].name());
    vhosts.iter().for_each(|vhost| vhost.set_password(&user, "M0N1TOR"));
    vhosts[0].set_tag(&user, "monitoring");
    format!("{user}:M0N1TOR@127.0.0.1:{port}")
}

pub(crate) fn words(command: &str) -> Vec<String> {
    let script = format!("set -- {command}\nprintf '%s\\n' \"$@\"");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Returns the options with the change that the words name: `OPTION = VALUE in [listener:l]` or `remove OPTION from
/// [listener:l]`.
pub(super) fn edited(options: &str, command: &str) -> Option<String> {
    let (option, line) = match command.strip_prefix("remove ") {
        Some(rest) => (rest.split_once(" from [listener:l]")?.0, None),
        None => {
            let line = command.split_once(" in [listener:l]")?.0;
            (line.split_once(" = ")?.0, Some(line))
        }
    };
    if option.contains(' ') {
        return None;
    }
    let others = options.lines().filter(|line| line.split(" = ").next() != Some(option));
    Some(others.chain(line).collect::<Vec<_>>().join("\n"))
}
