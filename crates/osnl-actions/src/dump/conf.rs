use std::path::PathBuf;
use std::sync::Arc;

use osnl_action::Action;
use osnl_action::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, DriverTable, Preview, Probe, ProbeContext,
    ReadDriver, SectionReader, SentLogin, Traits,
};
use osnl_config::{Options, options};
use osnl_transport::BoxFuture;

use super::{STDOUT, ToStdout};
use crate::file::{FileAction, file_probe};

options! {
    #[derive(Clone, Debug)]
    pub struct DumpConf {
        path: Option<PathBuf>, otherwise("write the path of a file, or remove the line to write to stdout") => "File to which a JSON line is appended for each event, with secrets masked. Without it: standard output.";
    }
}

impl DumpConf {
    fn to(&self) -> String {
        self.path.as_ref().map_or(STDOUT.to_owned(), |path| path.display().to_string())
    }
}

impl ReadDriver for DumpConf {
    /// Lines are written one by one; a file that cannot be written is retried without end.
    const TABLE: DriverTable = DriverTable::new("dump", &[Self::OPTIONS]).with_defaults(&[
        ("concurrency", "1"),
        ("timeout", "60s"),
        ("max_attempts", "1"),
    ]);

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        Options::read(reader)
    }
}

impl DriverConf for DumpConf {
    fn action(&self, _: &BuildContext<'_>) -> Result<Arc<dyn Action>, DriverError> {
        Ok(match &self.path {
            Some(path) => Arc::new(FileAction::for_dump(path)),
            None => Arc::new(ToStdout),
        })
    }

    fn does(&self) -> String {
        format!("writes each event to {}, one line of JSON each", self.to())
    }

    fn logins(&self) -> Vec<SentLogin> {
        Vec::new()
    }

    fn traits(&self) -> Traits<'_> {
        Traits { refuser: None, ..Traits::default() }
    }

    fn preview(&self, wanted: &CallRequest<'_>) -> Preview {
        Preview::line(self.to(), wanted)
    }

    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        let probe = match &self.path {
            None => Probe::new(context.section, "standard output").fine("is always there"),
            Some(path) => file_probe(context.section, path, true),
        };
        Box::pin(std::future::ready(vec![probe]))
    }
}
