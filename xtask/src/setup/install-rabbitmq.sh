# Installs rabbitmq-server without letting anything start, now or at the next boot. Runs as root.
#
# Three things would start a node or epmd: invoke-rc.d and deb-systemd-invoke, which both ask policy-rc.d;
# systemctl, which erlang-base calls by itself and which a mask stops; and the next boot.
# shellcheck disable=SC2086,SC2116 # $units, $before, and $fetch are lists of words
set -eu
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1

policy=/usr/sbin/policy-rc.d
ours=
masked=

# Units that are there already belong to somebody: only those that the packages will bring are stopped.
units=
for unit in rabbitmq-server.service epmd.service epmd.socket; do
    if [ ! -e "/lib/systemd/system/$unit" ] && [ ! -e "/usr/lib/systemd/system/$unit" ]; then
        units="$units $unit"
    fi
done

undo() {
    if [ -n "$masked" ]; then systemctl --runtime unmask $units >/dev/null 2>&1 || true; fi
    if [ -n "$ours" ]; then rm -f "$policy"; fi
}
trap undo EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Processes of the accounts that the packages bring, by pid.
accounts() { ps -eo pid=,user:32= 2>/dev/null | awk '$2 == "rabbitmq" || $2 == "epmd" { print $1 }'; }
before=$(accounts)

if [ -d /run/systemd/system ] && [ -n "$units" ]; then
    systemctl --runtime mask $units >/dev/null
    masked=yes
fi
if [ ! -e "$policy" ]; then
    # `set -C` refuses to write a file that came into being meanwhile.
    (set -C; printf '#!/bin/sh\n# Temporary: cargo xtask setup installs packages and nothing may start.\nexit 101\n' >"$policy")
    ours=yes
    chmod 755 "$policy"
elif [ -z "$masked" ]; then
    status=0
    "$policy" rabbitmq-server start || status=$?
    if [ "$status" -ne 101 ]; then
        echo "$policy exists and lets services start; install rabbitmq-server by hand" >&2
        exit 1
    fi
fi

fetch='-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3'
apt-get $fetch -q update
apt-get $fetch -q -y install --no-install-recommends rabbitmq-server procps

update-rc.d rabbitmq-server disable >/dev/null 2>&1 || true
if [ -n "$units" ] && command -v systemctl >/dev/null; then systemctl disable $units >/dev/null 2>&1 || true; fi
for pid in $(accounts); do
    case " $(echo $before) " in
        *" $pid "*) ;;
        *) kill "$pid" 2>/dev/null || true ;;
    esac
done
