"""What runs an existing plug-in class of the OSS Framework under Python 3, with the standard library alone.

osnl writes to our standard input: one line of JSON with what is to be loaded, then one line for each event:

    {"id": 3, "node_detail": {...}, "created": true}

and reads one verdict for each from our standard output, as docs/exec.md has it. The class sees neither: its standard
output is our standard error, which osnl writes into its log, and its standard input is empty.

oslo.config and oss_framework are the real ones where this interpreter has them; otherwise they are what stands here:
as much of them as plug-ins use.
"""

import importlib
import importlib.util
import json
import logging
import os
import re
import sys
import traceback
import types

PLUGINS = "oss_framework.plugins"


def _module(name, package=None, **names):
    """A module as if it had been imported; a package has the folders that its modules are looked for in."""
    module = types.ModuleType(name)
    if package is not None:
        module.__path__ = package
    module.__dict__.update(names)
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)
    return module


def _is_there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def provide_oslo_config(texts, files):
    """The module cfg: the real one, told of the files, or ours, filled. Also by its old name oslo.config."""
    if _is_there("oslo_config.cfg"):
        cfg = importlib.import_module("oslo_config.cfg")
        cfg.CONF(args=[], project="oss_framework", default_config_files=files, default_config_dirs=[])
        package = sys.modules["oslo_config"]
    else:
        package = _module("oslo_config", [])
        names = {name: value for name, value in globals().items() if _is_of_cfg(value)}
        conf = ConfigOpts()
        conf._fill(texts)
        cfg = _module("oslo_config.cfg", CONF=conf, **names)
    if not _is_there("oslo.config.cfg"):
        if "oslo" not in sys.modules:
            _module("oslo", [])
        sys.modules["oslo.config"] = sys.modules["oslo"].config = package
        sys.modules["oslo.config.cfg"] = cfg
    return cfg


def _is_of_cfg(value):
    ours = (Error, Opt, DeprecatedOpt, OptGroup, GroupAttr, ConfigOpts)
    return isinstance(value, type) and issubclass(value, ours)


def provide_oss_framework(cfg, folders):
    """The package that plug-ins stand in: the real one, or its configuration and its base class."""
    if _is_there(PLUGINS):
        plugins = importlib.import_module(PLUGINS)
        plugins.__path__ = folders + list(plugins.__path__)
        return
    register(cfg)
    _module("oss_framework", [], __version__="2015.1")
    _module("oss_framework.version", version="2015.1")
    _module("oss_framework.cfg", CONF=cfg.CONF, cfg=cfg, parse_args=lambda *_, **__: None)
    _module(PLUGINS, folders)

    class BasePlugin(object):
        CONF = cfg.CONF

        def __init__(self, *args, **kwargs):
            super(BasePlugin, self).__init__()

        def notify(self, node_detail, created):
            raise NotImplementedError("%s has no notify" % type(self).__name__)

    BasePlugin.__module__ = PLUGINS + ".base"
    _module(PLUGINS + ".base", CONF=cfg.CONF, BasePlugin=BasePlugin)


def register(cfg):
    """The options that oss_watcher registers, with its defaults."""
    events = ["compute.instance.%s.end", "floatingip.update.end"]
    groups = {
        "DEFAULT": [
            cfg.ListOpt("enabled_plugins", default=["rest_plugin.RESTNotify"]),
            cfg.StrOpt("log_file", default="/var/log/oss.log"),
            cfg.ListOpt("events_creation", default=[events[0] % "create", events[1]]),
            cfg.ListOpt("events_deletion", default=[events[0] % "delete", events[1]]),
        ],
        "rabbit": [cfg.IntOpt("port", default=5672)]
        + _texts(cfg, host="127.0.0.1", user="nova", password="password", watch_queue="notifications.info"),
        "rest": [cfg.IntOpt("port", default=80)]
        + _texts(cfg, host="127.0.0.1", user="nova", password="password", url_creation="/", url_deletion="/"),
        "openstack": _texts(
            cfg, auth_url="http://localhost:5000/v2.0", user="user", password="password", tenant="admin"
        ),
    }
    for group, opts in groups.items():
        if group == "DEFAULT":
            cfg.CONF.register_opts(opts)
        else:
            cfg.CONF.register_opts(opts, cfg.OptGroup(group))


def _texts(cfg, **defaults):
    return [cfg.StrOpt(name, default=default) for name, default in defaults.items()]


# The plug-in.

