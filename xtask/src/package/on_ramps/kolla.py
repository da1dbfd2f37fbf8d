"""The on-ramp of Kolla-Ansible: kolla-ansible and kolla of PyPI run the files of packaging/kolla-ansible.

The commands are Kolla's own: kolla-build makes the Dockerfile, kolla-ansible runs the playbook, kolla_set_configs and
kolla_start begin the daemon in a root directory with the image's users. Stand-ins: the engine of containers, whose
requests are written down, and sudo. No image is built, because its base image is not in a registry of packages.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import yaml

from common import OSNL, PORT, ROOT, URL, WORK, block, free_port, receiver, run, same, send, soon, step

PAGE, FILES = "kolla-ansible.md", ROOT / "packaging/kolla-ansible"
SHARE = os.path.join(sys.prefix, "share")
STAND_INS = ROOT / "xtask/src/package/on_ramps/kolla"

work = WORK / "kolla"
etc, config, ansible, calls = work / "etc", work / "etc/config", work / "ansible", work / "calls"


def kolla_build():
    """Makes the Dockerfiles of Debian and of a distribution with RPMs."""
    conf = (FILES / "kolla-build.conf").read_text()
    assert "docker_dir = /etc/kolla/docker-osnl\n" in conf
    (work / "kolla-build.conf").write_text(conf.replace("/etc/kolla/docker-osnl", str(FILES / "docker")))
    for base, package in (("debian", "apt-get -y install --no-install-recommends /tmp/osnl.deb"),
                          ("rocky", "dnf -y install /tmp/osnl.rpm")):
        target = work / base
        run("kolla-build", "--config-file", work / "kolla-build.conf", "--base", base, "--template-only",
            "--work-dir", target, "^osnl$")
        lines = (target / "docker/osnl/Dockerfile").read_text()
        assert package in lines and lines.rstrip().endswith("USER osnl"), lines
        assert "--groups kolla osnl" in lines and "chown -R 42600:42600 /var/lib/osnl" in lines, lines
        users = (target / "docker/base/Dockerfile").read_text()
        assert re.search(r"useradd.* 42600 .*osnl", users), "the base image lacks the user osnl"


def prepare():
    """Puts the files into copies of Kolla-Ansible's folder and of /etc/kolla, as the page says."""
    shutil.copytree(f"{SHARE}/kolla-ansible/ansible", ansible)
    shutil.copytree(FILES / "ansible", ansible, dirs_exist_ok=True)
    for stand_in, place in (("worker", "module_utils/kolla_docker_worker"), ("worker", "module_utils/kolla_systemd_worker"),
                            ("toolbox", "library/kolla_toolbox"), ("facts", "library/kolla_container_facts")):
        shutil.copy(STAND_INS / f"{stand_in}.py", ansible / f"{place}.py")
    shutil.copytree(FILES / "config", config)
    (config / "osnl.conf").write_text(block(PAGE, "osnl.conf"))
    (work / "certificates").mkdir()
    for name in ("cert", "key"):
        (work / f"certificates/osnl-{name}.pem").write_text(f"a {name}\n")
    passwords = yaml.safe_load(open(f"{SHARE}/kolla-ansible/etc_examples/kolla/passwords.yml"))
    passwords = {name: value or "secret" for name, value in passwords.items()}
    (etc / "passwords.yml").write_text(yaml.safe_dump(passwords))
    (etc / "globals.yml").write_text(yaml.safe_dump({
        "kolla_internal_vip_address": "127.0.0.1", "network_interface": "lo", "kolla_base_distro": "debian",
        "node_config": str(work / "node"), "node_config_directory": str(work / "node"),
        "node_custom_config": str(config), "kolla_certificates_dir": str(work / "certificates"),
        # Its own expression asks a collection of Ansible that is not on PyPI alone.
        "kolla_same_external_internal_vip": True,
        "rabbitmq_port": PORT, **yaml.safe_load(block(PAGE, "globals.yml")), "osnl_port": free_port(), "config_owner_user": "root", "config_owner_group": "root",
    }))
    inventory = open(f"{SHARE}/kolla-ansible/ansible/inventory/all-in-one").read()
    (work / "inventory").write_text(
        f"{inventory}\n{block(PAGE, 'inventory')}\n[rabbitmq-cell1]\nlocalhost\n\n[all:vars]\nansible_become=false\n")


