//! Remedies for errors between a transport and a broker: settings to check, and commands for the owner of the broker.
//! Names are quoted for a shell, and no password is shown. Pure.

use osnl_model::{TransportHost, TransportUrl};

use super::answer::BrokerAnswer;
use crate::error::TransportError;
use crate::remedy::Remedy;
use crate::topology::{CONSUMER_DISCONNECTED_TIMEOUT, Declare, MOST_DEAD_LETTERS};

const UNRESOLVED: &str = "failed to lookup address information";

impl TransportError {
    /// Returns the remedy; `None` if the error names it or none is known. `permissions` is the command that grants the
    /// user the needed permissions in a virtual host.
    #[must_use]
    pub fn remedy(&self, virtual_host: &str, permissions: impl FnOnce(&str) -> String) -> Option<Remedy> {
        let vhost = shell_quoted(virtual_host);
        let advice = match self {
            // Some answers end the connection before the login is checked.
            Self::Connect { reason, .. } if BrokerAnswer::from_words(reason).is_some() => {
                return answer_remedy(reason, virtual_host, permissions);
            }
            Self::Connect { host, reason } if reason.contains(UNRESOLVED) => format!(
                "check the host in transport_url; to resolve it: getent hosts {}",
                shell_quoted(name(host))
            ),
            Self::Connect { host, .. } => format!(
                "check host and port in transport_url; on that host: systemctl status rabbitmq-server; \
                 ss -ltn 'sport = :{}'",
                port(host)
            ),
            Self::NotAmqp { host, .. } => format!(
                "it is not an AMQP broker, or a broker that hangs: are host and port of \
                 transport_url right (RabbitMQ's 15672 and 15692 are HTTP)? on that host: ss -ltnp \
                 'sport = :{}'; rabbitmq-diagnostics -t 10 ping",
                port(host)
            ),
            Self::LoginRefused { user, .. } => {
                let user = shell_quoted(user);
                let advice = format!(
                    "to test user and password of transport_url: rabbitmqctl authenticate_user {user}; to change them \
                     at the broker: rabbitmqctl change_password {user}; or correct them in transport_url"
                );
                return Some(Remedy::ConfigurationAdvice(advice.into()));
            }
            Self::VirtualHostRefused { virtual_host, reason, .. } => match BrokerAnswer::from_words(reason) {
                Some(answer) => return Some(answer.remedy(virtual_host, permissions)),
                None => "choose one of rabbitmqctl list_vhosts, and look at the broker's log for the reason"
                    .to_owned(),
            },
            Self::NoExchange { .. } => format!(
                "compare it with the service's control_exchange, and the virtual host with its transport_url; rabbitmqctl list_exchanges -p {vhost} \
                 name type"
            ),
            Self::NoQueue { .. } => {
                return Some(Remedy::command(format!("rabbitmqctl list_queues -p {vhost} name")));
            }
            Self::Refused { reason, .. } | Self::Lost { reason } => {
                return answer_remedy(reason, virtual_host, permissions);
            }
            Self::Tls { .. } | Self::Handshake { .. } | Self::OtherShards { .. } => {
                self.own_remedy()?.to_owned()
            }
            _ => return None,
        };
        Some(advice.into())
    }
}

#[must_use]
pub fn answer_remedy(
    words: &str,
    virtual_host: &str,
    permissions: impl FnOnce(&str) -> String,
) -> Option<Remedy> {
    Some(BrokerAnswer::from_words(words)?.remedy(virtual_host, permissions))
}

