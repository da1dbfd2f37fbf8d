use osnl_transport::{Remedy, TransportError, answer_remedy, escaped, shell_quoted as quoted};

fn permissions(user: &str, virtual_host: &str, exchanges: &[&str]) -> String {
    let names: Vec<String> = exchanges.iter().map(|name| escaped(name)).collect();
    let read = format!("^(amq\\.gen-.*|{})$", names.join("|"));
    format!(
        "rabbitmqctl set_permissions -p {} {} '^amq\\.gen-.*' '^(amq\\.gen-.*|amq\\.default)$' {}  \
         # overwrites its permissions; see them first: rabbitmqctl list_user_permissions {}",
        quoted(virtual_host),
        quoted(user),
        quoted(&read),
        quoted(user)
    )
}

pub(super) fn remedy(
    error: &TransportError,
    (user, virtual_host): (&str, &str),
    exchanges: &[&str],
) -> Option<Remedy> {
    // Before it listens, a tap uses only its own queue.
    error.remedy(virtual_host, |virtual_host| permissions(user, virtual_host, exchanges))
}

/// Returns the remedy for a refused exchange, by the broker's words.
pub(super) fn exchange_remedy(
    reason: &str,
    (user, virtual_host): (&str, &str),
    exchanges: &[&str],
) -> Option<Remedy> {
    answer_remedy(reason, virtual_host, |virtual_host| permissions(user, virtual_host, exchanges))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_tap_has_its_command() {
        assert_eq!(
            permissions("o'tap", "/", &["nova", "my.exchange"]),
            "rabbitmqctl set_permissions -p / 'o'\\''tap' '^amq\\.gen-.*' '^(amq\\.gen-.*|amq\\.default)$' \
             '^(amq\\.gen-.*|nova|my\\.exchange)$'  # overwrites its permissions; see them first: rabbitmqctl list_user_permissions 'o'\\''tap'"
        );
        let error = TransportError::Refused {
            what: String::new(),
            reason: "403 ACCESS_REFUSED - access to queue 'q' in vhost '/v' refused for user 'tap'"
                .to_owned(),
            code: Some(403),
        };
        let found = remedy(&error, ("tap", "/v"), &["nova"]).unwrap();
        assert!(found.starts_with("rabbitmqctl set_permissions -p /v tap '^amq\\.gen-.*' "), "{found}");
        let words = "403 ACCESS_REFUSED - access to exchange 'nova' in vhost '/v' refused for user 'tap'";
        assert_eq!(exchange_remedy(words, ("tap", "/v"), &["nova"]), Some(found));
        let words = "403 ACCESS_REFUSED - access to topic 'notifications.*' in exchange 'nova' in vhost '/v' refused for user 'tap'";
        let found = exchange_remedy(words, ("tap", "/v"), &["nova"]).unwrap();
        assert!(found.contains("list_topic_permissions -p /v"), "{found}");
    }
}
