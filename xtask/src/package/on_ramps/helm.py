"""The on-ramps of openstack-helm and RHOSO: packaging/helm, rendered by Helm's own library (helm-python-sdk of PyPI).

Kubernetes' schemas judge the manifests, recorded ones the two custom resources, osnl its configuration. No cluster is
tried.
"""

import base64
import copy
import pathlib
import shutil

import helm_python as helm
import jsonschema
import kubernetes_validate
import yaml

from common import OSNL, ROOT, WORK, run, same, step

CHART, EXAMPLES = ROOT / "packaging/helm/osnl", ROOT / "packaging/helm/examples"
RECORDED = pathlib.Path(__file__).parent / "recorded"
CUSTOM = yaml.safe_load((RECORDED / "custom-resources.yml").read_text())
MISTAKES = (("containerPort: 9464", 'containerPort: "9464"'),
            ("readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true"),
            ("accessModes: [ReadWriteOnce]", "accessModes: ReadWriteOnce"),
            ("podSelector:", "podSelectors:"), ("maxUnavailable:", "maxUnavailables:"),
            ("rabbitmqClusterName:", "clusterName:"), ("serverName:", "server:"))
IMAGE = {"repository": "registry.example.com/osnl"}
CLUSTER = {"secret": {"name": "nova-rabbitmq-user", "key": "TRANSPORT_URL"}, "exchanges": ["nova"]}


def rendered(values, name="osnl", namespace="openstack"):
    """Returns the manifests as one text, with an image unless the values have one."""
    values = {"image": IMAGE, **values}
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        files = chart.render(values, name=name, namespace=namespace)
        return "\n---\n".join(text for file, text in files.items() if not file.endswith("NOTES.txt"))


def parts(text):
    return [part for part in yaml.safe_load_all(text) if part]


def judge(text):
    """Fails with what a schema says of the manifests."""
    for part in parts(text):
        schema = CUSTOM["schemas"].get(f"{part['apiVersion']}/{part['kind']}")
        if schema:
            jsonschema.validate(part["spec"], schema)
        else:
            kubernetes_validate.validate(part, kubernetes_validate.latest_version(), strict=True)


def refused(text):
    try:
        judge(text)
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError):
        return True
    return False


def found(text, kind):
    return next(part for part in parts(text) if part["kind"] == kind)


