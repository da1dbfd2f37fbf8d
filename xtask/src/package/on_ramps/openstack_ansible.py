"""The on-ramp of OpenStack-Ansible, which PyPI lacks: its variables and the role mq_setup are recorded.

The playbook of packaging/openstack-ansible runs as it is. Stand-ins: openstack.osa.mq_setup, which writes its variables
down, and the package's installation (package ansible-test has that). The daemon then reads from two virtual hosts.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import yaml

from common import OSNL, PORT, ROOT, URL, WORK, block, receiver, run, same, send, soon, step

FILES = ROOT / "packaging/openstack-ansible"
RECORDED = yaml.safe_load((pathlib.Path(__file__).parent / "recorded/openstack-ansible.yml").read_text())
work = WORK / "openstack-ansible"


def prepare():
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(FILES, work)
    shutil.copytree(ROOT / "packaging/ansible/roles", work / "roles")
    (work / "roles/osnl/tasks/install.yml").write_text("[]\n")
    mq_setup = work / "collections/ansible_collections/openstack/osa/roles/mq_setup/tasks"
    mq_setup.mkdir(parents=True)
    names = ", ".join(f"'{name}': {name}" for name in RECORDED["mq_setup"])
    (mq_setup / "main.yml").write_text(yaml.safe_dump([{
        "ansible.builtin.copy": {"content": "{{ {" + names + "} | to_json }}", "mode": "0600",
                                 "dest": str(work) + "/mq-{{ _oslomsg_notify_vhost }}.json"}}]))
    inventory = block("openstack-ansible.md", "inventory.ini").replace("infra1", "localhost ansible_connection=local")
    (work / "inventory.ini").write_text(f"{inventory}\n[rabbitmq_all]\nlocalhost\n")
    variables = {**RECORDED["variables"], "rabbitmq_host_group": "rabbitmq_all", "rabbitmq_servers": "127.0.0.1,localhost",
                 "rabbitmq_port": int(PORT), "rabbitmq_use_ssl": False, "osnl_oslomsg_notify_password": "osnl-secret",
                 "osnl_conf_dir": str(work / "etc"), "osnl_group": "root", "osnl_service_manage": False,
                 "ansible_become": False, "ansible_python_interpreter": sys.executable}
    (work / "user_variables.yml").write_text(yaml.safe_dump(variables))


def play():
    environment = {**os.environ, "ANSIBLE_HOME": str(work / "home"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8",
                   "ANSIBLE_COLLECTIONS_PATH": str(work / "collections"), "ANSIBLE_LOCALHOST_WARNING": "0",
                   "ANSIBLE_PIPELINING": "1", "PATH": f"{pathlib.Path(OSNL).parent}:{os.environ['PATH']}"}
    given = {name for play in yaml.safe_load((FILES / "osnl.yml").read_text()) for task in play.get("tasks", [])
             for name in task["vars"]}
    same(sorted(given), RECORDED["mq_setup"], "the variables for mq_setup")
    out = run("ansible-playbook", "-i", work / "inventory.ini", "-e", f"@{work}/user_variables.yml", work / "osnl.yml",
              env=environment)
    assert "osnl-secret" not in out, "the output shows the password"
    for vhost in ("nova", "neutron"):
        asked = json.loads((work / f"mq-{vhost}.json").read_text())
        same((asked["_oslomsg_notify_userid"], asked["_oslomsg_notify_password"], asked["_oslomsg_notify_setup_host"]),
             ("osnl", "osnl-secret", "localhost"), f"the user of {vhost}")
    step("openstack-ansible osnl.yml: the user on each virtual host, the configuration")


def deliver():
    target = receiver()
    url = target.url + "{{ resource.id }}"
    for vhost in ("nova", "neutron"):
        send(f"{URL}{vhost}", vhost, "exists")
    with open(work / "osnl.log", "w") as log:
        daemon = subprocess.Popen(
            [OSNL, "run", "--config-file", work / "etc/osnl.conf", "--config-dir", work / "etc/conf.d"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={"OS_ACTION_CMDB__URL": url, "STATE_DIRECTORY": str(work), "PATH": os.environ["PATH"]})
    try:
        listening = lambda: (work / "osnl.log").read_text().count("listening at the broker") == 2
        soon(lambda: daemon.poll() is not None or listening(), "two listeners")
        assert daemon.poll() is None, (work / "osnl.log").read_text()
        for vhost in ("nova", "neutron"):
            send(f"{URL}{vhost}", vhost, "compute.instance.delete.end")
        soon(lambda: target.paths == ["/i-1"] * 2, "an event of each virtual host")
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
    step("an event of each virtual host is delivered, by one shared URL")


if __name__ == "__main__":
    prepare()
    play()
    deliver()
