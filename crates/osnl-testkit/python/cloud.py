"""Keystone, Neutron, Ironic and others as they come from PyPI, on SQLite and loopback.

    cloud.py prepare FOLDER             writes configurations, makes databases; FOLDER/cloud.json says how
    cloud.py serve FOLDER SERVICE       serves one API until it is killed; prints "serving" first

cloud.json: {"broker": URL, "ports": {SERVICE: PORT}, "password": TEXT, "token_seconds": NUMBER}. The services are
those that have a port.
"""

import ctypes
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

HOST = "127.0.0.1"


def main():
    folder = os.path.abspath(sys.argv[2])
    with open(os.path.join(folder, "cloud.json")) as file:
        cloud = json.load(file)
    if sys.argv[1] == "prepare":
        for service in cloud["ports"]:
            PREPARE[service](folder, cloud)
    else:
        serve(folder, cloud, sys.argv[3])


def write(folder, name, sections):
    lines = []
    for section, options in sections.items():
        lines.append("[%s]" % section)
        lines += ["%s = %s" % pair for pair in options.items()]
    path = os.path.join(folder, name + ".conf")
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")
    return path


def database(folder, name):
    return {"connection": "sqlite:///%s/%s.db" % (folder, name)}


def keystone_url(cloud):
    return "http://%s:%d/v3" % (HOST, cloud["ports"]["keystone"])


def login(cloud):
    """The options under which a service asks Keystone who is calling."""
    return {
        "auth_type": "password",
        "auth_url": keystone_url(cloud),
        "www_authenticate_uri": keystone_url(cloud),
        "username": "admin",
        "password": cloud["password"],
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        # Each request shows a token that is not cached.
        "token_cache_time": -1,
    }


def notifying(cloud, **more):
    default = {"transport_url": cloud["broker"], "use_stderr": True, "log_dir": "", **more}
    return {
        "DEFAULT": default,
        "oslo_messaging_notifications": {"driver": "messagingv2", "transport_url": cloud["broker"]},
        "oslo_policy": {"enforce_scope": False, **cloud.get("oslo_policy", {})},
    }


