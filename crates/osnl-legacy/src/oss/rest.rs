//! The action `oss_rest`: posts a node detail for each allocation and release, as the REST plug-in
//! of the OSS Framework does.
//!
//! The meaning of an event is noted on arrival ([the crate](crate)); missing details may be asked
//! for before the first attempt. A delivery is one request for each changed address, in order; a
//! floating IP that moves is a release and an allocation. After a failure the next attempt
//! continues with the failed request: earlier answers are stored with the delivery.
//!
//! | | |
//! | --- | --- |
//! | request | `POST` to `url_creation` or `url_deletion`, basic authentication |
//! | `Content-Type` | `application/json`, or `application/xml` |
//! | `Idempotency-Key` | the delivery's key, with `/2`, `/3` … for further requests |
//! | answer | 2xx is success; 303 is final; other statuses as for every action |

mod conf;

use std::fmt;

use osnl_config::written_secrets;
use osnl_model::Scrubber;
use osnl_net::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use osnl_net::http::{Client, HttpError, HttpOptions, Method, Request, StatusCode, Url};
use osnl_transport::BoxFuture;

pub(crate) use self::conf::OssRestConf;
pub(super) use self::conf::{AskOptions, NodeOptions, event_types, form};
use super::{BodyForm, EventReport, Lists, NodeForm, Occurrence, PluginInvocation};
use osnl_action::http_request::{Authorization as _, FixedHeader, key_value};
use osnl_action::{Action, ActionError, Completion, ErrorClass, Event};

#[derive(Clone, Debug)]
pub struct OssRestOptions {
    pub creation: Url,
    pub deletion: Url,
    pub login: Option<FixedHeader>,
    pub lists: Lists,
    pub form: NodeForm,
    pub body: BodyForm,
    pub idempotency: Option<HeaderName>,
}

#[derive(Clone)]
pub struct OssRest {
    options: OssRestOptions,
    to_creation: Client,
    to_deletion: Client,
}

impl OssRest {
    pub fn new(options: OssRestOptions, http: &HttpOptions) -> Result<Self, HttpError> {
        let to_creation = Client::to(http, &options.creation)?;
        let same = options.creation.is_same_place(&options.deletion);
        let to_deletion = if same { to_creation.clone() } else { Client::to(http, &options.deletion)? };
        Ok(Self { options, to_creation, to_deletion })
    }

    async fn send(&self, event: &Event) -> Result<Completion, ActionError> {
        let calls = match EventReport::from_event(event, &self.options.lists) {
            EventReport::Calls(calls) => calls,
            EventReport::Nothing(why) => return Ok(Completion::NothingToDo(why)),
        };
        let key = event.idempotency_key();
        let mut done = Vec::new();
        for (n, call) in (1_usize..).zip(calls).skip(event.done()) {
            let key = if n == 1 { key.clone() } else { format!("{key}/{n}") };
            done.push(self.post(call, &key).await?);
            event.one_is_done();
        }
        Ok(Completion::Delivered(done.join("; ")))
    }

    async fn post(
        &self,
        PluginInvocation { happened, created }: PluginInvocation,
        key: &str,
    ) -> Result<String, ActionError> {
        let request = self.options.request(&happened, created, Some(key))?;
        let client = if created { &self.to_creation } else { &self.to_deletion };
        let shown = format!("POST {} {}", shown(&request.url), about(&happened));
        let answer = client.send(request).await.map_err(ActionError::from)?;
        if !answer.status.is_success() {
            let failure = answer.failure(&self.options.secrets());
            // The target may have done what was asked, and shows the result elsewhere.
            if answer.status == StatusCode::SEE_OTHER {
                let reason = format!("status 303, {}", failure.reason);
                return Err(ActionError::new(ErrorClass::Rejected, reason));
            }
            return Err(failure.into());
        }
        Ok(format!("{shown}: {}", answer.status.as_u16()))
    }
}

impl OssRestOptions {
    /// Returns what an answer may repeat and nobody may read: the login, and the parameters of both URLs.
    fn secrets(&self) -> Scrubber {
        let [creation, deletion] =
            [&self.creation, &self.deletion].map(|url| written_secrets::parameters(&url.to_string()));
        let of_urls = Scrubber::new(creation.iter().chain(&deletion).map(String::as_str));
        self.login.as_ref().map(FixedHeader::secrets).unwrap_or_default().and(&of_urls)
    }

    fn request(
        &self,
        happened: &Occurrence,
        created: bool,
        key: Option<&str>,
    ) -> Result<Request, ActionError> {
        let unusable = |error: &dyn fmt::Display| ActionError::new(ErrorClass::Content, error.to_string());
        let url = if created { &self.creation } else { &self.deletion };
        let mut request = Request::new(Method::POST, url.clone());
        let node_detail = self.form.node_detail(happened);
        request.body = self.body.text(&node_detail).map_err(|error| unusable(&error))?.into();
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.body.content_type()));
        if let Some(login) = &self.login {
            let (name, value) = login.value();
            request.headers.insert(name, value);
        }
        if let (Some(name), Some(key)) = (&self.idempotency, key) {
            request.headers.insert(name.clone(), key_value(key));
        }
        Ok(request)
    }
}

fn shown(url: &Url) -> String {
    written_secrets::masked_url(&url.to_string())
}

fn about(happened: &Occurrence) -> String {
    let or_null = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
    format!("IP={} instance={}", or_null(&happened.ip), or_null(&happened.instance.id))
}

impl Action for OssRest {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(async move {
            let mut verdicts = Vec::with_capacity(events.len());
            for event in events {
                verdicts.push(self.send(event).await);
            }
            verdicts
        })
    }

    fn target(&self) -> String {
        shown(&self.options.creation)
    }

    fn certificate_ends(&self) -> Option<i64> {
        let ends = [&self.to_creation, &self.to_deletion].map(Client::certificate_ends);
        ends.into_iter().flatten().min()
    }
}

impl fmt::Debug for OssRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OssRest").field("options", &self.options).finish_non_exhaustive()
    }
}
