use crate::driver::{CA_FILE, DriverTable, OptionDef, VERIFY};
use crate::http_request::cloud_event::{SOURCE, SUBJECT, TYPE};

pub(super) const TABLE: DriverTable = DriverTable { keyed: KEYED, ..DriverTable::new("http", OPTIONS) };

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

const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        "url",
        "template",
        "URL of the request. Must be set. After a fixed host, values of the event are percent-encoded. A host \
         from the event must be a public one (see allow_hosts). With auth = keystone it may name a service \
         instead of a host: catalog:dns/v2/zones.",
    ),
    OptionDef::new("method", "template", "Method of the request, such as POST, PUT, or DELETE.").or("POST"),
    OptionDef::new(
        "body",
        "template",
        "Body of the request. Without it, POST, PUT, and PATCH send the event as JSON, with secrets masked.",
    ),
    OptionDef::new(
        "format",
        "json, ndjson, xml, form or text",
        "Format of the body: it decides how values are escaped, and the content type. With json the body must be \
         valid JSON. With ndjson it is one or several JSON values, each sent as a line, and all events of a batch are one \
         request.",
    )
    .or("json"),
    OptionDef::new("content_type", "text", "Content type, if it differs from that of format."),
    OptionDef::new(
        "auth",
        "none, basic, bearer or keystone",
        "Login: basic by username and password, bearer by token, keystone by a token from Keystone.",
    )
    .or("none"),
    OptionDef::new("username", "text", "For auth = basic and keystone."),
    OptionDef::new("password", "text", "For auth = basic and keystone.").secret(),
    OptionDef::new("token", "text", "For auth = bearer.").secret(),
    OptionDef::new("cloud", "name", "For auth = keystone: a cloud in clouds.yaml."),
    OptionDef::new("clouds_file", "path", "Path of clouds.yaml, if it is not in a place of openstacksdk."),
    OptionDef::new("auth_url", "URL", "For auth = keystone without cloud: the URL of Keystone."),
    OptionDef::new("user_domain_name", "name", "Domain of the user. Without it: the domain with the id default."),
    OptionDef::new("project_name", "name", "Project of the login."),
    OptionDef::new("project_domain_name", "name", "Domain of the project. Without it: the domain with the id default."),
    OptionDef::new("application_credential_id", "id", "Application credential, instead of user and password."),
    OptionDef::new("application_credential_secret", "text", "Secret of the application credential.").secret(),
    OptionDef::new("region_name", "name", "For url = catalog:…: the region. Without it: the first one listed."),
    OptionDef::new("interface", "public, internal or admin", "For url = catalog:…: the interface. Without it: public."),
    OptionDef::new("client_certificate", "path", "PEM file of osnl's own certificate, for targets that require one."),
    OptionDef::new("client_key", "path", "PEM file of the certificate's key, if it is in a file of its own."),
    VERIFY,
    CA_FILE,
    OptionDef::new(
        "signing_secret",
        "list",
        "Secrets to sign requests with, as in Standard Webhooks: whsec_ and base64. Several secrets make several \
         signatures.",
    )
    .secret(),
    OptionDef::new(
        "idempotency_header",
        "header",
        "Header with the idempotency key, which is the same in all attempts of one delivery; empty for none.",
    )
    .or("Idempotency-Key"),
    OptionDef::new(
        "fence_header",
        "header",
        "Header with the fence, a number by which a target refuses requests that arrive late; only with a journal that \
         daemons share. Empty for none.",
    )
    .or("Osnl-Fence"),
    OptionDef::new(
        "cloudevents",
        "off, binary or structured",
        "binary, structured: the event is sent as a CloudEvent, with the body or the payload as its data.",
    )
    .or("off"),
    OptionDef::new("cloudevents_source", "template", "Source of the CloudEvent.")
        .or(SOURCE),
    OptionDef::new("cloudevents_type", "template", "Type of the CloudEvent.").or(TYPE),
    OptionDef::new("cloudevents_subject", "template", "Subject of the CloudEvent; empty for none.").or(SUBJECT),
    OptionDef::new("success", "statuses", "Statuses that mean success.").or("2xx"),
    OptionDef::new("retry", "statuses", "Statuses that ask for a later attempt. The delivery is retried without counting the attempt; Retry-After is obeyed.")
        .or("408, 425, 429, 5xx"),
    OptionDef::new(
        "final",
        "statuses",
        "Statuses that are final: a dead letter without a retry. Statuses in none of the three lists are tried \
         max_attempts times.",
    )
    .or(""),
    OptionDef::new(
        "reply_status",
        "expression",
        "Status of an event by the JSON of a successful reply, named reply; success, retry, and final judge it. For \
         several events a list. An entry is a number, or an object with status and error.",
    ),
    OptionDef::new(
        "redirects",
        "number",
        "Most redirects to follow: never from https to http; to another host without credentials, and only if it \
         is allowed.",
    )
    .or("0"),
    OptionDef::new(
        "reply_limit",
        "size",
        "Most bytes of an answer to read. A longer answer closes the connection; its status counts.",
    )
    .or("64KiB"),
    OptionDef::new("idle", "duration", "Time for which an idle connection is kept for the next request; 0 for none.").or("4s"),
    OptionDef::new(
        "allow_hosts",
        "list",
        "Names, *.NAME, addresses, and networks that a host from an event or a redirect may be, besides public ones.",
    ),
    OptionDef::new(
        "host_concurrency",
        "number, 1 to 1000",
        "If the host of url comes from the event: most calls of one host at the same time. Without it: concurrency.",
    ),
    OptionDef::new(
        "host_rate",
        "rate",
        "If the host of url comes from the event: most calls of one host within a time, such as 10 per 1m.",
    ),
    OptionDef::new(
        "allow_private",
        "boolean",
        "true: a host from an event may be in a private network; never this machine, its links, or a cloud's \
         metadata service.",
    )
    .or("false"),
];