def run(program, *arguments):
    path = os.path.join(os.path.dirname(sys.executable), program)
    done = subprocess.run([path, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit("%s ended with %d:\n%s" % (program, done.returncode, done.stdout.decode()[-4000:]))


def keystone(folder, cloud):
    keys = {name: os.path.join(folder, name) for name in ("fernet", "credential")}
    conf = write(folder, "keystone", {
        # Failed logins are notified too.
        **notifying(cloud, notification_opt_out="", notification_format="cadf"),
        "database": database(folder, "keystone"),
        "cache": {"enabled": True, "backend": "dogpile.cache.memory"},
        "token": {"provider": "fernet", "expiration": cloud.get("token_seconds", 3600)},
        "fernet_tokens": {"key_repository": keys["fernet"]},
        "credential": {"key_repository": keys["credential"]},
    })
    for path in keys.values():
        os.makedirs(path, exist_ok=True)
    user = ["--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid())]
    run("keystone-manage", "--config-file", conf, "db_sync")
    run("keystone-manage", "--config-file", conf, "fernet_setup", *user)
    run("keystone-manage", "--config-file", conf, "credential_setup", *user)
    url = keystone_url(cloud)
    run("keystone-manage", "--config-file", conf, "bootstrap", "--bootstrap-password", cloud["password"],
        "--bootstrap-public-url", url, "--bootstrap-internal-url", url, "--bootstrap-admin-url", url,
        "--bootstrap-region-id", "RegionOne")


def neutron(folder, cloud):
    state = os.path.join(folder, "neutron-state")
    os.makedirs(state, exist_ok=True)
    paste = os.path.join(sys.prefix, "etc", "neutron", "api-paste.ini")
    conf = write(folder, "neutron", {
        **notifying(cloud, core_plugin="ml2", service_plugins="router,port_forwarding", auth_strategy="keystone",
                    api_paste_config=paste, state_path=state, notify_nova_on_port_status_changes=False,
                    notify_nova_on_port_data_changes=False, allow_overlapping_ips=True),
        "database": database(folder, "neutron"),
        "keystone_authtoken": login(cloud),
        "oslo_concurrency": {"lock_path": state},
        "ml2": {"type_drivers": "local,flat", "tenant_network_types": "local", "mechanism_drivers": ""},
    })
    models = (
        "from oslo_config import cfg; from neutron.conf import common; from neutron.common import config; "
        "from neutron_lib.db import model_base; from neutron.db.migration.models import head; "
        "import sqlalchemy; "
        "model_base.BASEV2.metadata.create_all(sqlalchemy.create_engine('sqlite:///%s/neutron.db'))" % folder
    )
    run("python", "-c", models)
    return conf


def ironic(folder, cloud):
    interfaces = ["boot", "deploy", "inspect", "management", "power", "console", "bios", "raid", "rescue", "vendor",
                  "storage", "firmware"]
    default = {"enabled_hardware_types": "fake-hardware", "notification_level": "info", "auth_strategy": "keystone",
               "rpc_transport": "oslo", "host": "conductor-1", "enabled_network_interfaces": "noop",
               "default_network_interface": "noop", "my_ip": HOST}
    for interface in interfaces:
        fake = "noop" if interface == "storage" else "fake"
        default["enabled_%s_interfaces" % interface] = fake
        default["default_%s_interface" % interface] = fake
    conf = write(folder, "ironic", {
        **notifying(cloud, **default),
        "database": database(folder, "ironic"),
        "keystone_authtoken": login(cloud),
        "service_catalog": login(cloud),
        "conductor": {"api_url": "http://%s:%d" % (HOST, cloud["ports"]["ironic"])},
        "oslo_concurrency": {"lock_path": folder},
    })
    run("ironic-dbsync", "--config-file", conf, "create_schema")


def nova(folder, cloud):
    conf = write(folder, "nova", {
        **notifying(cloud, state_path=folder),
        "database": database(folder, "nova"),
        "api_database": database(folder, "nova-api"),
        "keystone_authtoken": login(cloud),
        "oslo_concurrency": {"lock_path": folder},
    })
    run("nova-manage", "--config-file", conf, "api_db", "sync")
    run("nova-manage", "--config-file", conf, "db", "sync", "--local_cell")
    run("nova-manage", "--config-file", conf, "cell_v2", "map_cell0", "--database_connection",
        "sqlite:///%s/nova.db" % folder)


def glance(folder, cloud):
    conf = write(folder, "glance-api", {
        **notifying(cloud, enabled_backends="files:file"),
        "database": database(folder, "glance"),
        "keystone_authtoken": login(cloud),
        "paste_deploy": {"flavor": "keystone",
                         "config_file": os.path.join(sys.prefix, "etc/glance/glance-api-paste.ini")},
        "glance_store": {"default_backend": "files"},
        "files": {"filesystem_store_datadir": os.path.join(folder, "images")},
        "oslo_concurrency": {"lock_path": folder},
    })
    os.makedirs(os.path.join(folder, "images"), exist_ok=True)
    run("glance-manage", "--config-file", conf, "db_sync")


def nothing(folder, cloud):
    """The conductor has ironic's configuration."""


PREPARE = {"keystone": keystone, "neutron": neutron, "ironic": ironic, "conductor": nothing, "nova": nova,
           "glance": glance}


def application(folder, service):
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = os.path.join(folder, "keystone.conf")
    os.environ["OS_NEUTRON_CONFIG_FILES"] = os.path.join(folder, "neutron.conf")
    sys.argv = [service, "--config-file", os.path.join(folder, service + ".conf")]
    if service == "keystone":
        sys.argv = [service]
        from keystone.wsgi.api import application
    elif service == "neutron":
        sys.argv = [service]
        from neutron.wsgi.api import application
        # Else the first question about a port fails.
        from sqlalchemy import orm
        orm.configure_mappers()
    elif service == "ironic":
        from ironic.wsgi.api import application
    elif service == "nova":
        os.environ["OS_NOVA_CONFIG_DIR"] = folder
        os.environ["OS_NOVA_CONFIG_FILES"] = os.path.join(sys.prefix, "etc/nova/api-paste.ini") + ";nova.conf"
        from nova.wsgi.osapi_compute import application
    else:
        os.environ["OS_GLANCE_CONFIG_DIR"] = folder
        os.environ["OS_GLANCE_CONFIG_FILES"] = "glance-api.conf"
        sys.argv = [service]
        from glance.wsgi.api import application
    return application


def conduct(folder):
    """Runs ironic's conductor, and says so when it has told the database of itself.

    It leaves our process group, so it is killed when this process ends (PR_SET_PDEATHSIG).
    """
    libc = ctypes.CDLL(None)
    path = os.path.join(os.path.dirname(sys.executable), "ironic-conductor")
    conductor = subprocess.Popen([path, "--config-file", os.path.join(folder, "ironic.conf")],
                                 preexec_fn=lambda: libc.prctl(1, signal.SIGKILL))
    database = sqlite3.connect("file:%s/ironic.db?mode=ro" % folder, uri=True)
    while conductor.poll() is None:
        if database.execute("select count(*) from conductor_hardware_interfaces").fetchone()[0] > 0:
            print("serving", flush=True)
            break
        time.sleep(0.2)
    sys.exit(conductor.wait())


def serve(folder, cloud, service):
    if service == "conductor":
        conduct(folder)
    from cheroot import wsgi
    made = application(folder, service)
    server = wsgi.Server((HOST, cloud["ports"][service]), made, numthreads=4)
    server.prepare()
    print("serving", flush=True)
    server.serve()


if __name__ == "__main__":
    main()
