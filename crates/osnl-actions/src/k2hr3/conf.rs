use std::sync::Arc;

use futures_util::FutureExt as _;
use osnl_action::Action;
use osnl_action::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, DriverTable, OptionDef, Preview, Probe, ProbeContext,
    ReadDriver, Retries, SectionReader, SentLogin, TlsConf, Traits, target_probe,
};
use osnl_action::statuses::Statuses;
use osnl_config::OptionValue;
use osnl_config::{Options as _, options, words, written_secrets};
use osnl_core::misfit::Misfit;
use osnl_net::http::Url as ApiUrl;
use osnl_transport::BoxFuture;

use super::{DELETIONS, K2hr3, K2hr3Events, NoAddresses, Unusable, asked_for, request_url, shown};

options! {
    pub(crate) struct K2hr3Options {
        api_url: ApiUrl as api_url, written("URL") => "K2HR3's role API, https://host/v1/role. Must be set.";
        events: K2hr3Events = "deletions" => "Events whose host K2HR3 forgets. deletions: port.delete.end, instance.delete.end, compute.instance.delete.end; nothing is done for others. all: each event that a rule lets through, as k2hr3_osnl does it.";
        no_addresses: NoAddresses = "skip" => "Effect of a deleted port without addresses. skip: nothing. all: K2HR3 deletes every address of the instance.";
    }
}

words!(K2hr3Events: "deletions" => Self::Deletions, "all" => Self::All);
words!(NoAddresses: "skip" => Self::Skip, "all" => Self::All);

pub(crate) fn api_url(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<ApiUrl> {
    let text = reader.required(option.name, "write the URL of your role API, https://host/v1/role")?;
    ApiUrl::parse(&text).map_or_else(|e| reader.refuse(option.name, e.problem, e.allowed), Some)
}

#[derive(Clone, Debug)]
pub struct K2hr3Conf {
    pub api_url: ApiUrl,
    pub events: K2hr3Events,
    pub no_addresses: NoAddresses,
    pub tls: TlsConf,
}

impl ReadDriver for K2hr3Conf {
    const TABLE: DriverTable = DriverTable::new("k2hr3", &[K2hr3Options::OPTIONS, TlsConf::OPTIONS]);

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let own = K2hr3Options::read(reader);
        let tls = TlsConf::checked(reader, true);
        if OptionValue::valid(reader, "no_addresses") == Some(NoAddresses::All) {
            let problem =
                "a deleted port without addresses asks K2HR3 to forget every address of its instance";
            reader.warn("no_addresses", problem, "skip is the safe choice");
        }
        let K2hr3Options { api_url, events, no_addresses } = own?;
        Some(Self { api_url, events, no_addresses, tls: tls? })
    }
}

impl DriverConf for K2hr3Conf {
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, DriverError> {
        let error = |error| DriverError::Http { action: context.name.clone(), error };
        let action = K2hr3::new(self.api_url.clone(), &self.tls.http(context.http)).map_err(error)?;
        Ok(Arc::new(action.with_events(self.events).with_no_addresses(self.no_addresses)))
    }

    fn does(&self) -> String {
        let on = match self.events {
            K2hr3Events::Deletions => "on the deletion of a port or an instance",
            K2hr3Events::All => "on each event that its rules let through",
        };
        format!("DELETE {}, {on}", shown(&self.api_url))
    }

    fn logins(&self) -> Vec<SentLogin> {
        Vec::new()
    }

    fn urls(&self) -> Vec<(&'static str, &ApiUrl)> {
        vec![("api_url", &self.api_url)]
    }

    fn explain(&self) -> Vec<(&'static str, String)> {
        let what = match self.no_addresses {
            NoAddresses::Skip => "a deleted port without addresses is skipped",
            NoAddresses::All => "a deleted port without addresses deletes every address of its instance",
        };
        let events = match self.events {
            K2hr3Events::Deletions => format!("{}; for other events nothing is called", DELETIONS.join(", ")),
            K2hr3Events::All => "all, also those that are not deletions (events = all)".to_owned(),
        };
        vec![("events", events), ("ports", what.to_owned())]
    }

    fn retries(&self, _refuser: &str) -> Retries {
        Retries::over_http(&Statuses::usual())
    }

    fn traits(&self) -> Traits<'_> {
        Traits { refuser: Some("K2HR3"), destroys: true, takes_enrichments: false, ..Traits::default() }
    }

    fn preview(&self, wanted: &CallRequest<'_>) -> Preview {
        if let Some(why) = self.events.refuses(wanted.notification) {
            return Preview::Nothing { why };
        }
        match asked_for(&wanted.notification.masked().payload, self.no_addresses) {
            Ok(parameters) => Preview::Request {
                method: "DELETE".to_owned(),
                url: written_secrets::masked_url(&request_url(&self.api_url, &parameters)),
                headers: Vec::new(),
                body: None,
            },
            Err(Unusable::NothingToDo(why)) => Preview::Nothing { why },
            Err(Unusable::Unreadable(why)) => Preview::Unusable { why: Misfit::other(why) },
        }
    }

    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        async move {
            let http = self.tls.http(context.http);
            vec![target_probe(context.section, "api_url", &self.api_url, &http, context.deadline).await]
        }
        .boxed()
    }
}
