# The role osnl from the controller's side. `$1` is the package, `$2` an older one, `$3` the root
# directory of the host, `$4` its first process; this folder is the playbook's, and ansible is in PATH.
package=$1 old=$2 host=$3 leader=$4

inside() {
    nsenter --all --target "$leader" -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
}

# play NAME OPTIONS…: runs the playbook; its output is in NAME.out. A secret in it is an error.
play() {
    name=$1
    shift
    status=0
    ansible-playbook -i hosts.yml --vault-password-file vault-password play.yml "$@" > "$name.out" 2>&1 || status=$?
    ! grep -n -e 'guest:guest' -e "$token" -e "$other_token" "$name.out" || fails "$name shows a secret"
    return $status
}

# expect NAME changed=N…: words of the last line of a run.
expect() {
    name=$1
    shift
    for word; do
        grep '^target ' "$name.out" | grep -qw -- "$word" || { tail -40 "$name.out"; fails "$name: no $word"; }
    done
}

reloaded() {
    grep -A1 'RUNNING HANDLER \[osnl : Reload osnl\]' "$1.out" | grep -q '^changed'
}

files() {
    inside sh -c 'cd /etc/osnl && find . -type f | sort | xargs sha256sum; stat -c "%n %a %U:%G" /etc/osnl/* /etc/osnl/*/*'
}

# pid [UNIT]
pid() {
    inside systemctl show --property=MainPID --value "${1:-osnl}"
}

publish() {
    inside osnl send --transport-url "$url" --exchange package --event-type "$1" --payload '{"instance_id": "i-1"}' > /dev/null
}

lines() {
    [ "$(wc -l < "$host/var/log/osnl/$1")" -eq "$2" ]
}

token=a-token-that-stays-in-the-vault
other_token=another-token-from-the-vault
head -c 30 /dev/urandom | base64 > vault-password
{
    printf 'vault_url: %s\nvault_token: %s\n' "$url" "$token"
} > vault.yml
printf 'vault_token: %s\n' "$other_token" > other-vault.yml
ansible-vault encrypt --vault-password-file vault-password vault.yml other-vault.yml > /dev/null 2>&1
printf '#!/bin/sh\nshift\nexec nsenter --all --target %s -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"\n' "$leader" > chroot
chmod 755 chroot
cat > hosts.yml << END
all:
  hosts:
    target:
      ansible_connection: community.general.chroot
      ansible_host: $host
      ansible_chroot_exe: $PWD/chroot
      ansible_python_interpreter: /usr/bin/python3
END
cat > vars.yml << 'END'
osnl_secrets:
  package.url: "{{ vault_url }}"
  admin.token: "{{ vault_token }}"
osnl_conf:
  DEFAULT:
    debug: false
  admin:
    listen: unix:/var/lib/osnl/admin.sock
    token: "file://{{ osnl_secrets_dir }}/admin.token"
  listener:package:
    transport_url: "file://{{ osnl_secrets_dir }}/package.url"
    exchange: package
    pool: osnl
    declare: create
  action:file:
    driver: file
    path: /var/log/osnl/events.txt
    format: template
    template: !unsafe "{{ event_type }}"
  action:late:
    driver: file
    path: /var/log/osnl/late.txt
osnl_conf_d:
  10-rules:
    rule:all:
      event_type: ^compute\.
      actions: [file]
END
cat > play.yml << 'END'
- name: osnl
  hosts: all
  gather_facts: true
  vars_files: [vars.yml, vault.yml]
  roles: [osnl]
END

begin=$(date +%s%N)
play dry --check --diff -e "osnl_package_file=$old" || { tail -40 dry.out; fails "a dry run without the package"; }
[ ! -e "$host/usr/bin/osnl" ] || fails "a dry run installs"
step "a dry run on a host without osnl"

play first -e "osnl_package_file=$old" || { tail -40 first.out; fails "the first run"; }
same "$(inside systemctl is-active osnl)" active "the unit"
same "$(inside systemctl is-enabled osnl)" enabled "the unit"
same "$(inside stat -c '%a %U:%G' /etc/osnl/secrets /etc/osnl/secrets/package.url /etc/osnl/osnl.conf | tr '\n' ' ')" \
    "750 root:osnl 640 root:osnl 640 root:osnl " "the modes"
! reloaded first || fails "a daemon that was only just started is reloaded"
soon inside osnl status
publish compute.instance.create.end
soon lines events.txt 1
same "$(cat "$host/var/log/osnl/events.txt")" compute.instance.create.end "the event"
step "from nothing to the first delivered event"

play second --diff -e "osnl_package_file=$old" || { tail -40 second.out; fails "the second run"; }
expect second changed=0 failed=0
! reloaded second || fails "a reload without a change"
step "again: nothing is changed"

first=$(pid)
before=$(files)
wider='{"osnl_conf_overrides": {"rule:all": {"event_type": "^(compute|port)\\."}}, "osnl_conf_d": {"10-rules": {"rule:all": {"actions": ["file", "late"]}}}}'
play look --check --diff -e "osnl_package_file=$old" -e "$wider" || { tail -40 look.out; fails "--check --diff"; }
grep -q '^+event_type = ^(compute|port)' look.out || fails "--diff does not show the change"
same "$(files)" "$before" "the files after --check"
step "--check --diff shows a change and makes none"

play change -e "osnl_package_file=$old" -e "$wider" || { tail -40 change.out; fails "a change"; }
expect change changed=3 failed=0
reloaded change || fails "no reload"
publish port.create.end
soon lines events.txt 2
soon lines late.txt 1
same "$(pid)" "$first" "the process after a reload"
step "a change is reloaded; an override counts above osnl_conf"

