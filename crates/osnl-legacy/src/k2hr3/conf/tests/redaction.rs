use super::load;

const PASSWORD: &str = "hunter2";

#[test]
fn no_output_holds_the_password() {
    let places = [
        "transport_url = rabbit://u:hunter2@h:5672/",
        "transport_url = rabbit://u:hunter2@h:5672/v # comment",
        "transport_url = rabbit://u:hunter2@h1,u:hunter2@h2:x/",
        "transport_url = rabbit://u:hunter2@h:port/",
        "transport_url = rabbit://u:hunter2@[::1/",
        "transport_url = rabbit://u:hunter2/x@h/",
        "transport_url = rabbit://u:hunter2#x@h/",
        "transport_url = rabbit://u:%zzhunter2@h/",
        "transport_url = rabbit://u:hunter2@/",
        "transport_url = rabbit:u:hunter2@h",
        "transport_url = u:hunter2@h",
        "transport_url = rabbit://u:hunter2 x@h/",
        "transport_url = rabbit://u:hunter2@h/?ssl_keyfile_password=hunter2",
        "transport_url = kafka://u:hunter2@h/",
        "transport_url = amqp://u:hunter2@h/",
        "transport_url = pigeon://u:hunter2@h/",
        "transport_url = \"rabbit://u:hunter2@h/",
        "transport_url = rabbit://u:p$hunter2@h/",
        "transport_url = rabbit://u:p${hunter2.x}@h/",
        "transport_url = rabbit://u:\n  hunter2@h:1,\n  u:hunter2@h:2/",
        "transport_url = rabbit://u:\nhunter2@h:1/",
        "transport_url rabbit //u hunter2@h",
        "transport_url\n\n  rabbit://u:hunter2@h",
        "rabbit://u:hunter2@h/ = transport_url",
        "u,hunter2@h:1 = x",
        "[u:hunter2@h]\nx = y",
        "[u:hunter2@h\nx = y",
        "pool = $transport_url\ntransport_url = rabbit://u:hunter2@h/",
        "topic = \" $transport_url\"\ntransport_url = rabbit://u:hunter2@h/",
        "executor = $transport_url\ntransport_url = rabbit://u:hunter2@h/",
        "allow_requeue = $transport_url\ntransport_url = rabbit://u:hunter2@h/",
        "event_type = ($transport_url\ntransport_url = rabbit://u:hunter2@h/",
        "context = a:($transport_url\ntransport_url = rabbit://u:hunter2@h/",
        "context = $transport_url\ntransport_url = rabbit://u:hunter2@h/",
        "executor = rabbit://u:hunter2@h/",
        "allow_requeue = u:hunter2@h",
        "context = rabbit://u:(hunter2@h/",
        "transport_url = rabbit://u:12/hunter2@h/",
        "transport_url = rabbit://u:12?hunter2@h/",
        "transport_url = rabbit://u:12#hunter2@h/",
        "transport_url = rabbit://12/hunter2@h/",
        "[DEFAULT]\ntransport_url = rabbit://u:hunter2@h/",
        "[DEFAULT]\ndebug_level = ${oslo_messaging_notifications.transport_url}\n[oslo_messaging_notifications]\ntransport_url = rabbit://u:hunter2@h/",
        "[k2hr3]\ntransport_url = rabbit://u:hunter2@h/",
        "[k2hr3]\ntimeout_seconds = rabbit://u:hunter2@h/",
        "[k2hr3]\napi_url = http://u:hunter2@h/",
        "[k2hr3]\napi_url = ftp://u:hunter2@h/",
        "[k2hr3]\napi_url = http://u:hunter2@h:x/ y",
        "[transport_url]\nx = rabbit://u:hunter2@h/",
    ];
    let mut refused = 0;
    for place in places {
        assert!(place.contains(PASSWORD));
        let text = format!("[oslo_messaging_notifications]\n{place}\n");
        let said = match load(&text) {
            Ok(loaded) => format!("{loaded:?} {:?}", super::warnings(&loaded)),
            Err(error) => {
                refused += 1;
                format!("{error} {error:?}")
            }
        };
        assert!(!said.contains(PASSWORD), "{place}\n{said}");
    }
    assert!(refused > 25, "only {refused} were refused");
}
