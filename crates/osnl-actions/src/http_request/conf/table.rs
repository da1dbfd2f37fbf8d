//! The options of `driver = http`.

use crate::driver::{CA_FILE, DriverOption, DriverTable, VERIFY};

pub(super) const TABLE: DriverTable = DriverTable { keyed: KEYED, ..DriverTable::new("http", OPTIONS) };

/// The extension attributes, an option of every driver that makes CloudEvents.
pub(crate) const EXTENSION: DriverOption = DriverOption::new(
    "extension.",
    "template",
    "A further attribute of a CloudEvent: lower-case letters and digits, as extension.servername; empty for none.",
);

const KEYED: &[DriverOption] = &[
    DriverOption::new("query.", "template", "A parameter behind url; the value is encoded.").secret_by_key(),
    DriverOption::new(
        "header.",
        "template",
        "A header of the request. One whose name says that it is a secret (Authorization, X-Api-Key) is shown nowhere; so it is \
         with query. and field.",
    )
    .secret_by_key(),
    EXTENSION,
    DriverOption::new("field.", "template", "A parameter of a body with format = form; the value is encoded.")
        .secret_by_key(),
    DriverOption::new(
        "secret.",
        "text",
        "A value that templates name as secret.KEY and that is shown nowhere: the token in a chat's URL, an API key.",
    )
    .secret(),
];

const OPTIONS: &[DriverOption] = &[
    DriverOption::new(
        "url",
        "template",
        "Where the request goes. Must be set. Behind a host that is written out, values of the event are percent-encoded; a \
         host that comes out of the event may be none of this site (allow_hosts). With auth = keystone it may name a service \
         instead of a host: catalog:dns/v2/zones.",
    ),
    DriverOption::new("method", "template", "The request's method, as POST, PUT or DELETE.").or("POST"),
    DriverOption::new(
        "body",
        "template",
        "What is sent. Without it POST, PUT and PATCH send the event as JSON, secrets masked.",
    ),
    DriverOption::new(
        "format",
        "json, xml, form or text",
        "What the body is: how values are escaped in it, and its content type. With json it must be JSON.",
    )
    .or("json"),
    DriverOption::new("content_type", "text", "Another content type than the format's."),
    DriverOption::new(
        "auth",
        "none, basic, bearer or keystone",
        "How to log in: by username and password, by token, or by a token that Keystone gives.",
    )
    .or("none"),
    DriverOption::new("username", "text", "For auth = basic and keystone."),
    DriverOption::new("password", "text", "For auth = basic and keystone.").secret(),
    DriverOption::new("token", "text", "For auth = bearer.").secret(),
    DriverOption::new("cloud", "name", "For auth = keystone: a cloud of clouds.yaml."),
    DriverOption::new("clouds_file", "path", "The clouds.yaml, if it is not where openstacksdk looks."),
    DriverOption::new("auth_url", "URL", "For auth = keystone, without cloud: Keystone."),
    DriverOption::new("user_domain_name", "name", "The user's domain; without it the one whose id is default."),
    DriverOption::new("project_name", "name", "For which project."),
    DriverOption::new("project_domain_name", "name", "The project's domain; without it the one whose id is default."),
    DriverOption::new("application_credential_id", "id", "An application credential instead of user and password."),
    DriverOption::new("application_credential_secret", "text", "Its secret.").secret(),
    DriverOption::new("region_name", "name", "For url = catalog:…: the region whose URL counts; without it the first that is listed."),
    DriverOption::new("interface", "public, internal or admin", "For url = catalog:…: which of its URLs; without it public."),
    DriverOption::new("client_certificate", "path", "A PEM file of our own certificate, for targets that ask for one."),
    DriverOption::new("client_key", "path", "A PEM file of its key, if that stands in a file of its own."),
    VERIFY,
    CA_FILE,
    DriverOption::new(
        "signing_secret",
        "list",
        "Signs requests as Standard Webhooks have it: whsec_ and base64; with several, a signature of each.",
    )
    .secret(),
    DriverOption::new(
        "idempotency_header",
        "header",
        "The header with what is the same in all attempts of one delivery; empty for none.",
    )
    .or("Idempotency-Key"),
    DriverOption::new(
        "cloudevents",
        "off, binary or structured",
        "Sends the event as a CloudEvent, with the body or the payload as its data.",
    )
    .or("off"),
    DriverOption::new("cloudevents_source", "template", "Its source.")
        .or(super::SOURCE),
    DriverOption::new("cloudevents_type", "template", "Its type.").or(super::TYPE),
    DriverOption::new("cloudevents_subject", "template", "Its subject; empty for none.").or(super::SUBJECT),
    DriverOption::new("success", "statuses", "Answers that say that it is done.").or("200-299"),
    DriverOption::new("retry", "statuses", "Answers that say later: tried until the target can; Retry-After is obeyed.")
        .or("408, 425, 429, 500-599"),
    DriverOption::new(
        "final",
        "statuses",
        "Answers that say never: a dead letter at once. Any other answer is tried max_attempts times.",
    )
    .or(""),
    DriverOption::new(
        "redirects",
        "number",
        "How many redirects are followed: never from https to http, elsewhere without credentials and only to what may be \
         called.",
    )
    .or("0"),
    DriverOption::new(
        "reply_limit",
        "size",
        "How much of a reply is read. The status counts; what is beyond it closes the connection.",
    )
    .or("64KiB"),
    DriverOption::new("idle", "duration", "How long a connection is kept for the next request; 0 for none.").or("4s"),
    DriverOption::new(
        "allow_hosts",
        "list",
        "Names, *.NAME, addresses and networks that an event or a redirect may lead to although they are none of the \
         Internet.",
    ),
    DriverOption::new(
        "host_concurrency",
        "number, 1 to 1000",
        "Where the host of url comes out of the event: the most calls of one host at once. Without it, concurrency.",
    ),
    DriverOption::new(
        "host_rate",
        "rate",
        "Where the host of url comes out of the event: at most so many calls of one host within a time, as 10 per 1m.",
    ),
    DriverOption::new(
        "allow_private",
        "boolean",
        "true: private networks too; never this machine, its links or a cloud's metadata.",
    )
    .or("false"),
];