INTERPRETER = ("-e", f"ansible_python_interpreter={sys.executable}")
ENVIRONMENT = {**os.environ, "CALLS": str(calls), "ANSIBLE_HOME": str(work / "home"), "ANSIBLE_NOCOLOR": "1",
               "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_PIPELINING": "1", "LC_ALL": "C.UTF-8"}


def kolla_ansible(action, *words, ok=True):
    calls.write_text("")
    out = run("kolla-ansible", action, "--configdir", etc, "-i", work / "inventory", "-p", ansible / "osnl.yml",
              *INTERPRETER, *words, ok=ok, env=ENVIRONMENT)
    return out, [json.loads(line) for line in calls.read_text().splitlines()]


PASSWORDS = ("-e", "osnl_rabbitmq_password=osnl-secret")


def deploy():
    out, _ = kolla_ansible("prechecks", ok=False)
    assert "osnl_rabbitmq_password is not set" in out, out
    step("kolla-ansible prechecks: names what is missing")

    _, asked = kolla_ansible("deploy", *PASSWORDS)
    users = [call for call in asked if call["action"] == "rabbitmq_user"]
    same([(user["user"], user["password"], user["vhost"]) for user in users], [("osnl", "osnl-secret", "/")],
         "the users in RabbitMQ")
    containers = [call for call in asked if call["action"] != "rabbitmq_user"]
    same([call["action"] for call in containers], ["compare_container", "recreate_or_restart_container"],
         "the requests about containers")
    for call in containers:
        same((call["name"], call["image"].split("/")[-1].split(":")[0]), ("osnl", "osnl"), "the container")
        assert f"{work}/node/osnl/:/var/lib/kolla/config_files/:ro" in call["volumes"], call
    step("kolla-ansible deploy: user, configuration, container")
    return containers[-1]["healthcheck"]["test"]


def upgrade():
    """A cell has a broker of its own; RabbitMQ and the backends have TLS."""
    more = {**yaml.safe_load(block(PAGE, "cells.yml")), "rabbitmq_enable_tls": True, **TLS}
    _, asked = kolla_ansible("upgrade", *PASSWORDS, "-e", json.dumps(more))
    same([call["vhost"] for call in asked if call["action"] == "rabbitmq_user"], ["/", "nova_cell1"],
         "the virtual hosts of the brokers")
    conf = (work / "other/osnl/osnl.conf").read_text()
    for line in ("[listener:cell1]", "transport_url = rabbit://osnl:osnl-secret@127.0.0.1:5673/nova_cell1",
                 "tls_key = /etc/osnl/certs/osnl-key.pem", "ssl = true"):
        assert line in conf.splitlines(), f"{line}: {conf}"
    for file in json.loads((work / "other/osnl/config.json").read_text())["config_files"]:
        assert (work / "other/osnl" / os.path.basename(file["source"])).exists(), file
    step("kolla-ansible upgrade: a broker for each cell, TLS")


TOKEN = "a-token-for-prometheus"
TLS = {"kolla_enable_tls_backend": True, "osnl_metrics_token": TOKEN, "node_config_directory": str(work / "other")}


