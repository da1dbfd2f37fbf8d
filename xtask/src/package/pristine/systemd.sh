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

kill -KILL "$(pid osnl)"
systemctl kill --signal=KILL osnl 2> /dev/null || true
soon sh -c '[ "$(systemctl show --property=NRestarts --value osnl)" -ge 1 ]'
soon systemctl is-active --quiet osnl
step "killed: systemd starts it again"

apt remove osnl
same "$(echo $(systemctl is-active osnl osnl@east))" "inactive inactive" "the units after the removal"
[ -f /var/lib/osnl/journal.db ] || fails "the journal is gone"
apt purge osnl
[ ! -e /var/lib/osnl ] || fails "the journal is still there"
step "removed: daemons stopped; purged"