# What only Python 2 reads, and what it is called.
PYTHON_2 = [
    (r"^\s*print\b(?!\s*[(=.])", "the print statement"),
    (r"^\s*exec\s+[^(=\s]", "the exec statement"),
    (r"^\s*except\b[^:]*,\s*\w+\s*:", "except with a comma"),
    (r"^\s*raise\s+[\w.]+\s*,", "raise with a comma"),
    (r"`[^`]*`", "backticks"),
    (r"<>", "<>"),
    (r"\b0\d+\b", "an octal number without 0o"),
    (r"\b\d+[lL]\b", "a long number"),
    (r"\bur[\"']", "ur''"),
    (r"\bdef\b.*\(.*\(", "a tuple as a parameter"),
]
# Modules that only Python 2 has, and what they became.
MOVED = {
    "ConfigParser": "configparser",
    "HTMLParser": "html.parser",
    "Queue": "queue",
    "StringIO": "io",
    "cPickle": "pickle",
    "cStringIO": "io",
    "commands": "subprocess",
    "httplib": "http.client",
    "urllib2": "urllib.request",
    "urlparse": "urllib.parse",
    "xmlrpclib": "xmlrpc.client",
}


def last_line(error):
    return traceback.format_exception_only(type(error), error)[-1].strip()


def why(error):
    """What kept a plug-in from being loaded, for whoever has to mend it."""
    mine = "osnl runs plug-ins with Python %d.%d" % sys.version_info[:2]
    if isinstance(error, SyntaxError):
        line = (error.text or "").strip()
        place = "%s, line %s" % (error.filename, error.lineno)
        for pattern, name in PYTHON_2:
            if re.search(pattern, error.text or ""):
                return "%s is Python 2 (%s): %s; %s" % (place, name, line[:100], mine)
        if isinstance(error, TabError):
            return "%s is Python 2 (tabs and blanks mixed); %s" % (place, mine)
        return "%s: %s: %s; %s" % (place, error.msg, line[:100], mine)
    if isinstance(error, ModuleNotFoundError) and error.name in MOVED:
        return "it imports %s, a module of Python 2, now %s; %s" % (error.name, MOVED[error.name], mine)
    return last_line(error)


def load(plugin):
    """The object that is notified; the names are those of enabled_plugins, or those of an installed module."""
    module, _, name = plugin.rpartition(".")
    full = PLUGINS + "." + module
    found = full if _is_there(full) else module
    if not _is_there(found):
        raise LookupError("there is no module %s in plugin_path, nor is one installed" % module)
    loaded = importlib.import_module(found)
    if not hasattr(loaded, name):
        raise LookupError("%s has no class %s" % (getattr(loaded, "__file__", found), name))
    made = getattr(loaded, name)()
    if not callable(getattr(made, "notify", None)):
        raise LookupError("%s has no method notify(self, node_detail, created)" % plugin)
    return made


class Handler(logging.Handler):
    """To standard error, each line with the priority by which osnl knows its level."""

    def emit(self, record):
        try:
            say(record.levelno, "%s: %s" % (record.name, self.format(record)))
        except Exception:
            self.handleError(record)


def say(level, text):
    priority = 3 if level >= logging.ERROR else 4 if level >= logging.WARNING else 6 if level >= logging.INFO else 7
    for line in text.splitlines():
        if line.strip():
            sys.stderr.write("<%d>%s\n" % (priority, line))
    sys.stderr.flush()


def serve(pipe, out):
    own = os.getpid()

    def reply(**answer):
        # A copy of us that a plug-in has made and not ended: it must neither answer nor read what we are sent.
        if os.getpid() != own:
            os._exit(0)
        out.write(json.dumps(answer).encode() + b"\n")
        out.flush()

    order = json.loads(pipe.readline())
    try:
        sys.path[:0] = order["plugin_path"]
        cfg = provide_oslo_config(order["config"], order["config_files"])
        provide_oss_framework(cfg, list(order["plugin_path"]))
        plugin = load(order["plugin"])
    except (Exception, SystemExit) as error:
        say(logging.ERROR, traceback.format_exc())
        reply(fatal=why(error)[:500])
        return
    ours = os.getpid()
    for line in pipe:
        event = json.loads(line)
        if "hello" in event:
            reply(id=event["id"], verdict="done", reason="loaded")
            continue
        verdict, reason = "done", "notified"
        try:
            plugin.notify(event["node_detail"], event["created"])
        except (Exception, SystemExit) as error:
            say(logging.ERROR, traceback.format_exc())
            # What an unreachable target raises: sockets, urllib, requests. It is waited for without end.
            verdict = "transient" if isinstance(error, OSError) else "failed"
            reason = last_line(error)[:500]
        if os.getpid() != ours:
            # A process that the plug-in has forked, and that has come back here: events and verdicts are not its own.
            os._exit(0)
        reply(id=event["id"], verdict=verdict, reason=reason)


def main(pipe):
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    # Of its own: a plug-in that closes it still has the other one.
    sys.stdout = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[Handler()])
    serve(pipe, out)


main(pipe)  # noqa: F821: whoever runs this gives it
