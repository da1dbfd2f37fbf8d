use osnl_transport::MemoryBroker;

use super::*;
use crate::native::{Sources, load_texts};

fn build(text: &str) -> Result<(Daemon, AssemblyParts), BuildError> {
    let conf = load_texts(&[("a.conf".to_owned(), text.to_owned())], &Sources::default()).unwrap().conf;
    built(&conf)
}

fn built(conf: &Native) -> Result<(Daemon, AssemblyParts), BuildError> {
    let broker = MemoryBroker::new();
    let transports = move |_: &_| Ok(Arc::new(broker.transport()) as Arc<_>);
    let built = conf.assemble(&transports, &HttpOptions::default(), &Arc::default());
    built.map(|(daemon, parts, _)| (daemon, parts))
}

/// Even without a journal on disk, each daemon would overwrite the other's bindings, positions, and records.
#[test]
fn a_second_daemon_with_the_same_state_directory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = |name: &str| {
        format!(
            "[DEFAULT]\nstate_dir = {0}/{name}\n[journal]\nconnection = memory://\n[listener:l]\n\
             transport_url = rabbit://h/\nexchange = x\npool = p\n[rule:r]\nactions = a\n\
             [action:a]\ndriver = dump\npath = {0}/audit\n",
            folder.path().display()
        )
    };
    let first = build(&text("one")).unwrap();
    let refused = build(&text("one")).err().unwrap().to_string();
    let expected = format!(
        "[DEFAULT] state_dir: {}/one is in use by process {}; a state directory belongs to one daemon: stop that process, \
         or set another state_dir here",
        folder.path().display(),
        std::process::id()
    );
    assert_eq!(refused, expected);
    let second = build(&text("two")).unwrap();
    assert!(second.1.state_folder.is_some());
    drop(first);
    build(&text("one")).unwrap();
}