fn name(host: &str) -> &str {
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn port(host: &str) -> &str {
    host.rsplit_once(':').map_or("5672", |(_, port)| port)
}

#[must_use]
pub fn listener_permissions(
    user: &str,
    virtual_host: &str,
    (exchanges, queues): (&[&str], &[&str]),
    declare: Declare,
) -> String {
    let readable = [exchanges, queues].concat();
    let (configured, written) = match declare {
        Declare::Nothing => (Vec::new(), Vec::new()),
        Declare::Passive => (queues.to_vec(), queues.to_vec()),
        Declare::Create => (readable.clone(), queues.to_vec()),
    };
    set_permissions(user, virtual_host, [&configured, &written, &readable])
}

/// Returns the command for a sender. Its queue has the name of the routing key, as oslo.messaging declares one.
pub(super) fn sender_permissions(
    user: &str,
    virtual_host: &str,
    exchange: &str,
    routing_key: &str,
    declare: Declare,
) -> String {
    let both: &[&str] = &[exchange, routing_key];
    let needed: [&[&str]; 3] = match declare {
        Declare::Create => [both, both, &both[..1]],
        Declare::Passive | Declare::Nothing => [&[], &both[..1], &[]],
    };
    set_permissions(user, virtual_host, needed)
}

/// Returns the user for the commands that osnl prints.
#[must_use]
pub fn login_user(url: &TransportUrl) -> &str {
    url.hosts().first().map_or("guest", TransportHost::shown_user)
}

#[must_use]
pub fn set_permissions(user: &str, virtual_host: &str, [configure, write, read]: [&[&str]; 3]) -> String {
    let pattern = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| escaped(name)).collect();
        shell_quoted(&format!("^({})$", names.join("|"))).into_owned()
    };
    let (user, virtual_host) = (shell_quoted(user), shell_quoted(virtual_host));
    format!(
        "rabbitmqctl set_permissions -p {virtual_host} {user} {} {} {}  \
         # overwrites its permissions; see them first: rabbitmqctl list_user_permissions {user}",
        pattern(configure),
        pattern(write),
        pattern(read)
    )
}

/// Returns the command that makes RabbitMQ 4.3 hand a queue over after `CONSUMER_DISCONNECTED_TIMEOUT`. Only one
/// policy applies to a queue, so this policy replaces another.
#[must_use]
pub fn take_over_policy(virtual_host: &str, queue: &str) -> String {
    let definition = format!("{{\"consumer-disconnected-timeout\": {CONSUMER_DISCONNECTED_TIMEOUT}}}");
    set_policy(virtual_host, ("quorum_queues", queue), &definition)
}

/// Returns the command that bounds a dead letter queue as osnl's declaration does.
pub(super) fn dead_letters_policy(virtual_host: &str, queue: &str) -> String {
    let definition =
        format!("{{\"max-length-bytes\": {MOST_DEAD_LETTERS}, \"overflow\": \"reject-publish\"}}");
    set_policy(virtual_host, ("queues", queue), &definition)
}

/// Returns the steps that replace a dead letter queue that no policy mends, without a loss of its letters.
pub(super) fn dead_letters_anew(virtual_host: &str, queue: &str) -> String {
    format!(
        "release, retry, or discard what osnl deliveries list and osnl quarantine list show, then stop osnl, and only \
         when the queue is empty: rabbitmqctl delete_queue -p {} {}; osnl makes it anew",
        shell_quoted(virtual_host),
        shell_quoted(queue),
    )
}

fn set_policy(virtual_host: &str, (kind, queue): (&str, &str), definition: &str) -> String {
    let pattern = format!("^{}$", escaped(queue));
    format!(
        "rabbitmqctl set_policy -p {} --apply-to {kind} {} {} '{definition}'  # in place of another policy of the queue",
        shell_quoted(virtual_host),
        shell_quoted(&format!("osnl-{queue}")),
        shell_quoted(&pattern),
    )
}

#[must_use]
pub fn shell_quoted(text: &str) -> std::borrow::Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | ':' | '@' | '%');
    if !text.is_empty() && text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}

