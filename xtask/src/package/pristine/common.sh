# Begins each script: `$1` is the broker's URL, the rest are files in /mnt.
set -eu
url=$1
shift
begin=$(date +%s%N)

# step WORDS: prints the time since the last step.
step() {
    now=$(date +%s%N)
    printf 'package: %-58s %6d ms\n' "$*" $(((now - begin) / 1000000))
    begin=$now
}

# fails WORDS: ends the script.
fails() {
    echo "package: FAILED: $*" >&2
    exit 1
}

# same FOUND EXPECTED WORDS
same() {
    [ "$1" = "$2" ] || fails "$3: found '$1', expected '$2'"
}

# soon COMMAND…: until it succeeds, at most 120 s.
soon() {
    tries=0
    until "$@" > /tmp/soon 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 1200 ] || { tail -n 20 /tmp/soon /tmp/log >&2 || true; fails "in vain for 120 s: $*"; }
        pause
    done
}

# A tenth of a second.
pause() {
    timeout 0.1 tail -f /dev/null || true
}

# The daemon as its unit would start it: as the user osnl, with the configuration of the package's place.
start() {
    install -d -o osnl -g osnl /var/log/osnl/late
    setpriv --reuid=osnl --regid=osnl --init-groups env STATE_DIRECTORY=/var/lib/osnl osnl run > /tmp/log 2>&1 &
    daemon=$!
    soon osnl status
}

stop() {
    kill -TERM "$daemon"
    wait "$daemon" || fails "the daemon ended with $?: $(tail -5 /tmp/log)"
}

has_lines() {
    [ "$(wc -l < "$1")" -eq "$2" ]
}

# sample NAME POOL FILE: a listener on the exchange NAME, whose events of instances go into FILE.
sample() {
    cat << END
[listener:$1]
transport_url = $url
exchange = $1
pool = $2
declare = create
[rule:all]
event_type = ^compute\\.
actions = file
[action:file]
driver = file
path = $3
END
}

# send EVENT: as a service would publish it.
publish() {
    osnl send --transport-url "$url" --exchange package --event-type "$1" --payload '{"instance_id": "i-1"}' > /dev/null
}

configure() {
    cat > /etc/osnl/osnl.conf << END
[listener:package]
transport_url = $url
exchange = package
pool = osnl
declare = create

[action:file]
driver = file
path = /var/log/osnl/events.jsonl

[action:late]
driver = file
path = /var/log/osnl/late/events.jsonl
END
    # A rule of its own file, as configuration management has it.
    cat > /etc/osnl/conf.d/10-rules.conf << END
[rule:all]
event_type = ^compute\\.
actions = file, late
END
}

# A program of that name that is there already.
theirs() {
    printf '#!/bin/sh\necho theirs\n' > /usr/bin/k2hr3-osnl
    chmod 755 /usr/bin/k2hr3-osnl
}

# Kafka's client library works: it is linked, has a login of OpenSSL, and asks a broker that is not there.
kafka_is_in() {
    broker='kafka://osnl:secret@127.0.0.1:1/?security_protocol=SASL_SSL&sasl_mechanism=SCRAM-SHA-512'
    ! osnl tap "$broker" --lines --for 1s > /tmp/kafka 2>&1 || fails "a broker at port 1"
    grep -q '127.0.0.1:1: .*refused' /tmp/kafka || fails "Kafka: $(cat /tmp/kafka)"
}

installed() {
    same "$(osnl --version | cut -d' ' -f1,3-)" "osnl (transports: rabbit, kafka, amqp)" "the program"
    kafka_is_in
    same "$(stat -c '%U:%G %a' /var/lib/osnl)" "osnl:osnl 700" "the state directory"
    same "$(stat -c '%U:%G %a' /var/log/osnl)" "osnl:osnl 750" "the folder of logs"
    same "$(stat -c '%U:%G %a' /etc/osnl/osnl.conf)" "root:osnl 640" "the configuration"
    [ -d /etc/osnl/conf.d ] || fails "no conf.d"
    # The machine has no certificates of authorities.
    sed 's,https://,http://,' /etc/k2hr3/k2hr3_osnl.conf.sample > /tmp/k2hr3_osnl.conf
    osnl check --k2hr3-osnl /tmp/k2hr3_osnl.conf > /dev/null || fails "the sample of k2hr3_osnl's manual"
    rm /tmp/k2hr3_osnl.conf
    same "$(k2hr3-osnl)" theirs "a program that was there"
    same "$(k2hr3_osnl -v | cut -d' ' -f1)" k2hr3-osnl "k2hr3_osnl"
    oss_watcher --help > /dev/null
    for page in osnl osnl-tap oss-watcher; do
        gzip -dc "/usr/share/man/man1/$page.1.gz" | grep -q '^\.TH ' || fails "no page $page"
    done
    gzip -dc /usr/share/man/man5/osnl.conf.5.gz | grep -q '^\.TH osnl.conf 5' || fails "no page osnl.conf"
    bash -c '. /usr/share/bash-completion/completions/osnl && complete -p osnl' > /dev/null
    systemd-analyze verify --man=no osnl.service osnl@x.service k2hr3_osnl.service
    [ -z "$(find /usr/bin/osnl /usr/lib/systemd/system/*osnl* /usr/share/doc/osnl ! -user root)" ] || fails "files that are not root's"
}

# Nothing of the package but the users.
nothing_left() {
    found=$(find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /mnt -o -path /root \) -prune \
        -o \( -name '*osnl*' -o -name '*oss?watcher*' \) -print)
    same "$found" "/usr/bin/k2hr3-osnl" "left behind"
}
