use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt as _;
use osnl_action::Action;
use osnl_action::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, DriverTable, OptionDef, Preview, Probe, ProbeContext,
    ReadDriver, Retries, SectionReader, SentLogin, TlsConf, Traits, login_at, target_probe,
};
use osnl_action::statuses::Statuses;
use osnl_config::OptionValue;
use osnl_config::{Options as _, options};
use osnl_core::misfit::Misfit;
use osnl_net::http::Client;
use osnl_net::http::Url as ApiUrl;
use osnl_transport::BoxFuture;

use super::{K2hr3Register, asked_for, request_url, token};
use crate::k2hr3::{Unusable, api_url};

options! {
    pub(crate) struct RegisterOptions {
        api_url: ApiUrl as register_url, written("URL") => "K2HR3's role API, https://host/v1/role. Must be set.";
        role: String as role, written("name") => "Role to which hosts are added. Must be set.";
        token_file: PathBuf, needed("write the path of a file that holds U=TOKEN") => "File that contains U= and the scoped token of a user of the role's tenant. It is read for each attempt. Must be set.";
    }
}

#[derive(Clone, Debug)]
pub struct K2hr3RegisterConf {
    pub(super) api_url: ApiUrl,
    pub(super) role: String,
    pub(super) token_file: PathBuf,
    pub(super) tls: TlsConf,
}

impl ReadDriver for K2hr3RegisterConf {
    const TABLE: DriverTable =
        DriverTable::new("k2hr3_register", &[RegisterOptions::OPTIONS, TlsConf::OPTIONS]);

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let own = RegisterOptions::read(reader);
        if let Some(path) = PathBuf::valid(reader, "token_file") {
            reader.warn_of_open("token_file", &path, "a token");
        }
        let tls = TlsConf::checked(reader, true);
        let RegisterOptions { api_url, role, token_file } = own?;
        Some(Self { api_url, role, token_file, tls: tls? })
    }
}

fn register_url(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<ApiUrl> {
    match api_url(reader, option)? {
        url if url.has_query() => reader.refuse(option.name, "has a query", "write https://host/v1/role"),
        url => Some(url),
    }
}

fn role(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<String> {
    let role = reader.required(option.name, "write the name of a role")?;
    match role.is_empty() || role.contains(|c: char| c.is_control() || c.is_whitespace() || c == '/') {
        true => {
            let allowed = "write a name without spaces and slashes";
            reader.refuse(option.name, "is not the name of a role", allowed)
        }
        false => Some(role),
    }
}

impl DriverConf for K2hr3RegisterConf {
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, DriverError> {
        let client = Client::to(&self.tls.http(context.http), &self.api_url)
            .map_err(|error| DriverError::Http { action: context.name.clone(), error })?;
        let (api_url, role, token_file) = (self.api_url.clone(), self.role.clone(), self.token_file.clone());
        Ok(Arc::new(K2hr3Register { client, api_url, role, token_file }))
    }

    fn does(&self) -> String {
        format!("PUT {}/{}, for the addresses of a port or an instance", self.api_url, self.role)
    }

    fn logins(&self) -> Vec<SentLogin> {
        vec![login_at("api_url", &self.api_url)]
    }

    fn urls(&self) -> Vec<(&'static str, &ApiUrl)> {
        vec![("api_url", &self.api_url)]
    }

    fn explain(&self) -> Vec<(&'static str, String)> {
        vec![
            ("token", format!("{}, read for each attempt", self.token_file.display())),
            ("IPv6", "only addresses whose last group is one digit; K2HR3 reads others as names".to_owned()),
        ]
    }

    fn retries(&self, _refuser: &str) -> Retries {
        Retries::over_http(&Statuses::usual())
    }

    fn traits(&self) -> Traits<'_> {
        Traits { refuser: Some("K2HR3"), takes_enrichments: false, ..Traits::default() }
    }

    fn preview(&self, wanted: &CallRequest<'_>) -> Preview {
        match asked_for(&wanted.notification.masked()) {
            Ok(asked) => Preview::Effect {
                does: format!("registers {} in role {}", asked.addresses.join(", "), self.role),
                with: vec![
                    ("first request", {
                        let first = asked.addresses.first().map_or("", String::as_str);
                        format!("PUT {}", request_url(&self.api_url, &self.role, &asked.cuk, first))
                    }),
                    ("left out", asked.left_out.join(", ")),
                ]
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .collect(),
            },
            Err(Unusable::NothingToDo(why)) => Preview::Nothing { why },
            Err(Unusable::Unreadable(why)) => Preview::Unusable { why: Misfit::other(why) },
        }
    }

    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        async move {
            let http = self.tls.http(context.http);
            let target =
                target_probe(context.section, "api_url", &self.api_url, &http, context.deadline).await;
            let probe = Probe::new(context.section, format!("token {}", self.token_file.display()));
            let token = match token(&self.token_file) {
                Ok(token) if token.as_bytes().starts_with(b"U=") => probe.fine("exists; it was not used"),
                Ok(_) => probe.warning(
                    "is a role's",
                    "K2HR3 lets a role's token register only the host that calls; use U= and a user's",
                ),
                Err(why) => probe.failed(why, Some("write a token there, and let this user read it")),
            };
            vec![target, token]
        }
        .boxed()
    }
}
