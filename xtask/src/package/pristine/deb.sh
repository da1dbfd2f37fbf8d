# osnl by apt: nothing, installed, an event delivered, upgraded with a journal in use, removed, purged.
old=/mnt/$1
new=/mnt/$2
# A purge on Ubuntu 22.04 warns that the folder of units is not empty, because there dpkg counts it as osnl's alone.
apt() {
    apt-get -y -q -o Dpkg::Use-Pty=0 --no-install-recommends "$@" > /tmp/apt 2>&1 || { cat /tmp/apt; fails "apt-get $*"; }
    ! grep -iE 'warning|error' /tmp/apt | grep -vE "k2hr3-osnl|systemd/system' not empty" | grep . || fails "apt-get $*: see above"
}

# anonymous: the memory that the daemon costs. `most_anonymous`, in MiB, is set for the build of a release.
anonymous() {
    kib=$(awk '/^RssAnon:/ { print $2 }' "/proc/$daemon/status")
    step "anonymous memory when idle: $((kib / 1024)).$((kib % 1024 * 10 / 1024)) MiB"
    [ -z "${most_anonymous:-}" ] || [ "$kib" -le $((most_anonymous * 1024)) ] ||
        fails "more than $most_anonymous MiB of anonymous memory"
}

! command -v osnl > /dev/null || fails "osnl is there already"
theirs
begin=$(date +%s%N)
apt install "$old"
installed
step "installed, $(dpkg-query -W -f '${Version}' osnl)"
! osnl check > /tmp/check 2>&1 || fails "the sample runs as it is"
grep -q '/etc/osnl/osnl.conf' /tmp/check || fails "check does not name the file: $(cat /tmp/check)"

configure
osnl check > /dev/null
start
# The folder of an action's file goes: what is for it has to wait.
rm -r /var/log/osnl/late
publish compute.instance.create.end
soon has_lines /var/log/osnl/events.jsonl 1
step "the first event is delivered"
anonymous

# The daemon runs on while its file is replaced.
soon sh -c 'osnl deliveries list | grep -q late'
apt install "$new"
same "$(dpkg-query -W -f '${Version}' osnl | grep -c old)" 0 "the version"
grep -q '^exchange = package' /etc/osnl/osnl.conf || fails "the configuration was replaced"
same "$(stat -c '%U:%G %a' /etc/osnl/osnl.conf)" "root:osnl 640" "the configuration"
osnl status > /dev/null 2>&1 || [ $? -eq 1 ] || fails "the daemon does not answer"
publish compute.instance.delete.end
soon has_lines /var/log/osnl/events.jsonl 2
step "upgraded with a journal in use"
stop
start
soon has_lines /var/log/osnl/late/events.jsonl 2
step "restarted: what waited is delivered"
stop

apt remove osnl
for name in osnl k2hr3_osnl oss_watcher oss-watcher; do
    [ ! -e "/usr/bin/$name" ] || fails "$name is still there"
done
[ -f /var/lib/osnl/journal.db ] || fails "the journal is gone"
[ -f /etc/osnl/osnl.conf ] || fails "the configuration is gone"
same "$(k2hr3-osnl)" theirs "a program that was there"
step "removed: journal and configuration stay"
rm /etc/osnl/conf.d/10-rules.conf
apt purge osnl
nothing_left
step "purged"
