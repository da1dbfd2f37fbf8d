//! The remedies for findings: a command for each case, without I/O.
//!
//! Commands are for the owner of the broker (`rabbitmqctl`) or of a service's configuration
//! (`crudini`). The program runs none, and none holds a password. Names are quoted for a shell.

use osnl_transport::{TransportError, escaped, shell_quoted as quoted};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LikelyCause {
    pub(super) what: &'static str,
    pub(super) command: String,
}

pub(super) fn likely(exchanges: &[&str], virtual_host: &str) -> Vec<LikelyCause> {
    // Without another exchange of a service, nova is the example.
    let service = exchanges.iter().find(|name| **name != "openstack").copied().unwrap_or("nova");
    let file = file_of(service);
    let vhost = quoted(virtual_host);
    let cause = |what, command| LikelyCause { what, command };
    vec![
        cause(
            "nothing is sent: the driver of [oslo_messaging_notifications] is empty by default",
            format!(
                "crudini --set {file} oslo_messaging_notifications driver messagingv2  # for each service; then restart it"
            ),
        ),
        cause(
            "another topic or format: topics of [oslo_messaging_notifications], and notification_format of [notifications] in nova.conf",
            "the same command with --key '#' instead of --check  # shows everything published to these exchanges".to_owned(),
        ),
        cause(
            "another exchange: control_exchange in [DEFAULT] of each service",
            format!(
                "rabbitmqctl list_exchanges -p {vhost} name type  # then repeat this command with --exchange NAME"
            ),
        ),
        cause(
            "the services use another virtual host",
            format!("crudini --get {file} DEFAULT transport_url  # the virtual host follows the last slash"),
        ),
        cause(
            "nothing happened",
            "openstack network create tap-check && openstack network delete tap-check".to_owned(),
        ),
    ]
}

/// Returns the permissions of a tap as a command; the user may exist for the tap only.
pub(super) fn permissions(user: &str, virtual_host: &str, exchanges: &[&str]) -> String {
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

pub(super) fn missing(name: &str, virtual_host: &str) -> String {
    let vhost = quoted(virtual_host);
    if name == "openstack" {
        return format!("rabbitmqctl list_exchanges -p {vhost} name type  # cinder and manila make it");
    }
    let file = file_of(name);
    format!(
        "crudini --set {file} oslo_messaging_notifications driver messagingv2  # restart it, then change something"
    )
}

fn file_of(service: &str) -> String {
    match service {
        "glance" => "/etc/glance/glance-api.conf".to_owned(),
        other => quoted(&format!("/etc/{other}/{other}.conf")).into_owned(),
    }
}

pub(super) fn other_type(name: &str, virtual_host: &str) -> String {
    format!(
        "rabbitmqadmin -V {} delete exchange name={}  # with its services stopped: they make it again",
        quoted(virtual_host),
        quoted(name)
    )
}

/// Returns the remedy for a refused login or queue; `None` if the error itself has one.
pub(in crate::command::tap) fn refused(
    error: &TransportError,
    (user, virtual_host): (&str, &str),
    exchanges: &[&str],
) -> Option<String> {
    // Before it listens, a tap uses only its own queue.
    error.remedy(virtual_host, |virtual_host| permissions(user, virtual_host, exchanges))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_has_its_command() {
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
        let found = refused(&error, ("tap", "/v"), &["nova"]).unwrap();
        assert!(found.starts_with("rabbitmqctl set_permissions -p /v tap '^amq\\.gen-.*' "), "{found}");
        assert!(
            missing("glance", "/")
                .starts_with("crudini --set /etc/glance/glance-api.conf oslo_messaging_notifications driver")
        );
        assert!(other_type("nova", "v").starts_with("rabbitmqadmin -V v delete exchange name=nova"));
        let causes = likely(&["openstack", "glance"], "/");
        assert_eq!(causes.len(), 5);
        assert!(causes[0].command.starts_with("crudini --set /etc/glance/glance-api.conf"));
        assert!(causes.iter().all(|cause| !cause.command.is_empty()));
    }
}
