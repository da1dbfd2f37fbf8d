use std::path::Path;
use std::sync::Arc;

use osnl_config::sections::SectionReader;
use osnl_config::template::TemplateError;
use osnl_config::typed;
use osnl_model::{SentLogin, TransportUrl, catalogue};
use osnl_transport::{RabbitOptions, TrustWarning};

use super::compiled;
use crate::transport_url;

pub const RULE: &str = "rule";
pub const ACTION: &str = "action";
pub const ENRICH: &str = "enrich";

pub trait NativeReader<'a> {
    fn transport_url(&mut self) -> Option<TransportUrl>;

    fn warn_of_service<'b>(&mut self, exchanges: impl IntoIterator<Item = &'b str>);

    fn warn_of_logins(&mut self, logins: &[SentLogin]);

    fn warn_of_trust(&mut self, options: &RabbitOptions);

    fn enrichments(&self) -> Vec<String>;

    fn all_enrichments(&self) -> Vec<&'a str>;

    fn enrichment(&mut self, option: &str) -> Option<Option<Arc<str>>>;

    fn broker_name(&mut self, option: &str, longest: usize) -> Option<String>;

    fn check_name(&mut self, option: &str, text: &str, longest: usize) -> bool;

    /// Reads like `reader.compiled("url", |text| Template::compile(text, &["rule"]))`. `Ok(None)` if the option is
    /// not set. An error is reported at `file:line:column`.
    #[expect(clippy::result_unit_err, reason = "the error is among the findings")]
    fn compiled<T>(
        &mut self,
        option: &str,
        compile: impl FnOnce(&str) -> Result<T, TemplateError>,
    ) -> Result<Option<T>, ()>;
}

pub fn exchange_of_service<'b>(
    exchanges: impl IntoIterator<Item = &'b str>,
) -> Option<(String, &'static str)> {
    let (exchange, owner) =
        exchanges.into_iter().find_map(|name| Some((name, catalogue::owner_of_exchange(name)?)))?;
    let problem = format!(
        "exchange {exchange} belongs to {owner}: if osnl creates it first, the broker refuses a service that has \
         amqp_durable_queues or rabbit_quorum_queue otherwise"
    );
    Some((problem, "remove the line: osnl waits until the service has created it"))
}

impl<'a> NativeReader<'a> for SectionReader<'a> {
    fn transport_url(&mut self) -> Option<TransportUrl> {
        const OPTION: &str = "transport_url";
        let text = self.required(OPTION, "write rabbit://user:password@host:port/vhost")?;
        match transport_url::check(&text) {
            Ok(url) => {
                if text.contains(":***@") {
                    let problem = "the password is ***, as osnl config show hides it";
                    self.warn(OPTION, problem, "write the password, or use --show-secrets");
                }
                let named =
                    |name: &str| url.query().iter().find(|(key, _)| key == name).map(|(_, path)| path);
                let key = named("ssl_key_file").or_else(|| named("ssl_cert_file"));
                if let Some(path) = key {
                    self.warn_of_open(OPTION, Path::new(path), "a private key");
                }
                let written = self.section.entry(OPTION).filter(|entry| entry.file.is_none());
                Some(url.with_folded_dollars(written.is_some_and(|entry| entry.text.contains("$$"))))
            }
            Err(refusal) => self.refused(OPTION, refusal),
        }
    }

    fn warn_of_service<'b>(&mut self, exchanges: impl IntoIterator<Item = &'b str>) {
        if let Some((problem, allowed)) = exchange_of_service(exchanges) {
            self.warn("declare", &problem, allowed);
        }
    }

    fn warn_of_logins(&mut self, logins: &[SentLogin]) {
        for login in logins {
            if let Some((problem, remedy)) = login.finding() {
                self.warn(login.option, &problem, remedy);
            }
        }
    }

    fn warn_of_trust(&mut self, options: &RabbitOptions) {
        if let Some(TrustWarning { problem, remedy }) = options.tls().and_then(|tls| tls.warning()) {
            let option = ["tls", "ssl"].into_iter().find(|option| self.section.entry(option).is_some());
            self.warn(option.unwrap_or("transport_url"), problem, remedy);
        }
    }

    fn enrichments(&self) -> Vec<String> {
        let text = self.layers.resolve(self.section, "enrich").ok().flatten();
        text.map_or_else(Vec::new, |text| typed::list(&text))
    }

    fn all_enrichments(&self) -> Vec<&'a str> {
        let sections = self.layers.sections.iter().filter(|section| section.def.kind == ENRICH);
        sections.map(|section| section.name.as_str()).collect()
    }

    fn enrichment(&mut self, option: &str) -> Option<Option<Arc<str>>> {
        if !self.is_set(option) {
            return Some(None);
        }
        let known = self.all_enrichments();
        match &self.references(option, ENRICH, &known)?[..] {
            [name] => Some(Some(name.as_str().into())),
            _ => self.refuse(option, "names several", "name the one whose cloud is asked"),
        }
    }

    fn broker_name(&mut self, option: &str, longest: usize) -> Option<String> {
        let text = self.text(option)?;
        self.check_name(option, &text, longest).then_some(text)
    }

    fn check_name(&mut self, option: &str, text: &str, longest: usize) -> bool {
        if text.is_empty() {
            self.refuse::<()>(option, "is empty", "write a name");
        } else if text.len() > longest {
            self.refuse::<()>(option, "is too long for the broker", &format!("at most {longest} bytes"));
        } else {
            if text.contains(char::is_control) || text.trim() != text {
                let problem = "the name has spaces around it or line breaks in it, and is used as it is";
                self.warn(option, problem, "write it after the `=`, on one line");
            }
            return true;
        }
        false
    }

    fn compiled<T>(
        &mut self,
        option: &str,
        compile: impl FnOnce(&str) -> Result<T, TemplateError>,
    ) -> Result<Option<T>, ()> {
        compiled::compiled(self, option, compile)
    }
}
