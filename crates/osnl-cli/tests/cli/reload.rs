use std::fs;
use std::process::Stdio;

use osnl_testkit::openstack::{Openstack, PASSWORD, USER};
use osnl_testkit::{Notice, Reply, wait_until};
use serde_json::{Value, json};

use crate::reloading::{ACTION, LISTENER, RULE, Rig, SOON, asked, dealt, instance};

#[test]
fn a_wrong_credential_holds_the_target_and_a_corrected_one_drains_it_in_order() {
    let mut rig = Rig::start("reload-credential");
    rig.sink.reply_when(|request| {
        Some(Reply::Status(if request.target.starts_with("/right/") { 204 } else { 403 }))
    });
    rig.publish((0..5).flat_map(|key| (0..4).map(move |n| (key, key + 5 * n))));
    wait_until(SOON, "the target is down", || {
        let target = rig.target("roles");
        matches!(target["state"].as_str(), Some("down" | "probing")) && target["pending"] == 20
    });
    let right = ACTION.replace("SINK", &rig.sink.url("/right/v1/role"));
    rig.write(&[LISTENER, RULE, &right]);
    let before = rig.connections();
    let told = rig.reload(0);
    assert!(told.contains("1 section has changed"), "{told}");
    assert!(told.contains("[action:roles] changed (api_url)"), "{told}");
    wait_until(SOON, "all is delivered", || rig.target("roles")["pending"] == 0);
    assert_eq!(asked(&rig.sink, |target| target.starts_with("/right/")), dealt(5, 20));
    let target = rig.target("roles");
    assert_eq!((&target["state"], &target["dead"], &target["done"]), (&json!("ok"), &json!(0), &json!(20)));
    assert!(target["target"].as_str().unwrap().contains("/right/"), "{target}");
    assert_eq!((rig.connections(), before.len()), (before, 1));
    assert_eq!(rig.listener("neutron")["reconnects"], 0);
}

/// The action's own section stays the same; the section of its cloud changes.
#[test]
fn a_corrected_login_of_the_cloud_that_an_action_asks_counts() {
    let mut rig = Rig::start("reload-ask");
    let openstack = Openstack::start();
    let path = |id: &str| format!("/compute/v2.1/servers/{id}");
    openstack.put(&path(&instance(1)), openstack.get(&path(Openstack::id("server"))));
    let action = "[action:roles]\ndriver = oss_rest\nurl_creation = SINK\n\
                  retry_interval = 1s\nask = cloud\n";
    let rule = RULE.replace("port\\.delete", "floatingip\\.update");
    let cloud = |password: &str| {
        let url = openstack.auth_url();
        format!(
            "[enrich:cloud]\nkind = server\nauth_url = {url}\nusername = {USER}\npassword = {password}\nproject_name = oss\n"
        )
    };
    rig.apply(&[LISTENER, &rule, action, &cloud("wrong")]);
    let floating = json!({"floatingip": {
        "id": "f", "floating_ip_address": "172.24.4.9", "port_id": "p", "router_id": "r",
        "port_details": {"device_id": instance(1), "device_owner": "compute:nova"},
    }});
    rig.publisher.notify_all(&[Notice {
        event_type: "floatingip.update.end".into(),
        payload: floating,
        ..Notice::default()
    }]);
    wait_until(SOON, "the login is refused", || {
        rig.target("roles")["dependencies_down"].to_string().contains("[enrich:cloud] ")
    });
    assert_eq!(rig.target("roles")["state"], "ok");
    assert_eq!(rig.sink.requests().len(), 0);
    let told = rig.apply(&[LISTENER, &rule, action, &cloud(PASSWORD)]);
    assert!(told.contains("[enrich:cloud] changed (password)"), "{told}");
    let requests = rig.sink.wait_for(1, SOON);
    let node: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!((&node["FQDN"], &node["IP"]), (&json!("web 1"), &json!("172.24.4.9")));
}