def files_of_pod(text, target):
    """Writes the secrets that the pod would mount."""
    pod = found(text, "Deployment")["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    same(sorted(mounts), sorted(volume["name"] for volume in pod["volumes"]), "the volumes and their mounts")
    secrets = {part["metadata"]["name"]: part["data"] for part in parts(text) if part["kind"] == "Secret"}
    for volume in pod["volumes"]:
        folder = target / mounts[volume["name"]].lstrip("/")
        sources = [source["secret"] for source in volume.get("projected", {}).get("sources", [])]
        for secret in sources:
            for item in secret["items"]:
                folder.mkdir(parents=True, exist_ok=True)
                own = secrets.get(secret["name"], {}).get(item["key"])
                url = CUSTOM["url"].replace("HOST", secret["name"])
                text_of = base64.b64decode(own).decode() if own else url
                (folder / item["path"]).write_text("a-token-of-this-test" if item["key"] == "token" else text_of)
                (folder / item["path"]).chmod(0o640)


def configured(name, text):
    """osnl reads the configuration, with the pod's files below another root."""
    target = WORK / "helm" / name
    files_of_pod(text, target)
    for kind in ("tls", "ca"):
        (target / "etc/osnl" / kind).mkdir(parents=True, exist_ok=True)
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=osnl", "-keyout", target / "etc/osnl/tls/tls.key", "-out", target / "etc/osnl/tls/tls.crt")
    shutil.copy(target / "etc/osnl/tls/tls.crt", target / "etc/osnl/ca/bundle.pem")
    conf = target / "osnl.conf"
    conf.write_text(found(text, "ConfigMap")["data"]["osnl.conf"].replace("/etc/osnl/", f"{target}/etc/osnl/"))
    conf.chmod(0o640)
    run(OSNL, "check", "--config-file", conf, env={"STATE_DIRECTORY": str(target), "PATH": "/usr/bin:/bin"})


def endpoints():
    recorded = yaml.safe_load((RECORDED / "openstack-helm.yml").read_text())
    for case in recorded["urls"]:
        endpoint = {**copy.deepcopy(recorded["endpoint"]), **case["with"]}
        values = {"listeners": {"cinder": {"endpoint": "oslo_messaging", "exchanges": ["cinder"]}}, "conf": "[rule:x]",
                  "endpoints": {"cluster_domain_suffix": "cluster.local", "oslo_messaging": endpoint}}
        data = found(rendered(values, namespace="default"), "Secret")["data"]
        same(base64.b64decode(data["cinder"]).decode(), case["url"], f"the URL of {case['with']}")


def wrong_values():
    def expect(words, **values):
        try:
            rendered({"listeners": {"nova": CLUSTER}, "conf": "[rule:x]", **values})
        except helm.HelmError as error:
            assert words in str(error), error
        else:
            raise SystemExit(f"package: FAILED: the chart takes {values}")

    expect("image.repository is missing", image={"repository": ""})
    expect("listeners", listeners={})
    expect("exchanges", listeners={"nova": {"secret": {"name": "a", "key": "b"}}})
    expect("oneOf", listeners={"nova": {**CLUSTER, "endpoint": "oslo_messaging"}})
    expect("endpoints.oslo_messaging is missing", listeners={"nova": {"endpoint": "oslo_messaging", "exchanges": ["nova"]}})
    expect("a journal on a volume has one daemon", replicas=2)
    expect("replica", replica=2)
    expect("'enable'", persistence={"enable": False})
    expect("caBundle", caBundle={"secret": "combined-ca-bundle"})


def main():
    shutil.rmtree(WORK / "helm", ignore_errors=True)
    report = helm.lint(CHART, {"image": IMAGE, "listeners": {"nova": CLUSTER}, "conf": "[rule:x]"}, strict=True)
    # Severity 1 is a recommendation: the one that the chart does not follow is an icon, which osnl does not have.
    same([message for message in report["messages"] if message["severity"] > 1], [], "what helm lint says")
    texts = {path.stem: rendered(yaml.safe_load(path.read_text())) for path in sorted(EXAMPLES.glob("*.yaml"))}
    for name, text in texts.items():
        judge(text)
        configured(name, text)
    step(f"the chart: {', '.join(texts)} by Helm {helm.helm_sdk_version()}")

    together = "\n---\n".join(texts.values())
    for words, wrong in MISTAKES:
        assert words in together, f"no manifest has {words!r}"
        assert refused(together.replace(words, wrong)), f"the schemas take {wrong!r}"
    wrong_values()
    step(f"{len(MISTAKES)} mistakes in manifests and 9 in values are found")

    endpoints()
    names = [part["metadata"]["name"] for part in parts(texts["rhoso"]) if part["kind"] == "TransportURL"]
    pod = found(texts["rhoso"], "Deployment")["spec"]["template"]["spec"]
    sources = [source["secret"] for volume in pod["volumes"] for source in volume.get("projected", {}).get("sources", [])]
    for name in names:
        secret = CUSTOM["secret_of_transport_url"].replace("NAME", name)
        keys = [source["items"][0]["key"] for source in sources if source["name"] == secret]
        same(keys, [CUSTOM["key_of_transport_url"]], f"the key of {secret}")
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & pod["securityContext"].keys(), pod["securityContext"]
    check = found(texts["rhoso"], "Pod")["spec"]
    same(check["containers"][0]["volumeMounts"], pod["containers"][0]["volumeMounts"], "the files of the chart's test")
    same(check["volumes"][:-1], pod["volumes"][:-1], "the volumes of the chart's test")
    step("URLs as helm-toolkit makes them; the secrets of TransportURL")


if __name__ == "__main__":
    main()
