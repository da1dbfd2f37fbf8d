use std::fs;
use std::path::Path;
use std::time::Duration;

use osnl::action::{ActionError, Completion, ErrorClass};
use osnl::actions::exec::Program;
use osnl_legacy::oss::python::{PayloadDetails, PluginConfig, Python, PythonOptions};
use osnl_testkit::{Reply, Sink};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::exec::{Stand, event, is_there, python};

struct Folder(TempDir);

impl Folder {
    fn with(plugin: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("new_plugin/__init__.py", plugin);
        folder.write("plugin.conf", "");
        folder.write("later.conf", "");
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn stand(&self, plugin: &str, real: bool) -> Stand {
        let mut interpreter = vec![python()];
        if !real {
            interpreter.push("-S".to_owned());
        }
        self.stand_with(plugin, Program::new(interpreter))
    }

    fn stand_with(&self, plugin: &str, python: Program) -> Stand {
        Stand::new(Python::new(
            "a",
            PythonOptions {
                plugin: plugin.to_owned(),
                plugin_path: vec![self.0.path().to_owned()],
                python,
                config: PluginConfig::files_of(["plugin.conf", "later.conf"].map(|name| self.path(name))),
                stop_timeout: Duration::from_secs(5),
                details: std::sync::Arc::new(PayloadDetails::default()),
            },
        ))
    }
}

fn open(stand: &Stand) -> Result<(), ActionError> {
    stand.wait(stand.action.open())
}

/// The shape of a new plug-in on the OSS Framework's own page.
const LISTING: &str = r#"
import json
import logging

from oslo.config import cfg
from oss_framework.plugins import base


LOG = logging.getLogger(__name__)
CONF = cfg.CONF


class YourPlugin(base.BasePlugin):
    """Plugin for handling of events"""

    def notify(self, node_detail, created):
        data = json.dumps(node_detail)
        LOG.info("Handled by YourPlugin.")
        LOG.info(node_detail)
        LOG.debug(data)
"#;

#[test]
fn the_documented_plug_in_runs_as_it_is() {
    for real in [false, true] {
        let folder = Folder::with(LISTING);
        let stand = folder.stand("new_plugin.YourPlugin", real);
        open(&stand).unwrap();
        let verdict = stand.attempt(&json!({"port": {"id": "p1"}}));
        assert_eq!(verdict, Ok(Completion::Delivered("notified".to_owned())), "real: {real}");
        stand.close(false);
        let log = stand.log.lines();
        let said = |text: &str| log.iter().any(|line| line.starts_with("INFO ") && line.contains(text));
        assert!(said("oss_framework.plugins.new_plugin: Handled by YourPlugin."), "{log:?}");
        assert!(said("'kind': 'port'") && said("'id': 'p1'"), "{log:?}");
        // The run leaves no file in the operator's folder.
        assert!(!folder.path("new_plugin/__pycache__").exists());
    }
}

/// The shape of the framework's own REST plug-in, with the standard library's client.
const REST: &str = r#"
import base64, json, logging
import urllib.request
from oslo.config import cfg
from oss_framework.plugins import base

LOG = logging.getLogger(__name__)
CONF = cfg.CONF
DATA = '<execution-context><string>%(node_detail)s</string></execution-context>'

class RESTNotify(base.BasePlugin):
    """Plugin for sending of instance data via REST API."""
    def __init__(self, *args, **kwargs):
        super(RESTNotify, self).__init__(*args, **kwargs)
        self.host, self.port = CONF.rest.host, CONF.rest.port
        self.login = base64.b64encode((CONF.rest.user + ":" + CONF.rest.password).encode()).decode()

