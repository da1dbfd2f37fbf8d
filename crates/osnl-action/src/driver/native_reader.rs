use osnl_config::sections::SectionReader;
use osnl_config::template::TemplateError;
use osnl_model::SentLogin;

use super::{compiled, sections};

/// The facts of a section of osnl's own configuration beyond the options of one value.
pub trait NativeReader<'a> {
    /// Warns of each login that a network could read.
    fn warn_of_logins(&mut self, logins: &[SentLogin]);

    /// Returns the enrichments that the section asks for.
    fn enrichments(&self) -> Vec<String>;

    /// Returns the names of all `[enrich:NAME]`.
    fn all_enrichments(&self) -> Vec<&'a str>;

    /// Reads like `reader.compiled("url", |text| Template::compile(text, &["rule"]))`. `Ok(None)` if the option is
    /// not set. An error is reported at `file:line:column`.
    #[expect(clippy::result_unit_err, reason = "the error is among the findings")]
    fn compiled<T>(
        &mut self,
        option: &str,
        compile: impl FnOnce(&str) -> Result<T, TemplateError>,
    ) -> Result<Option<T>, ()>;
}

impl<'a> NativeReader<'a> for SectionReader<'a> {
    fn warn_of_logins(&mut self, logins: &[SentLogin]) {
        for login in logins {
            if let Some((problem, remedy)) = login.finding() {
                self.warn(login.option, &problem, remedy);
            }
        }
    }

    fn enrichments(&self) -> Vec<String> {
        sections::enrichments(self)
    }

    fn all_enrichments(&self) -> Vec<&'a str> {
        sections::all_enrichments(self)
    }

    fn compiled<T>(
        &mut self,
        option: &str,
        compile: impl FnOnce(&str) -> Result<T, TemplateError>,
    ) -> Result<Option<T>, ()> {
        compiled::compiled(self, option, compile)
    }
}
