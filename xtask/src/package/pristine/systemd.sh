# osnl by apt under a real systemd: enabled, reloaded, upgraded while it runs, a second instance, removed.
old=/mnt/$1
new=/mnt/$2
apt() {
    apt-get -y -q -o Dpkg::Use-Pty=0 --no-install-recommends "$@" > /tmp/apt 2>&1 || { cat /tmp/apt; fails "apt-get $*"; }
}
pid() {
    systemctl show --property=MainPID --value "$1"
}

begin=$(date +%s%N)
apt install "$old"
installed_units=$(systemctl is-enabled osnl k2hr3_osnl 2> /dev/null || true)
# shellcheck disable=SC2086,SC2116 # several lines become one
same "$(echo $installed_units)" "disabled disabled" "units after the installation"
step "installed, $(dpkg-query -W -f '${Version}' osnl)"
! systemctl start osnl 2> /dev/null || fails "the sample runs as it is"
same "$(systemctl show --property=ExecMainStatus --value osnl)" 78 "the status of a start without a configuration"
configure
install -d -o osnl -g osnl /var/log/osnl/late
systemctl reset-failed osnl
systemctl enable --now osnl 2> /dev/null || { journalctl -u osnl | tail -20; fails "systemctl enable --now"; }
soon osnl status
publish compute.instance.create.end
soon has_lines /var/log/osnl/events.jsonl 1
step "enabled, started, the first event is delivered"

first=$(pid osnl)
sed -i 's/^event_type = .*/event_type = ^(compute|port)\\./' /etc/osnl/conf.d/10-rules.conf
systemctl reload osnl
publish port.create.end
soon has_lines /var/log/osnl/events.jsonl 2
same "$(pid osnl)" "$first" "the process after a reload"
echo 'nonsense = 1' >> /etc/osnl/conf.d/10-rules.conf
! systemctl reload osnl 2> /dev/null || fails "a wrong configuration is taken"
same "$(pid osnl)" "$first" "the process after a refused reload"
sed -i '$d' /etc/osnl/conf.d/10-rules.conf
step "reloaded; a wrong configuration is refused"

osnl actions pause late > /dev/null
publish compute.instance.delete.end
soon has_lines /var/log/osnl/events.jsonl 3
apt install "$new"
[ "$(pid osnl)" != "$first" ] || fails "the daemon was not restarted by the upgrade"
same "$(systemctl is-active osnl)" active "the unit after the upgrade"
soon osnl actions resume late
soon has_lines /var/log/osnl/late/events.jsonl 3
step "upgraded: restarted by the package, what waited is delivered"

{
    printf '[DEFAULT]\nstate_dir = /var/lib/osnl/east\n'
    sample package east /var/log/osnl/east.jsonl
} > /etc/osnl/east.conf
chgrp osnl /etc/osnl/east.conf
systemctl enable --now osnl@east 2> /dev/null || { journalctl -u osnl@east | tail -20; fails "osnl@east"; }
soon osnl status -c /etc/osnl/east.conf
publish compute.instance.create.end
soon has_lines /var/log/osnl/east.jsonl 1
soon has_lines /var/log/osnl/events.jsonl 4
step "osnl@east beside it, each with its journal"

# The drop-in's unit, with the file and the message of k2hr3_osnl's manual.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > /run/role.py << 'END'
import http.server
import sys


class Role(http.server.BaseHTTPRequestHandler):
    def do_DELETE(self):
        with open('/run/role', 'a') as role:
            role.write(self.path + '\n')
        self.send_response(204)
        self.end_headers()


http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Role).serve_forever()
END
python3 /run/role.py "$port" > /dev/null 2>&1 &
role=$!
! systemctl start k2hr3_osnl 2> /dev/null || fails "k2hr3_osnl runs without a configuration"
systemctl stop k2hr3_osnl
sed -e "s|^transport_url = .*|transport_url = $url|" -e "s|^api_url = .*|api_url = http://127.0.0.1:$port/v1/role|" \
    /etc/k2hr3/k2hr3_osnl.conf.sample > /etc/k2hr3/k2hr3_osnl.conf
chgrp k2hr3 /etc/k2hr3/k2hr3_osnl.conf
chmod 640 /etc/k2hr3/k2hr3_osnl.conf
systemctl enable --now k2hr3_osnl 2> /dev/null || { journalctl -u k2hr3_osnl | tail -20; fails "k2hr3_osnl"; }
same "$(awk '/^Uid:/ { print $2 }' "/proc/$(pid k2hr3_osnl)/status")" "$(id -u k2hr3)" "the user of k2hr3_osnl.service"
deleted=12345678-1234-5678-1234-567812345678
soon osnl send --transport-url "$url" --exchange neutron --event-type port.delete.end \
    --publisher-id network.hostname.domain_name \
    --payload '{"device_id": "'$deleted'", "fixed_ips": [{"ip_address": "172.16.0.1"}]}'
soon has_lines /run/role 1
same "$(cat /run/role)" "/v1/role?extra=openstack-auto-v1&cuk=$deleted&host=%5B%22172.16.0.1%22%5D" "the request"
first=$(pid k2hr3_osnl)
systemctl reload k2hr3_osnl
same "$(systemctl is-active k2hr3_osnl) $(pid k2hr3_osnl)" "active $first" "k2hr3_osnl after a reload"
systemctl restart k2hr3_osnl
[ "$(pid k2hr3_osnl)" != "$first" ] || fails "k2hr3_osnl was not restarted"
kill "$role"
step "k2hr3_osnl.service: the manual's message is a request"

kill -KILL "$(pid osnl)"
systemctl kill --signal=KILL osnl 2> /dev/null || true
# shellcheck disable=SC2016 # the inner shell asks each time
soon sh -c '[ "$(systemctl show --property=NRestarts --value osnl)" -ge 1 ]'
soon systemctl is-active --quiet osnl
step "killed: systemd starts it again"

apt remove osnl
# shellcheck disable=SC2046,SC2005 # several lines become one
same "$(echo $(systemctl is-active osnl osnl@east k2hr3_osnl))" "inactive inactive inactive" "the units after the removal"
[ -f /var/lib/osnl/journal.db ] || fails "the journal is gone"
apt purge osnl
[ ! -e /var/lib/osnl ] || fails "the journal is still there"
same "$(find /etc/systemd/system -name 'osnl*')" "" "links of units after the purge"
step "removed: daemons stopped; purged"