    def notify(self, node_detail, created):
        url = CONF.rest.url_creation if created else CONF.rest.url_deletion
        url = ':'.join((self.host, str(self.port))) + url
        headers = {'Content-Type': 'application/xml', 'Authorization': 'Basic ' + self.login}
        data = DATA % {'node_detail': json.dumps(node_detail)}
        urllib.request.urlopen(urllib.request.Request(url, data.encode(), headers))
        return False
"#;

#[test]
fn a_plug_in_finds_its_configuration_and_a_target_that_is_away_is_waited_for() {
    for real in [false, true] {
        let sink = Sink::start();
        let port = sink.url("").rsplit(':').next().unwrap().to_owned();
        let folder = Folder::with(REST);
        let conf = format!(
            "[DEFAULT]\nenabled_plugins=rest_plugin.RESTNotify\n[rest]\nhost=http://127.0.0.1\nport={port}\n\
             user=u\npassword = p$$1\nurl_creation=/new\nurl_deletion=/gone\n"
        );
        folder.write("plugin.conf", &conf);
        let stand = folder.stand("new_plugin.RESTNotify", real);
        let payload = json!({"port": {"id": "p1"}});
        stand.attempt_of(&event("port.create.end", &payload)).unwrap();
        stand.attempt_of(&event("port.delete.end", &payload)).unwrap();
        let update = stand.attempt_of(&event("port.update.end", &payload));
        let neither = "port.update.end is neither a creation nor a deletion";
        assert_eq!(update, Ok(Completion::NothingToDo(neither.to_owned())));
        let requests = sink.requests();
        let targets: Vec<&str> = requests.iter().map(|request| request.target.as_str()).collect();
        assert_eq!(targets, ["/new", "/gone"], "real: {real}");
        sink.script(vec![Reply::Status(503)]);
        let error = stand.attempt_of(&event("port.create.end", &payload)).unwrap_err();
        assert_eq!(error.class, ErrorClass::Busy(None));
        assert_eq!(error.reason, "urllib.error.HTTPError: HTTP Error 503: Service Unavailable");
        drop(sink);
        let error = stand.attempt_of(&event("port.create.end", &payload)).unwrap_err();
        assert_eq!(error.class, ErrorClass::Busy(None), "{error}");
        assert!(error.reason.contains("Connection refused"), "{error}");
    }
}

#[test]
fn what_notify_does_is_the_verdict() {
    let body =
        |what: &str| format!("class P:\n    def notify(self, node_detail, created):\n        {what}\n");
    let failed = |reason: &str| Err(ActionError::new(ErrorClass::Refused(None), reason));
    for (what, expected) in [
        ("return 'anything'", Ok(Completion::Delivered("notified".to_owned()))),
        ("print('{\"id\": 1}')", Ok(Completion::Delivered("notified".to_owned()))),
        ("import os; os.system('echo hello')", Ok(Completion::Delivered("notified".to_owned()))),
        ("import sys; assert sys.stdin.read() == ''", Ok(Completion::Delivered("notified".to_owned()))),
        ("raise ValueError('not this one')", failed("ValueError: not this one")),
        ("node_detail['missing']", failed("KeyError: 'missing'")),
        ("raise ValueError('no \\ud83d')", failed("ValueError: no \u{fffd}")),
        ("raise SystemExit(3)", failed("SystemExit: 3")),
        (
            "raise ConnectionResetError('away')",
            Err(ActionError::new(ErrorClass::Busy(None), "ConnectionResetError: away")),
        ),
    ] {
        let folder = Folder::with(&body(what));
        let stand = folder.stand("new_plugin.P", false);
        assert_eq!(stand.attempt(&json!({"port": {"id": "p"}})), expected, "{what}");
        if expected.is_err() {
            assert_eq!(stand.attempt(&json!({"port": {"id": "p"}})), expected, "{what}, by the same child");
            let log = stand.log.lines();
            assert_eq!(log.iter().filter(|line| line.contains("started ")).count(), 1, "{log:?}");
            assert!(
                log.iter().any(|line| line.starts_with("ERROR") && line.contains("line 3, in notify")),
                "{log:?}"
            );
        }
    }
}

/// A plug-in may fork and leave its child running; the child must neither answer nor take the next event.
#[test]
fn what_a_plug_in_forks_is_not_the_plug_in() {
    for what in ["os.fork()", "if os.fork() == 0: raise ValueError('the child')"] {
        let class =
            format!("import os\nclass P:\n    def notify(self, node_detail, created):\n        {what}\n");
        let folder = Folder::with(&class);
        let stand = folder.stand("new_plugin.P", false);
        for n in 0..20 {
            let verdict = stand.attempt(&json!({"port": {"id": "p"}}));
            assert_eq!(verdict, Ok(Completion::Delivered("notified".to_owned())), "{what}, event {n}");
        }
        let log = stand.log.lines();
        assert_eq!(log.iter().filter(|line| line.contains("started ")).count(), 1, "{log:?}");
    }
}

#[test]
fn why_a_plug_in_cannot_be_loaded_is_said_at_the_start() {
    for (plugin, name, expected) in [
        (
            "print 'hello'",
            "P",
            "new_plugin/__init__.py, line 1 is Python 2 (the print statement): print 'hello'; osnl runs plug-ins with Python 3.",
        ),
        (
            "import os\nclass P:\n  def notify(self, n, c):\n    try: pass\n    except OSError, e:\n      pass",
            "P",
            "line 5 is Python 2 (except with a comma)",
        ),
        ("raise ValueError, 'x'", "P", "is Python 2 (raise with a comma)"),
        ("MODE = 0644", "P", "is Python 2 (an octal number without 0o)"),
        ("import urllib2", "P", "it imports urllib2, a module of Python 2, now urllib.request"),
        ("def f(:", "P", "line 1: invalid syntax: def f(:"),
        ("import osnl_no_such_module", "P", "ModuleNotFoundError: No module named 'osnl_no_such_module'"),
        ("class Q: pass", "P", "new_plugin/__init__.py has no class P"),
        ("class P: pass", "P", "new_plugin.P has no method notify(self, node_detail, created)"),
        ("class P:\n  def __init__(self): raise KeyError('k')", "P", "KeyError: 'k'"),
        ("raise SystemExit('no')", "P", "SystemExit: no"),
    ] {
        let folder = Folder::with(plugin);
        let stand = folder.stand(&format!("new_plugin.{name}"), false);
        let error = open(&stand).unwrap_err();
        assert_eq!(error.class, ErrorClass::Connect, "{plugin}: {error}");
        assert!(error.reason.contains(expected), "{plugin}: {error}");
        assert!(error.reason.starts_with(&format!("the plug-in new_plugin.{name}: ")), "{error}");
        assert_eq!(
            stand.attempt(&json!({"port": {}})).unwrap_err(),
            error,
            "it is tried again with the next event"
        );
    }
    let folder = Folder::with("");
    for (plugin, python, expected) in [
        (
            "other.P",
            Program::new([python()]),
            "there is no module other in plugin_path, nor is one installed",
        ),
        (
            "new_plugin.P",
            Program::new(["/nonexistent/python3"]),
            "/nonexistent/python3 cannot be started: No such file",
        ),
    ] {
        let error = open(&folder.stand_with(plugin, python)).unwrap_err();
        assert_eq!(error.class, ErrorClass::Connect);
        assert!(error.reason.contains(expected), "{error}");
    }
    fs::remove_file(folder.path("plugin.conf")).unwrap();
    let error = open(&folder.stand("new_plugin.P", false)).unwrap_err();
    assert!(error.reason.ends_with("plugin.conf: there is no such file"), "{error}");
}

#[test]
fn a_corrected_plug_in_is_taken_with_the_next_event() {
    let folder = Folder::with("print 'hello'");
    let stand = folder.stand("new_plugin.YourPlugin", false);
    open(&stand).unwrap_err();
    folder.write("new_plugin/__init__.py", LISTING);
    stand.attempt(&json!({"port": {"id": "p1"}})).unwrap();
}

const OPTIONS: &str = r#"
import json
from oslo_config import cfg
from oslo.config import cfg as by_its_old_name
from oss_framework import cfg as oss
from oss_framework.plugins.base import BasePlugin, CONF

assert by_its_old_name is cfg and CONF is cfg.CONF and oss.CONF is CONF
OPTS = [cfg.StrOpt('text', default='t'), cfg.StrOpt('other', default='$text-$$'), cfg.IntOpt('number', default=3),
        cfg.BoolOpt('switch', default=False), cfg.FloatOpt('ratio'), cfg.ListOpt('list', default=['a']),
        cfg.DictOpt('pairs', default={}), cfg.MultiStrOpt('many', default=['m']), cfg.StrOpt('with-dash'),
        cfg.StrOpt('nothing'), cfg.StrOpt('quoted'), cfg.IntOpt('wrong')]
OLD = [cfg.StrOpt('new', deprecated_name='old'), cfg.StrOpt('moved', deprecated_name='was-here', deprecated_group='Former'),
       cfg.MultiStrOpt('all', deprecated_opts=[cfg.DeprecatedOpt('few'), cfg.DeprecatedOpt('several', group='former')])]
CONF.register_group(cfg.OptGroup('mine', 'My options'))
CONF.register_group(cfg.OptGroup('Large'))
CONF.register_opts(OPTS, group='mine')
CONF.register_opts(OLD, group='Large')
CONF.register_opt(cfg.StrOpt('top', default='level'))

def of(read):
    try: return read()
    except cfg.NoSuchOptError as error: return 'no such option'
    except cfg.ConfigFileValueError as error: return 'wrong value'

class P(BasePlugin):
    def notify(self, node_detail, created):
        names = ['text', 'other', 'number', 'switch', 'ratio', 'list', 'pairs', 'many', 'with_dash', 'nothing',
                 'quoted', 'wrong', 'unknown']
        found = {name: of(lambda: getattr(CONF.mine, name)) for name in names}
        found['top'] = [CONF.top, CONF['top'], 'top' in CONF, 'mine' in CONF, CONF.mine['number'], 'text' in CONF.mine]
        found['large'] = [CONF.Large.new, CONF.Large.moved, CONF.Large['all'], 'Large' in CONF]
        found['oss'] = [CONF.rest.port, CONF.rest.host, CONF.openstack.tenant, CONF.rabbit.watch_queue,
                        CONF.enabled_plugins, CONF.events_deletion]
        CONF.set_override('number', 9, group='mine')
        found['override'] = CONF.mine.number
        CONF.clear_override('number', group='mine')
        found['cleared'] = CONF.mine.number
        json.dump(found, open(CONF.mine.quoted, 'w'))
"#;

#[test]
fn options_are_read_as_oslo_config_reads_them() {
    for (conf, later) in [
        ("", ""),
        (
            "text = x y\nother = ${text}/$top\nnumber = 7\nswitch = Yes\nratio = 0.5\nlist = a, b ,c\npairs = k:v,l:w\n\
         many = 1\nmany = 2\nwith-dash = d\nnothing =\nwrong = seven\n",
            "",
        ),
        ("text =  'quoted'\nlist =\nswitch = 0\nmany = only\nwith_dash = e\nother = $$x $mine.number\n", ""),
        (
            "text = a\\$b [$nothing] \\\\$c\n[Rest]\nhost = other\n[MINE]\nother = $mine.text\nnumber = 5\n\
         [large]\nold = 2\nall = 3\nfew = 4\nfew = 5\n[Former]\nwas_here = 6\nseveral = 7\n",
            "",
        ),
        ("\n[LARGE]\nnew = n\nold = o\nfew = 1\n[former]\nwas-here = z\n", ""),
        // A deprecated name in a later file wins over the present one in an earlier file.
        (
            "[large]\nnew = n\nmoved = m\nall = 1\n",
            "[large]\nold = o\nfew = 2\n[former]\nwas_here = w\nseveral = 3\n",
        ),
        ("text = e\n[large]\nold = o\nfew = 2\n", "[mine]\ntext = l\n[large]\nnew = n\nall = 1\n"),
    ] {
        let read = |real: bool| {
            let folder = Folder::with(OPTIONS);
            let file = folder.path("found.json");
            folder.write(
                "plugin.conf",
                &format!(
                    "[DEFAULT]\nevents_deletion = a,b\n[rest]\nport = 81\n[mine]\nquoted = \"{}\"\n{conf}",
                    file.display()
                ),
            );
            folder.write("later.conf", later);
            let stand = folder.stand("new_plugin.P", real);
            stand
                .attempt(&json!({"port": {"id": "p"}}))
                .unwrap_or_else(|error| panic!("{error} {:?}", stand.log.lines()));
            let mut found: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
            assert!(found["quoted"].take().is_string());
            found
        };
        assert_eq!(read(false), read(true), "{conf}\n{later}");
    }
}

#[test]
fn a_plug_in_may_stand_in_an_installed_package_and_ends_with_osnl() {
    let folder = Folder::with("");
    let site = tempfile::tempdir().unwrap();
    fs::create_dir(site.path().join("ourcompany")).unwrap();
    let plugin = "import os\nclass Tell:\n    def notify(self, node_detail, created):\n        \
                  open(node_detail['payload']['file'], 'w').write(str(os.getpid()) + ' ' + ' '.join(node_detail))\n";
    fs::write(site.path().join("ourcompany/osnl.py"), plugin).unwrap();
    let mut program = Program::new([python(), "-S".to_owned()]);
    program.environment = vec![("PYTHONPATH".to_owned(), site.path().display().to_string())];
    let stand = folder.stand_with("ourcompany.osnl.Tell", program);
    let file = folder.path("told");
    stand.attempt(&json!({"port": {"id": "p", "name": "n"}, "file": file})).unwrap();
    let told = fs::read_to_string(Path::new(&file)).unwrap();
    let (pid, keys) = told.split_once(' ').unwrap();
    assert!(
        keys.starts_with("event_type publisher_id timestamp message_id kind id project user name"),
        "{keys}"
    );
    assert!(keys.ends_with(" payload"), "{keys}");
    stand.close(false);
    assert!(!is_there(pid.parse().unwrap()));
}

#[test]
fn a_plug_in_may_do_what_it_likes_and_the_next_event_is_answered() {
    let body = |what: &str| {
        let what = what.replace('\n', "\n        ");
        format!(
            "import os, sys, threading, time\nclass P:\n    def notify(self, node_detail, created):\n        {what}\n"
        )
    };
    let done = Ok("notified".to_owned());
    for (what, expected) in [
        // Hundreds of lines a second exceed the log's bound, but do not fail the call.
        ("sys.stderr.write('x' * 99 + '\\n' * 50000); sys.stderr.flush()", done.clone()),
        ("sys.stderr.write(('y' * 1000 + '\\n') * 5000)", done.clone()),
        (
            "print('z' * 3000000)\nos.write(1, b'\\xff{\"id\": 1, \"verdict\": \"permanent\"}\\n')",
            done.clone(),
        ),
        ("if os.fork() == 0: os._exit(0)", done.clone()),
        ("os.fork()", done.clone()),
        ("if os.fork() == 0: raise ValueError('in the copy')", done.clone()),
        ("if os.fork() == 0: sys.exit(7)", done.clone()),
        ("threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()", done.clone()),
        ("threading.Thread(target=lambda: 1 / 0).start()", done.clone()),
        ("if sys.stdout: sys.stdout.close()\nsys.stdout = None", done.clone()),
        ("os.chdir('/')\nos.environ.clear()\nsys.path.clear()", done.clone()),
        ("return object()", done.clone()),
        ("os._exit(3)", Err("exit status: 3")),
        ("os.kill(os.getpid(), 9)", Err("SIGKILL")),
        ("def deeper(): deeper()\ndeeper()", Err("RecursionError")),
        ("raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})()", Err("Odd")),
        ("raise KeyboardInterrupt()", Err("KeyboardInterrupt")),
    ] {
        let folder = Folder::with(&body(what));
        let stand = folder.stand("new_plugin.P", false);
        open(&stand).unwrap();
        for _ in 0..2 {
            match (stand.attempt(&json!({"port": {"id": "p"}})), &expected) {
                (Ok(Completion::Delivered(found)), Ok(expected)) => assert_eq!(found, *expected, "{what}"),
                (Err(error), Err(expected)) => assert!(error.reason.contains(expected), "{what}: {error}"),
                (found, expected) => panic!("{what}: {found:?} is not {expected:?}: {:?}", stand.log.lines()),
            }
        }
        stand.close(false);
    }
}

#[test]
fn a_plug_in_changes_its_own_copy_alone() {
    let folder = Folder::with(
        "class P:\n    def notify(self, node_detail, created):\n        assert 'mine' not in node_detail\n        \
         node_detail['mine'] = 1\n        node_detail['payload'].clear()\n",
    );
    let stand = folder.stand("new_plugin.P", false);
    for _ in 0..3 {
        stand.attempt(&json!({"port": {"id": "p"}})).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_plug_in_in_a_package_imports_its_neighbours() {
    for (plugin, base) in [
        ("ours.sub.tell.Tell", "from oss_framework.plugins.base import BasePlugin"),
        ("ours.sub.tell.Tell", "from oss_framework.plugins import base\nBasePlugin = base.BasePlugin"),
    ] {
        let folder = Folder::with("");
        folder.write("ours/__init__.py", "NAME = 'ours'\n");
        folder.write("ours/common.py", "from . import NAME\ndef text(n): return NAME + ' ' + n['id']\n");
        folder.write("ours/sub/__init__.py", "from ..common import text\n");
        folder.write(
            "ours/sub/tell.py",
            &format!(
                "{base}\nfrom . import text\nfrom ..common import NAME\nfrom .other import write\n\
                 class Tell(BasePlugin):\n    def notify(self, node_detail, created):\n        write(node_detail, text(node_detail))\n"
            ),
        );
        folder.write("ours/sub/other.py", "def write(n, t): open(n['payload']['file'], 'w').write(t)\n");
        let stand = folder.stand(plugin, false);
        open(&stand).unwrap_or_else(|error| panic!("{error}"));
        let file = folder.path("told");
        stand.attempt(&json!({"port": {"id": "p"}, "file": file})).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "ours p");
    }
}
