use std::path::Path;

use osnl_testkit::SinkRequest;

use crate::harness::{SOON, settled};
use crate::oss_watcher::{QUEUE, Stand, recorded};

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");

fn publish(stand: &mut Stand) {
    for (file, case) in [
        ("nova", "legacy_compute_instance_create_end"),
        ("neutron", "floatingip_update_associate"),
        ("neutron", "floatingip_update_description_only"),
        ("neutron", "floatingip_update_disassociate"),
        ("nova", "legacy_compute_instance_delete_end"),
    ] {
        recorded(file, case, false).into_iter().for_each(|body| stand.publish(body));
    }
}

#[test]
fn the_native_form_posts_what_the_programs_file_does() {
    let mut stand = Stand::new(
        "oss-native",
        "[rest]\nbody = xml\n[oss]\nkeys = metadata\nip_type = auto\ndatacenter = \"A; B\"\n",
    );
    let osnl = stand.start();
    publish(&mut stand);
    stand.sink.wait_for(4, SOON);
    settled(&stand.vhost, QUEUE);
    osnl.stop();
    let mut shown =
        stand.place.run(Path::new(OSNL), &["config", "show", "--show-secrets", "--oss-watcher", "oss.conf"]);
    let (code, stderr) = shown.refused();
    assert_eq!(code, Some(0), "{stderr}");
    let shown = shown.stdout();
    let lines: Vec<&str> = shown.lines().filter(|line| !line.starts_with("log_file")).collect();
    stand.place.write("osnl.conf", lines.join("\n"));
    let osnl = stand.place.run(Path::new(OSNL), &["run", "-c", "osnl.conf"]).listening();
    publish(&mut stand);
    let requests = stand.sink.wait_for(8, SOON);
    settled(&stand.vhost, QUEUE);
    osnl.stop();
    let bytes = |request: &SinkRequest| {
        String::from_utf8_lossy(&[&request.head[..], &request.body[..]].concat()).into_owned()
    };
    assert_eq!(requests.len(), 8);
    // Instance and floating IP have separate lanes until the port is known, so posts are compared without order.
    let [theirs, ours] = [&requests[..4], &requests[4..]].map(|posts| {
        let mut posts: Vec<String> = posts.iter().map(bytes).collect();
        posts.sort();
        posts
    });
    assert_eq!(theirs, ours);
    for post in theirs {
        assert!(post.contains("\"Datacenter\": "), "{post}");
    }
}

#[test]
fn a_refused_login_is_said_and_tried_again() {
    let stand = Stand::new("oss-login", "");
    stand.write("[rabbit]\npassword = not-the-secret-one\n");
    let link = stand.place.path("oss_watcher");
    std::os::unix::fs::symlink(OSNL, &link).unwrap();
    let mut osnl = stand.place.run(&link, &["--config-file=oss.conf"]);
    osnl.wait_for("WARNING (service) Rabbit service is unavailable");
    osnl.wait_for("cannot listen");
    assert!(osnl.is_running());
    let log = osnl.stop();
    assert!(!log.contains("not-the-secret-one"), "{log}");
}
