use std::path::PathBuf;
use std::time::Duration;

use osnl_config::template::Template;
use osnl_config::{Bytes, Options as _, Rate, ReadBySection, options};
use osnl_net::http::AllowedHost;
use osnl_net::http::header::{HeaderName, HeaderValue};

use super::login::{Auth, signer};
use super::{EventMode, allow_hosts, content_type, header_name, reply_status, template_or};
use crate::driver::{DriverTable, OptionDef, TlsConf};
use crate::http_request::body::BodyFormat;
use crate::http_request::cloud_event::{SOURCE, SUBJECT, TYPE};
use crate::http_request::reply::ReplyStatus;
use crate::http_request::sign::Signer;
use crate::statuses::Statuses;

pub(super) const TABLE: DriverTable =
    DriverTable { keyed: KEYED, ..DriverTable::new("http", &[HttpOptions::OPTIONS, TlsConf::OPTIONS]) };

const KEYED: &[OptionDef] = &[
    OptionDef::new("query.", "template", "Query parameter of url; the value is encoded.").secret_by_key(),
    OptionDef::new(
        "header.",
        "template",
        "Header of the request. If its name says that it is a secret (Authorization, X-Api-Key), the value is \
         never shown; the same holds for query. and field.",
    )
    .secret_by_key(),
    OptionDef::new("field.", "template", "A parameter of a body with format = form; the value is encoded.")
        .secret_by_key(),
    OptionDef::new(
        "secret.",
        "text",
        "A value that templates name as secret.KEY and that is shown nowhere: the token in a chat's URL, an API key.",
    )
    .secret(),
];

options! {
    /// The options of `driver = http`.
    pub(crate) struct HttpOptions {
        url: ReadBySection, written("template") => "URL of the request. Must be set. After a fixed host, values of the event are percent-encoded. A host from the event must be a public one (see allow_hosts). With auth = keystone it may name a service instead of a host: catalog:dns/v2/zones.";
        method: ReadBySection = "POST", written("template") => "Method of the request, such as POST, PUT, or DELETE.";
        body: ReadBySection, written("template") => "Body of the request. Without it, POST, PUT, and PATCH send the event as JSON, with secrets masked.";
        format: BodyFormat = "json" => "Format of the body: it decides how values are escaped, and the content type. With json the body must be valid JSON. With ndjson it is one or several JSON values, each sent as a line, and all events of a batch are one request.";
        content_type: Option<HeaderValue> as content_type, written("text") => "Content type, if it differs from that of format.";
        auth: Auth = "none" => "Login: basic by username and password, bearer by token, keystone by a token from Keystone.";
        username: ReadBySection, written("text") => "For auth = basic and keystone.";
        password: ReadBySection, written("text"), secret => "For auth = basic and keystone.";
        token: ReadBySection, written("text"), secret => "For auth = bearer.";
        cloud: ReadBySection, written("name") => "For auth = keystone: a cloud in clouds.yaml.";
        clouds_file: ReadBySection, written("path") => "Path of clouds.yaml, if it is not in a place of openstacksdk.";
        auth_url: ReadBySection, written("URL") => "For auth = keystone without cloud: the URL of Keystone.";
        user_domain_name: ReadBySection, written("name") => "Domain of the user. Without it: the domain with the id default.";
        project_name: ReadBySection, written("name") => "Project of the login.";
        project_domain_name: ReadBySection, written("name") => "Domain of the project. Without it: the domain with the id default.";
        application_credential_id: ReadBySection, written("id") => "Application credential, instead of user and password.";
        application_credential_secret: ReadBySection, written("text"), secret => "Secret of the application credential.";
        region_name: ReadBySection, written("name") => "For url = catalog:…: the region. Without it: the first one listed.";
        interface: ReadBySection, written("public, internal or admin") => "For url = catalog:…: the interface. Without it: public.";
        client_certificate: Option<PathBuf>, otherwise("write the path of a PEM file, or remove the line") => "PEM file of osnl's own certificate, for targets that require one.";
        client_key: Option<PathBuf>, otherwise("write the path of a PEM file, or remove the line") => "PEM file of the certificate's key, if it is in a file of its own.";
        signing_secret: Option<Signer> as signer, written("list"), secret => "Secrets to sign requests with, as in Standard Webhooks: whsec_ and base64. Several secrets make several signatures.";
        idempotency_header: Option<HeaderName> as header_name = "Idempotency-Key", written("header") => "Header with the idempotency key, which is the same in all attempts of one delivery; empty for none.";
        cloudevents: EventMode = "off" => "binary, structured: the event is sent as a CloudEvent, with the body or the payload as its data.";
        cloudevents_source: Template as template_or = SOURCE, written("template") => "Source of the CloudEvent.";
        cloudevents_type: Template as template_or = TYPE, written("template") => "Type of the CloudEvent.";
        cloudevents_subject: Template as template_or = SUBJECT, written("template") => "Subject of the CloudEvent; empty for none.";
        success: Statuses = "2xx" => "Statuses that mean success. Without it: 2xx, except what retry and final have.";
        retry: Statuses = "408, 425, 429, 5xx" => "Statuses that ask for a later attempt. The delivery is retried without counting the attempt; Retry-After is obeyed.";
        r#final: Statuses = "" => "Statuses that are final, besides 303: a dead letter without a retry. Statuses in none of the three lists are tried max_attempts times.";
        reply_status: Option<ReplyStatus> as reply_status, written("expression") => "Status of an event by a successful reply, named reply: JSON, a list of JSON lines, text, or null; success, retry, and final judge it. For several events a list. An entry is a number, or an object with status and error.";
        redirects: u32 = "0", within("0", "20") => "Most redirects to follow: 307 and 308, and for GET and HEAD 301 to 303; never from https to http; to another host without credentials, and only if it is allowed.";
        reply_limit: Bytes = "64KiB", within("0", "16MiB") => "Most bytes of an answer to read. A longer answer closes the connection; its status counts.";
        idle: Duration = "4s" => "Time for which an idle connection is kept for the next request, at most 30s; 0 for none.";
        allow_hosts: Vec<AllowedHost> as allow_hosts, written("list") => "Names, *.NAME, addresses, and networks that a host from an event or a redirect may be, besides public ones.";
        host_concurrency: Option<usize>, within("1", "1000") => "If the host of url comes from the event: most calls of one host at the same time. Without it: concurrency.";
        host_rate: Option<Rate> => "If the host of url comes from the event: most calls of one host within a time, such as 10 per 1m.";
        allow_private: bool = "false" => "true: a host from an event may be in a private network; never this machine, its links, or a cloud's metadata service.";
    }
}
