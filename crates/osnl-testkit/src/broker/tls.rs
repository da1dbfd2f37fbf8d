use super::node::{BrokerNode, binary};
use super::{Broker, SharedBroker};
use crate::{Authority, Certificate, ports};

const TRIES: usize = 4;

impl SharedBroker {
    /// Opens a TLS port on 127.0.0.1 with this certificate; with an authority, clients must show one of its
    /// certificates. The port stays open as long as the node.
    #[must_use]
    pub fn tls_port(&self, certificate: &Certificate, clients: Option<&Authority>) -> u16 {
        open(&self.node, certificate, clients)
    }
}

impl Broker {
    #[must_use]
    pub fn tls_port(&self, certificate: &Certificate, clients: Option<&Authority>) -> u16 {
        open(&self.node, certificate, clients)
    }

    /// Offers the login `EXTERNAL`, with the CN of the client's certificate as the user, by the plugin
    /// `rabbitmq_auth_mechanism_ssl` of RabbitMQ's package. Creates that user.
    pub fn offer_external(&self, user: &str) {
        // RabbitMQ trusts no certificate unless its general options verify peers, even if the port's options do.
        let user = binary(user);
        let program = format!(
            "[Path | _] = filelib:wildcard(filename:join(filename:dirname(filename:dirname(code:lib_dir(rabbit))), \
             \"plugins/rabbitmq_auth_mechanism_ssl-*/ebin\")), \
             true = code:add_pathz(Path), \
             {{ok, _}} = application:ensure_all_started(rabbitmq_auth_mechanism_ssl), \
             ok = rabbit_registry:register(auth_mechanism, <<\"EXTERNAL\">>, rabbit_auth_mechanism_ssl), \
             application:set_env(rabbit, ssl_cert_login_from, common_name), \
             application:set_env(rabbit, ssl_options, [{{verify, verify_peer}}]), \
             application:set_env(rabbit, auth_mechanisms, ['PLAIN', 'AMQPLAIN', 'EXTERNAL']), \
             rabbit_auth_backend_internal:add_user({user}, <<\"unused\">>, <<\"osnl\">>), \
             All = <<\".*\">>, \
             rabbit_auth_backend_internal:set_permissions({user}, <<\"/\">>, All, All, All, <<\"osnl\">>), <<>>"
        );
        self.node.eval(&program).unwrap();
    }
}

fn open(node: &BrokerNode, certificate: &Certificate, clients: Option<&Authority>) -> u16 {
    let text = |path: &std::path::Path| format!("binary_to_list({})", binary(path.to_str().unwrap()));
    let mut options =
        format!("{{certfile, {}}}, {{keyfile, {}}}", text(certificate.file()), text(certificate.key_file()));
    if let Some(authority) = clients {
        let ca = text(&authority.file());
        options.push_str(&format!(
            ", {{cacertfile, {ca}}}, {{verify, verify_peer}}, {{fail_if_no_peer_cert, true}}"
        ));
    }
    let mut refusals = String::new();
    for _ in 0..TRIES {
        let [port, ..] = ports::three();
        let program = format!(
            "{{ok, _}} = application:ensure_all_started(ssl), \
             ok = rabbit_networking:start_ssl_listener({{\"127.0.0.1\", {port}}}, [{options}], 2), <<>>"
        );
        match node.eval(&program) {
            Ok(_) => return port,
            Err(refusal) => refusals.push_str(&refusal),
        }
    }
    panic!("the test broker opens no TLS port: {refusals}");
}