#[test]
fn what_is_wrong_changes_nothing_and_is_said_everywhere_until_it_is_mended() {
    let mut rig = Rig::start("reload-refused");
    let healthy = |rig: &Rig| rig.status()["healthy"] == true;
    assert!(healthy(&rig), "{}", rig.status());
    rig.write(&[LISTENER, "[rule:r]\nactions = rolls\nkye = x\n", ACTION]);
    let told = rig.reload(78);
    assert!(told.contains("a.conf:13: [rule:r] kye: unknown option") && told.contains("rolls"), "{told}");
    assert!(told.contains("not reloaded: nothing changed"), "{told}");

    let (code, text, _) = rig.ask(&["status"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("!    the last reload was refused "), "{text}");
    assert!(text.contains("the last reload was refused, ") && text.contains("a.conf:12"), "{text}");
    let status = rig.status();
    let failed = status["configuration"]["not_reloaded"].clone();
    assert_eq!((&failed["reason"], failed["errors"].as_array().unwrap().len()), (&json!("configuration"), 2));
    assert_eq!(status["counters"]["reloads_refused"], 1);
    assert_eq!(rig.log().matches("not reloaded error=").count(), 2, "{}", rig.log());

    rig.write(&[LISTENER, RULE, ACTION, "[journal]\nmax_dead = 7\n"]);
    assert!(rig.reload(1).contains("[journal] max_dead: has changed, which needs a restart"));
    let again = rig.status()["configuration"]["not_reloaded"].clone();
    assert_eq!((&again["reason"], &again["since"]), (&json!("needs-restart"), &failed["since"]));

    fs::rename(rig.home.path().join("a.conf"), rig.home.path().join("b.conf")).unwrap();
    rig.signal("HUP");
    wait_until(SOON, "the third refusal", || rig.log().contains("a.conf: there is no such file"));

    rig.publish([(1, 1)]);
    wait_until(SOON, "the request", || rig.sink.requests().len() == 1);

    assert_eq!(rig.apply(&[LISTENER, RULE, ACTION]), "reloaded: the configuration is the same as before\n");
    assert!(healthy(&rig), "{}", rig.status());
    let counters = rig.status()["counters"].clone();
    assert_eq!((&counters["reloads"], &counters["reloads_refused"]), (&json!(1), &json!(3)));

    let (code, json, _) = rig.ask(&["reload", "--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["reloaded"], &json["changes"]), (Some(0), &json!(true), &json!([])));
}

#[test]
fn rules_and_actions_come_and_go_and_orphans_are_adopted() {
    let mut rig = Rig::start("reload-rules");
    rig.sink.reply_with(Reply::Status(503));
    rig.publish([(1, 1), (2, 2)]);
    wait_until(SOON, "two wait", || rig.target("roles")["pending"] == 2);
    let before = rig.connections();

    let other = "[rule:r]\nevent_type = ^port\\.\nactions = notes\n[action:notes]\ndriver = dump\npath = HOME/notes\n";
    let told = rig.apply(&[LISTENER, other]);
    assert!(told.contains("[rule:r] changed (actions, event_type)"), "{told}");
    assert!(told.contains("[action:roles] removed: running attempts finish"), "{told}");
    assert!(told.contains("! orphaned: 2 deliveries in the journal wait for [action:roles]"), "{told}");
    let (_, text, _) = rig.ask(&["status"]);
    assert!(text.contains("roles: 2 deliveries are orphaned"), "{text}");
    assert_eq!(rig.target("roles")["configured"], false);
    rig.publish([(3, 3)]);
    wait_until(SOON, "the note", || rig.target("notes")["done"] == 1);
    // Earlier events keep the verdicts of the rules at their time.
    assert_eq!(fs::read_to_string(rig.home.path().join("notes")).unwrap().lines().count(), 1);

    rig.sink.reply_with(Reply::Status(204));
    assert!(rig.apply(&[LISTENER, other, ACTION]).contains("[action:roles] added: its deliveries begin"));
    wait_until(SOON, "the orphans are adopted", || rig.target("roles")["done"] == 2);
    assert_eq!(rig.target("roles")["configured"], true);
    assert_eq!((rig.connections(), rig.listener("neutron")["messages"].clone()), (before, json!(3)));
    // The rule's counts are the sum over both sets of rules.
    let (mut counts, last) = (String::new(), ["r", "3"]);
    wait_until(SOON, "three are counted", || {
        counts = rig.ask(&["explain", "--counts"]).1;
        counts.lines().any(|line| last.iter().all(|word| line.split_whitespace().any(|w| w == *word)))
    });
}

#[test]
fn log_options_count_from_the_next_line_on() {
    let rig = Rig::start("reload-log");
    let moved = "[DEFAULT]\nlog_file = HOME/other\ndebug = true\n";
    assert!(
        rig.apply(&[LISTENER, RULE, ACTION, moved])
            .contains("[DEFAULT] changed (debug, log_file): applies from now on")
    );
    let other = || fs::read_to_string(rig.home.path().join("other")).unwrap_or_default();
    wait_until(SOON, "the other file", || other().contains("reloaded: the configuration has changed"));
    assert!(!rig.log().contains("reloaded: the configuration has changed"), "{}", rig.log());
    rig.write(&[LISTENER, RULE, ACTION, "[DEFAULT]\nlog_file = HOME/no/such/folder/log\n"]);
    let told = rig.reload(1);
    assert!(told.contains("no/such/folder/log") && told.contains("name another one"), "{told}");
    rig.apply(&[LISTENER, RULE, ACTION]);
    assert!(rig.log().contains("reloaded: the configuration has changed"));
}

#[test]
fn listeners_come_go_and_move_and_nothing_is_lost() {
    let mut rig = Rig::start("reload-listeners");
    let events = |from: usize| (from..from + 20).map(|event| (event % 3, event));
    rig.publish(events(0));
    // A changed prefetch means the same queue on another connection.
    let before = rig.connections();
    let told = rig.apply(&[&LISTENER.replace("declare", "prefetch = 50\ndeclare"), RULE, ACTION]);
    assert!(told.contains("reconnects; meanwhile the queue keeps"), "{told}");
    rig.publish(events(20));
    rig.listening("neutron");
    wait_until(SOON, "one connection, another one", || {
        let now = rig.connections();
        now.len() == 1 && now != before
    });

    let second = LISTENER.replace("neutron]", "second]").replace("pool = osnl", "pool = second");
    let second = second.replace("exchange = neutron", "exchange = nova");
    assert!(
        rig.apply(&[LISTENER, &second, RULE, ACTION])
            .contains("[listener:second] added: it starts to listen")
    );
    rig.listening("second");
    rig.listening("neutron");
    rig.publish(events(40));
    let renamed = LISTENER.replace("neutron]", "renamed]");
    rig.write(&[&renamed, RULE, ACTION]);
    wait_until(SOON, "nothing waits in the second queue", || rig.vhost.queue_depth("second") == Some((0, 0)));
    let told = rig.reload(0);
    // The old queue's content is unknown, so no line may suggest its deletion.
    assert!(told.contains("[listener:second] removed") && !told.contains("delete_queue"), "{told}");
    rig.publish(events(60));
    rig.listening("renamed");
    let bindings = |rig: &Rig, queue: &str| {
        let mut of: Vec<String> =
            rig.vhost.list_bindings().into_iter().filter(|b| b.queue == queue).map(|b| b.exchange).collect();
        of.sort();
        of.dedup();
        of
    };
    assert_eq!(bindings(&rig, "osnl"), ["neutron"]);
    // The old queue is bound but unread, and may be deleted once it is known to be empty.
    let left = |rig: &Rig| {
        let left = rig.status()["left_queues"][0].clone();
        (left["queue"] == "second", left["messages"].clone(), left["delete"].as_str().map(str::to_owned))
    };
    let delete = format!("rabbitmqctl delete_queue --vhost '{}' 'second'", rig.vhost.name());
    let empty = (true, json!(0), Some(delete));
    wait_until(SOON, "it is known to be empty", || left(&rig) == empty);
    // A listener removes its own former bindings from its queue, but not those of other programs.
    rig.apply(&[&renamed.replace("exchange = neutron", "exchange = neutron, nova"), RULE, ACTION]);
    wait_until(SOON, "two exchanges", || bindings(&rig, "osnl") == ["neutron", "nova"]);
    rig.apply(&[&renamed, RULE, ACTION]);
    wait_until(SOON, "one exchange", || bindings(&rig, "osnl") == ["neutron"]);
    wait_until(SOON, "it is still there", || left(&rig) == empty);
    rig.vhost.delete_queue("second");
    rig.apply(&[&renamed.replace("declare", "prefetch = 60\ndeclare"), RULE, ACTION]);
    wait_until(SOON, "the queue is forgotten", || rig.status()["left_queues"] == json!([]));
    wait_until(SOON, "everything is delivered", || rig.target("roles")["done"] == 80);
    wait_until(SOON, "one connection", || rig.connections().len() == 1);
    assert_eq!(asked(&rig.sink, |_| true), dealt(3, 80));
}

#[test]
fn systemd_is_told_of_a_reload_and_of_its_failure() {
    use std::os::unix::net::UnixDatagram;
    let mut rig = Rig::start("reload-systemd");
    let mut daemon = rig.daemon.take().unwrap();
    let _ = daemon.kill();
    daemon.wait().unwrap();
    let path = rig.home.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(SOON)).unwrap();
    let next = || {
        let mut bytes = [0; 4096];
        let read = manager.recv(&mut bytes).expect("systemd is told");
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    };
    let told = |begin: &str| std::iter::repeat_with(next).find(|told| told.starts_with(begin)).unwrap();
    let mut command = rig.command(&["run", "-c", "a.conf"]);
    command.env("NOTIFY_SOCKET", &path).stdout(Stdio::null()).stderr(Stdio::null());
    rig.daemon = Some(command.spawn().unwrap());
    assert!(told("READY=1").contains("STATUS="));
    told("STATUS=listening to");
    rig.signal("HUP");
    let reloading = told("RELOADING=1");
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(micros.parse::<u64>().unwrap() > 0);
    assert!(next().starts_with("READY=1\nSTATUS=listening to"));
    rig.write(&[LISTENER, RULE]);
    rig.signal("HUP");
    told("RELOADING=1");
    assert!(next().starts_with("READY=1\nSTATUS=not reloaded, see the log or osnl status; listening to"));
    rig.apply(&[LISTENER, RULE, ACTION]);
    told("RELOADING=1");
    assert!(next().starts_with("READY=1\nSTATUS=listening to"));
}

#[test]
fn a_reload_while_the_broker_is_away_or_the_daemon_ends_or_is_not_there() {
    let mut rig = Rig::start("reload-away");
    let away = LISTENER.replace("URL", "rabbit://u:p@127.0.0.1:9/");
    rig.apply(&[&away, RULE, ACTION]);
    wait_until(SOON, "it tries", || rig.listener("neutron")["state"] == "connecting");
    rig.publish([(1, 1)]);
    rig.apply(&[LISTENER, RULE, ACTION]);
    rig.listening("neutron");
    wait_until(SOON, "what came meanwhile", || rig.target("roles")["done"] == 1);

    // A hanging attempt keeps the drain waiting.
    rig.sink.reply_with(Reply::Hang);
    rig.publish([(2, 2)]);
    wait_until(SOON, "the attempt", || rig.target("roles")["in_flight"] == 1);
    rig.signal("TERM");
    wait_until(SOON, "the drain", || rig.log().contains("waiting for running attempts"));
    let (code, _, stderr) = rig.ask(&["reload"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("the daemon is ending"), "{stderr}");
    rig.signal("TERM");
    let mut daemon = rig.daemon.take().unwrap();
    assert_eq!(daemon.wait().unwrap().code(), Some(130));
    let (code, _, stderr) = rig.ask(&["reload"]);
    assert_eq!(code, Some(69), "{stderr}");
    assert!(stderr.contains("no daemon answers at") && stderr.contains("start the daemon"), "{stderr}");
    rig.write(&[LISTENER, RULE]);
    let (code, _, stderr) = rig.ask(&["reload"]);
    assert_eq!(code, Some(78), "{stderr}");
}

/// The replacing listener does not connect, and another reload does not change that.
#[test]
fn a_queue_is_read_and_bound_until_another_one_is_however_many_reloads_that_takes() {
    let mut rig = Rig::start("reload-again");
    let moved = LISTENER.replace("pool = osnl", "pool = moved");
    let away = moved.replace("URL", &format!("rabbit://guest:guest@127.0.0.1:9/{}", rig.vhost.name()));
    let still_away = away.replace("declare", "prefetch = 50\ndeclare");
    for (event, listener) in [&away, &still_away].into_iter().enumerate() {
        let told = rig.apply(&[listener, RULE, ACTION]);
        let is_moved = told.contains("another queue is read") && told.contains("queue osnl stays");
        assert!(is_moved || event > 0, "{told}");
        let tried = |rig: &Rig| rig.listener("neutron")["attempts"].as_u64();
        wait_until(SOON, "it has tried twice", || tried(&rig).is_some_and(|attempts| attempts >= 2));
        rig.publish([(0, event)]);
        wait_until(SOON, "the event is delivered", || rig.target("roles")["done"] == event as u64 + 1);
    }
    rig.apply(&[&moved, RULE, ACTION]);
    rig.listening("neutron");
    wait_until(SOON, "the old queue is left", || rig.log().contains("the listener has left the queue"));
    rig.publish([(0, 2)]);
    wait_until(SOON, "the last event is delivered", || rig.target("roles")["done"] == 3);
    assert_eq!(asked(&rig.sink, |_| true), dealt(1, 3));
    wait_until(SOON, "one connection", || rig.connections().len() == 1);
    assert!(rig.vhost.list_bindings().iter().all(|binding| binding.queue != "osnl"));
    assert_eq!(rig.vhost.queue_depth("osnl"), Some((0, 0)));
    let left = rig.status()["left_queues"][0].clone();
    assert_eq!((&left["queue"], &left["unbind"]), (&json!("osnl"), &json!(null)), "{left}");
}

/// Only the content of the plug-in's file changes, and must count from the reload on.
#[test]
fn a_plug_in_whose_file_has_changed_is_started_anew() {
    let mut rig = Rig::start("reload-plug-in");
    let (plugin, told) = (rig.home.path().join("plugins/tell.py"), rig.home.path().join("told"));
    fs::create_dir(plugin.parent().unwrap()).unwrap();
    let write = |word: &str| {
        let text = format!(
            "class P:\n    def notify(self, d, c):\n        open({told:?}, 'a').write('{word}\\n')\n"
        );
        fs::write(&plugin, text).unwrap();
    };
    write("one");
    let python = std::env::var(osnl_testkit::PYTHON_VARIABLE).expect("run \"cargo xtask test\"");
    let action = format!(
        "[action:roles]\ndriver = python\nplugin = tell.P\nplugin_path = HOME/plugins\npython = {python}/bin/python\n"
    );
    rig.apply(&[LISTENER, RULE, &action]);
    let lines =
        || fs::read_to_string(&told).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    rig.publish([(1, 1)]);
    wait_until(SOON, "the first is told of", || lines() == ["one"]);
    let nothing = rig.reload(0);
    assert!(!nothing.contains("roles"), "{nothing}");
    write("second");
    rig.publish([(1, 2)]);
    wait_until(SOON, "it is as it was loaded", || lines() == ["one", "one"]);
    let reloaded = rig.reload(0);
    assert!(reloaded.contains("[action:roles] changed (plugin_path)"), "{reloaded}");
    rig.publish([(1, 3)]);
    wait_until(SOON, "the new one is told", || lines() == ["one", "one", "second"]);
}