def hooks():
    """The other actions, and the tasks of Kolla-Ansible's roles prometheus, fluentd, and cron. Returns fluentd's pattern."""
    role = {"name": "osnl"}
    act = lambda action: {"ansible.builtin.include_role": role, "vars": {"kolla_action": action}}
    folders = {"path": str(work / "other") + "/{{ item }}", "state": "directory"}
    tasks = [
        *map(act, ("precheck", "reconfigure", "pull", "stop", "check")),
        {"ansible.builtin.file": folders, "loop": ["prometheus-server", "fluentd", "cron"]},
        {"ansible.builtin.include_role": {"name": "prometheus", "tasks_from": "config.yml"}},
        {"ansible.builtin.include_role": {"name": "fluentd", "tasks_from": "config.yml"}},
        {"ansible.builtin.include_role": {"name": "cron", "tasks_from": "config.yml"}},
        act("deploy-containers"),
    ]
    play = [{"hosts": "localhost", "gather_facts": True, "tasks": tasks}]
    (ansible / "hooks.yml").write_text(yaml.safe_dump(play))
    shutil.copy(ROOT / "packaging/prometheus/osnl.rules.yml", config / "prometheus/osnl.rules")
    (config / "cron").mkdir()
    (config / "cron/cron-logrotate-global.conf").write_text(block(PAGE, "cron-logrotate-global.conf"))
    calls.write_text("")
    exporters = set(re.findall(r"^enable_prometheus_\w+", open(ansible / "group_vars/all/prometheus.yml").read(), re.M))
    more = {**dict.fromkeys(exporters - {"enable_prometheus_alertmanager"}, False), "enable_prometheus": True,
            "enable_prometheus_server": True, "CONFIG_DIR": str(etc), "kolla_action_stop_ignore_missing": False, **TLS}
    run("ansible-playbook", "-i", work / "inventory", "-e", f"@{etc}/globals.yml", "-e", f"@{etc}/passwords.yml",
        *INTERPRETER, *PASSWORDS, "-e", json.dumps(more), ansible / "hooks.yml", env=ENVIRONMENT)
    asked = [json.loads(line)["action"] for line in calls.read_text().splitlines()]
    expected = ["rabbitmq_user", "compare_container", "recreate_or_restart_container", "pull_image", "stop_container"]
    same([action for action in asked if action in expected][:5], expected, "the requests of all actions")
    step("reconfigure, pull, stop, check, deploy-containers")

    merged = yaml.safe_load((work / "other/prometheus-server/prometheus.yml").read_text())
    jobs = [job for job in merged["scrape_configs"] if job["job_name"] == "osnl"]
    same([job["authorization"]["credentials"] for job in jobs], [TOKEN], "the token in prometheus.yml")
    (target,) = jobs[0]["static_configs"][0]["targets"]
    assert f"listen = {target}" in (work / "other/osnl/osnl.conf").read_text().splitlines(), target
    assert "/etc/prometheus/osnl.rules" in merged["rule_files"], merged["rule_files"]
    expression = re.search(r"path /var/log/kolla/osnl/osnl\.log.*?expression /(.*?)/\n",
                           (work / "other/fluentd/fluentd.conf").read_text(), re.DOTALL)
    # What stands before all blocks counts for each: Kolla's logs are still there, and osnl's is one more.
    rotated = (work / "other/cron/logrotate.conf").read_text()
    common, *blocks = re.split(r'^(?=")', rotated, flags=re.MULTILINE)
    assert "copytruncate\n" in common and '"/var/log/kolla/nova/*.log"\n{\n}' in map(str.strip, blocks), rotated
    log = re.search(r"^log_file = (.*)$", (work / "other/osnl/osnl.conf").read_text(), re.MULTILINE)[1]
    same(blocks[-1].strip(), f'"{log}"\n{{\n}}', "the last block of logrotate.conf")
    step("Prometheus, fluentd, cron: Kolla-Ansible's roles take the files")
    return re.compile(expression[1].replace("(?<", "(?P<"))