#[must_use]
pub fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            (!c.is_ascii_alphanumeric() && c != '_' && c != '-').then_some('\\').into_iter().chain([c])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_needs_an_operator_and_a_login_a_reload() {
        let refused = |code| TransportError::Refused { what: String::new(), reason: String::new(), code };
        let [host, user, reason] = ["mq1:5672", "osnl", "ACCESS_REFUSED"].map(str::to_owned);
        let login = TransportError::LoginRefused { host, user, reason };
        let lost = TransportError::Lost { reason: String::new() };
        let away = TransportError::Connect { host: String::new(), reason: String::new() };
        for (error, expected) in [
            (&login, true),
            (&refused(Some(403)), true),
            (&refused(Some(406)), true),
            (&refused(Some(404)), false),
            (&refused(None), false),
            (&lost, false),
            (&away, false),
        ] {
            assert_eq!(error.needs_operator(), expected, "{error:?}");
        }
        let remedy = |error: &TransportError| error.remedy("/", |_| String::new());
        assert!(matches!(remedy(&login), Some(Remedy::ConfigurationAdvice(_))));
        assert!(matches!(remedy(&away), Some(Remedy::Advice(_))));
    }

    #[test]
    fn each_error_that_an_operator_can_mend_has_its_remedy() {
        let permissions = |virtual_host: &str| format!("PERMISSIONS in {virtual_host}");
        let check = |error: TransportError, expected: Option<&str>| {
            assert_eq!(error.remedy("v host", permissions).as_deref(), expected, "{error}");
        };
        let host = || "mq1:5671".to_owned();
        let refused = |reason: &str| TransportError::Refused {
            what: String::new(),
            reason: reason.to_owned(),
            code: None,
        };
        check(
            TransportError::Connect { host: host(), reason: String::new() },
            Some(
                "check host and port in transport_url; on that host: systemctl status rabbitmq-server; \
                 ss -ltn 'sport = :5671'",
            ),
        );
        check(
            TransportError::Connect {
                host: host(),
                reason: format!("{UNRESOLVED}: Name or service not known"),
            },
            Some("check the host in transport_url; to resolve it: getent hosts mq1"),
        );
        check(
            TransportError::NotAmqp { host: host(), reason: String::new() },
            Some(
                "it is not an AMQP broker, or a broker that hangs: are host and port of \
                 transport_url right (RabbitMQ's 15672 and 15692 are HTTP)? on that host: ss -ltnp 'sport = :5671'; \
                 rabbitmq-diagnostics -t 10 ping",
            ),
        );
        let tls = |remedy: Option<&str>| TransportError::Tls {
            host: host(),
            reason: String::new(),
            remedy: remedy.map(str::to_owned),
        };
        check(tls(Some("renew it on the server")), Some("renew it on the server"));
        check(tls(None), None);
        check(
            TransportError::LoginRefused { host: host(), user: "a b".into(), reason: String::new() },
            Some(
                "to test user and password of transport_url: rabbitmqctl authenticate_user 'a b'; to change them at \
                 the broker: rabbitmqctl change_password 'a b'; or correct them in transport_url",
            ),
        );
        check(
            TransportError::VirtualHostRefused {
                host: host(),
                virtual_host: "/x".into(),
                reason: "530 NOT_ALLOWED - vhost /x not found".to_owned(),
            },
            Some(
                "choose one of rabbitmqctl list_vhosts, or create it: rabbitmqctl add_vhost /x; PERMISSIONS in /x",
            ),
        );
        check(
            TransportError::NoExchange { exchange: "nova".into() },
            Some(
                "compare it with the service's control_exchange, and the virtual host with its transport_url; rabbitmqctl list_exchanges -p \
                 'v host' name type",
            ),
        );
        check(
            TransportError::NoQueue { queue: "q".into() },
            Some("rabbitmqctl list_queues -p 'v host' name"),
        );
        let denied =
            refused("403 ACCESS_REFUSED - access to queue 'q' in vhost 'v host' refused for user 'o'");
        assert_eq!(
            denied.remedy("v host", permissions),
            Some(Remedy::command("PERMISSIONS in v host")),
            "a line for a shell"
        );
        check(refused("403 ACCESS_REFUSED"), None);
        check(
            TransportError::Handshake { host: host(), reason: String::new(), remedy: "write X".into() },
            Some("write X"),
        );
        check(TransportError::Lost { reason: String::new() }, None);
    }

    #[test]
    fn a_sender_needs_to_write_and_what_it_declares() {
        for (declare, expected) in [
            (Declare::Passive, "'^()$' '^(nova)$' '^()$'"),
            (Declare::Create, "'^(nova|n\\.info)$' '^(nova|n\\.info)$' '^(nova)$'"),
        ] {
            let command = sender_permissions("o", "/", "nova", "n.info", declare);
            let begin = format!("rabbitmqctl set_permissions -p / o {expected}  # overwrites");
            assert!(command.starts_with(&begin), "{command}");
        }
    }

    #[test]
    fn a_listener_needs_what_it_declares() {
        for (declare, expected) in [
            (Declare::Nothing, "'^()$' '^()$' '^(nova|q)$'"),
            (Declare::Passive, "'^(q)$' '^(q)$' '^(nova|q)$'"),
            (Declare::Create, "'^(nova|q)$' '^(q)$' '^(nova|q)$'"),
        ] {
            let command = listener_permissions("o", "/", (&["nova"], &["q"]), declare);
            let begin = format!("rabbitmqctl set_permissions -p / o {expected}  # overwrites");
            assert!(command.starts_with(&begin), "{command}");
        }
    }
}
