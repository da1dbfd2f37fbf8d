# The image as a container: `$1` are the manifests, `$2` a Python with a YAML reader, `$3` a free port, `$4` the image's archive.
manifests=$1 python=$2 port=$3 archive=$4

# crun knows no mixture of both versions of control groups; in this namespace there is but the first.
! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
# crun gives a container's /dev/null to the container's user, on the host too: here it is not the host's.
mknod -m 666 null c 1 3
mount --bind null /dev/null

# Without a systemd that runs, podman warns that it makes no timer for the health check.
# run NAME OPTIONS…: the limits are those that a machine without further rights may set.
run() {
    name=$1
    shift
    podman run --detach --name "$name" --network host --cgroups disabled --runtime crun --read-only --cap-drop all \
        --security-opt no-new-privileges --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 "$@" > /dev/null 2> podman.err || { cat podman.err; fails "podman run $name"; }
}

goes() {
    podman stop --time 40 "$1" > /dev/null 2> podman.err || { cat podman.err; fails "podman stop $1"; }
    same "$(podman inspect --format '{{.State.ExitCode}}' "$1")" 0 "the status of $1"
    podman rm "$1" > /dev/null 2>&1 || fails "podman rm $1"
}

ends() {
    podman rm --force --all --time 0 > /dev/null 2>&1 || true
    podman rmi --force --all > /dev/null 2>&1 || true
}
trap ends EXIT

begin=$(date +%s%N)
loaded=$(podman load --quiet --input "$archive")
podman tag "${loaded##* }" osnl
step "loaded, $(($(stat -c %s "$archive") / 1000000)) MB"

sample image osnl /var/lib/osnl/events.jsonl > image.conf
chmod 644 image.conf
run image -v "$PWD/image.conf:/etc/osnl/osnl.conf:ro" -v osnl-state:/var/lib/osnl osnl
soon podman healthcheck run image
inside() {
    podman exec image /usr/bin/osnl "$@"
}
inside send --transport-url "$url" --exchange image --event-type compute.instance.create.end --payload '{}' > /dev/null
state=$(podman volume inspect --format '{{.Mountpoint}}' osnl-state)
soon has_lines "$state/events.jsonl" 1
step "started, and the first event is delivered"
same "$(stat -c '%u' "$state/events.jsonl" "$state/state/journal.db" | tr '\n' ' ')" "65532 65532 " "the user"
! inside init nova -o /etc/osnl/other.conf > image.out 2>&1 || fails "the root directory can be written"
grep -qi 'read-only' image.out || fails "the root directory is not read-only: $(cat image.out)"
same "$(podman inspect --format '{{len .HostConfig.CapAdd}} {{.Config.User}}' image)" "0 65532:65532" "the rights"
goes image
step "read-only, user 65532, no capability; stopped with status 0"

# A broker that is down is an incident, and restarting the container would not help.
sed 's#^transport_url = .*#transport_url = rabbit://127.0.0.1:1/#' image.conf > incident.conf
chmod 644 incident.conf
run incident -v "$PWD/incident.conf:/etc/osnl/osnl.conf:ro" osnl
incident() {
    podman exec incident /usr/bin/osnl status > incident.out 2>&1
    [ $? -eq 1 ] && grep -q '^!' incident.out
}
soon incident
podman healthcheck run incident > /dev/null || fails "unhealthy during an incident: $(cat incident.out)"
goes incident
step "healthy during an incident"

# As the manifests have it: the configuration of the ConfigMap, secrets and a volume that the group 65532 may read and write.
mkdir -p secrets tls volume
printf '%s' "$url" > secrets/nova.url
printf 'a-token-of-this-test' > secrets/admin.token
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=osnl -addext subjectAltName=IP:127.0.0.1 \
    -keyout tls/tls.key -out tls/tls.crt 2> /dev/null
chgrp -R 65532 secrets tls volume
chmod 440 secrets/* tls/*
chmod 2775 volume
"$python" - "$manifests" > paths << 'END'
import sys, yaml
# The notes that Helm prints are rendered too, as a text.
parts = [part for part in yaml.safe_load_all(open(sys.argv[1])) if isinstance(part, dict)]
found = lambda kind: next(part for part in parts if part["kind"] == kind)
open("osnl.conf", "w").write(found("ConfigMap")["data"]["osnl.conf"])
pod = found("Deployment")["spec"]["template"]["spec"]
(container,) = pod["containers"]
user = pod["securityContext"]
assert (user["runAsUser"], user["fsGroup"], user["runAsNonRoot"]) == (65532, 65532, True)
assert found("Deployment")["spec"]["replicas"] == 1
for name in ["startupProbe", "livenessProbe", "readinessProbe"]:
    assert container[name]["httpGet"]["scheme"] == "HTTPS"
    print(container[name]["httpGet"]["path"])
END
# Its port is free, and the exchange is made by this test alone.
sed -i "s/0\.0\.0\.0:9464/127.0.0.1:$port/; s/^pool = osnl/pool = cluster\ndeclare = create/" osnl.conf
chmod 644 osnl.conf
run cluster --user 65532:65532 --group-add 65532 -v "$PWD/osnl.conf:/etc/osnl/osnl.conf:ro" -v "$PWD/secrets:/etc/osnl/secrets:ro" \
    -v "$PWD/tls:/etc/osnl/tls:ro" -v "$PWD/volume:/var/lib/osnl" osnl run
probe() {
    "$python" -c 'import ssl, sys, urllib.request as r
sys.exit(r.urlopen(sys.argv[1], context=ssl._create_unverified_context(), timeout=5).status != 200)' "https://127.0.0.1:$port$1"
}
while read -r path; do
    soon probe "$path"
done < paths
! probe /metrics 2> /dev/null || fails "metrics without the token"
goes cluster
step "as in Kubernetes: probes over HTTPS, secrets of a group, a volume of a group"