before=$(files)
for broken in \
    '{"osnl_conf_overrides": {"listener:package": {"prefetch": "many"}}}' \
    '{"osnl_conf_d": {"10-rules": {"rule:all": {"actions": "nowhere"}}}}' \
    '{"osnl_conf_overrides": {"action:file": {"template": "{% raw %}{{ event_type {% endraw %}"}}}'; do
    ! play broken -e "osnl_package_file=$old" -e "$broken" || fails "a broken configuration is taken: $broken"
    expect broken failed=1 changed=0
    grep -E '/etc/osnl/(osnl|conf.d/10-rules)\.conf' broken.out > broken.words || { tail -40 broken.out; fails "no word of osnl's: $broken"; }
    same "$(files)" "$before" "the files after $broken"
done
! play broken --check -e "osnl_package_file=$old" -e "$broken" || fails "--check takes $broken"
same "$(pid)" "$first" "the process after broken configurations"
same "$(inside osnl check > /dev/null 2>&1; echo $?)" 0 "the check of what is in place"
step "a broken configuration fails the play and replaces nothing"

refused='{"osnl_conf_overrides": {"DEFAULT": {"log_file": "/opt/osnl.log"}, "rule:all": {"event_type": "^(compute|port)\\."}}}'
for run in first second; do
    ! play refused -e "osnl_package_file=$old" -e "$wider" -e "$refused" || fails "a refused reload is passed over by the $run run"
    expect refused failed=1
    grep -q unusable refused.out || { tail -40 refused.out; fails "no reason"; }
done
same "$(pid)" "$first" "the process after a refused reload"
step "a refusal that no restart mends fails the play, and the daemon stays"

play secret --diff -vv -e "osnl_package_file=$old" -e "$wider" -e @other-vault.yml || { tail -40 secret.out; fails "another secret"; }
same "$(cat "$host/etc/osnl/secrets/admin.token")" "$other_token" "the secret"
grep -A3 'RUNNING HANDLER \[osnl : Restart osnl\]' secret.out | grep -q '^changed' || fails "no restart for another token"
[ "$(pid)" != "$first" ] || fails "the daemon was not restarted"
first=$(pid)
soon inside osnl status
publish port.create.end
soon lines events.txt 3
step "another secret, which no output shows; the change needs a restart"

custom=$PWD/custom
mkdir custom
printf '[rule:more]\nevent_type = ^volume\\.\nactions = file\n' > custom/20-more.conf
rest="-e osnl_custom_config=$custom"
# shellcheck disable=SC2086
play upgrade -e "osnl_package_file=$package" -e "$wider" -e @other-vault.yml $rest || { tail -40 upgrade.out; fails "an upgrade"; }
[ "$(pid)" != "$first" ] || fails "the upgrade did not restart the daemon"
publish volume.create.end
soon lines events.txt 4
same "$(inside dpkg-query -W -f '${Version}' osnl | grep -c old)" 0 "the version"
# shellcheck disable=SC2086
play upgraded -e "osnl_package_file=$package" -e "$wider" -e @other-vault.yml $rest || fails "again after the upgrade"
expect upgraded changed=0 failed=0
step "upgraded, with files of the operator's folder; again: nothing is changed"

first=$(pid)
before=$(files)
cat > b.yml << 'END'
osnl_service_name: osnl@b
osnl_conf_file: /etc/osnl/b.conf
osnl_secrets: {}
osnl_conf:
  DEFAULT:
    state_dir: /var/lib/osnl/b
  listener:package:
    transport_url: "file://{{ osnl_secrets_dir }}/package.url"
    exchange: package
    pool: b
    declare: create
  rule:all:
    event_type: ^compute\.
    actions: [file]
  action:file:
    driver: file
    path: /var/log/osnl/b.txt
END
for unread in '{}' "{\"osnl_conf_d\": {}, \"osnl_custom_config\": \"$custom\"}"; do
    ! play unread -e "osnl_package_file=$package" -e @b.yml -e "$unread" || fails "files that osnl@b does not read are taken: $unread"
    expect unread failed=1 changed=0
    grep -q 'osnl@b reads /etc/osnl/b.conf alone' unread.out || { tail -40 unread.out; fails "no reason: $unread"; }
    same "$(files)" "$before" "the files after $unread"
done
step "a second daemon: files of conf.d, which it does not read, are refused"

alone='{"osnl_conf_d": {}}'
play beside -e "osnl_package_file=$package" -e @b.yml -e "$alone" || { tail -40 beside.out; fails "a second daemon"; }
expect beside changed=2 failed=0
same "$(inside systemctl is-active osnl@b)" active "the second unit"
soon inside osnl status -c /etc/osnl/b.conf
publish compute.instance.create.end
soon lines b.txt 1
soon lines events.txt 5
second=$(pid osnl@b)
more='{"osnl_conf_overrides": {"rule:all": {"event_type": "^(compute|volume)\\."}}}'
play wider-b -e "osnl_package_file=$package" -e @b.yml -e "$alone" -e "$more" || { tail -40 wider-b.out; fails "a change of the second daemon"; }
expect wider-b changed=2 failed=0
reloaded wider-b || fails "no reload of the second daemon"
publish volume.create.end
soon lines b.txt 2
soon lines events.txt 6
same "$(pid osnl@b)" "$second" "the second process after a reload"
same "$(pid)" "$first" "the first process beside a second daemon"
same "$(files | grep -v '/b\.conf')" "$before" "the files of the first daemon"
step "osnl@b beside it: its own events, a change is reloaded"