STAGE = """set -eu
root=$1
for name in usr bin sbin lib lib64 dev; do
    [ -e "/$name" ] || continue
    mkdir -p "$root/$name"
    mount --rbind "/$name" "$root/$name"
done
mount --bind "$2" "$root/usr/local/bin"
mount -t proc proc "$root/proc"
chroot "$root" env -i PATH="$PATH" KOLLA_CONFIG_STRATEGY=COPY_ALWAYS kolla_set_configs
exec chroot --userspec=42600:42600 --groups=42600,42400 "$root" env -i PATH="$PATH" kolla_start
"""


def kolla_start(expression, health):
    """Runs the daemon as the container would: kolla_set_configs as root, then kolla_start as the user osnl."""
    root, programs = work / "root", work / "programs"
    for folder in ("etc/osnl", "var/lib/osnl", "var/lib/kolla", "var/log/kolla", "tmp", "proc"):
        (root / folder).mkdir(parents=True)
    shutil.copytree(work / "node/osnl", root / "var/lib/kolla/config_files")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nosnl:x:42600:42600::/var/lib/osnl:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nosnl:x:42600:\nkolla:x:42400:osnl\n")
    os.chown(root / "var/log/kolla", 0, 42400)
    (root / "var/log/kolla").chmod(0o2775)
    # sudo runs set_configs as root in the image; here it has run, and the two others have nothing to do.
    programs.mkdir()
    (programs / "sudo").write_text("#!/bin/sh\n")
    base = work / "debian/docker/base"
    for name, source in (("kolla_set_configs", base / "set_configs.py"), ("kolla_start", base / "start.sh"),
                         ("kolla_extend_start", FILES / "docker/osnl/extend_start.sh"), ("osnl", OSNL)):
        shutil.copy(source, programs / name)
    for program in programs.iterdir():
        program.chmod(0o755)
    # The page's action, with a target of this test.
    conf, target = root / "var/lib/kolla/config_files/osnl.conf", receiver()
    text = conf.read_text()
    assert "https://cmdb.example.com/" in text, text
    conf.write_text(text.replace("https://cmdb.example.com/", target.url))
    send(URL, "nova", "compute.instance.create.end")
    path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    unshare = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")
    with open(work / "container.log", "w") as log:
        container = subprocess.Popen([*unshare, "sh", "-c", STAGE, "sh", root, programs], stdin=subprocess.DEVNULL,
                                     stdout=log, stderr=log, env={**os.environ, "PATH": path})
    children = f"/proc/{container.pid}/task/{container.pid}/children"
    soon(lambda: open(children).read(), "a process of the container")
    child = open(children).read().strip()
    try:
        written = root / "var/log/kolla/osnl/osnl.log"
        soon(lambda: container.poll() is None and written.exists() and "listener.name=kolla" in written.read_text(),
             f"a log of osnl: {(work / 'container.log').read_text()}")
        send(URL, "nova", "compute.instance.delete.end")
        soon(lambda: target.paths == ["/hooks/deleted/i-1"], "an event")
        same((root / "etc/osnl/osnl.conf").stat().st_uid, 42600, "the owner of osnl.conf")
        same(health[0], "CMD-SHELL", "the health check")
        run("nsenter", "--mount", "--target", child, "chroot", "--userspec=42600:42600", root, "env", f"PATH={path}",
            "sh", "-c", health[1])
        for line in written.read_text().splitlines():
            assert expression.match(line), f"fluentd would not parse: {line}"
    finally:
        # The first process of its process namespace: the others end with it.
        os.kill(int(child), signal.SIGKILL)
        container.wait()
    step("kolla_set_configs, kolla_start: an event delivered, a log that fluentd parses")


def main():
    if os.geteuid() != 0:
        sys.exit("package: FAILED: this on-ramp makes a root directory for the daemon; run it as root")
    shutil.rmtree(work, ignore_errors=True)
    config.parent.mkdir(parents=True)
    kolla_build()
    step("kolla-build: the Dockerfiles for deb and rpm")
    prepare()
    health = deploy()
    upgrade()
    kolla_start(hooks(), health)


if __name__ == "__main__":
    main()
