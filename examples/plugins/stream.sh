#!/bin/sh
# A plug-in for `driver = exec` in shell that keeps running: without jq, the id stands first in each line.
#
#   [action:log]
#   driver = exec
#   command = /etc/osnl/plugins/stream.sh, /var/log/osnl/events.log

set -u
file=$1

while IFS= read -r line; do
    id=${line#\{\"id\":}
    id=${id%%,*}
    if printf '%s\n' "$line" >> "$file"; then
        printf '{"id":%s,"verdict":"done","reason":"written"}\n' "$id"
    else
        printf '{"id":%s,"verdict":"transient","reason":"cannot write"}\n' "$id"
    fi
done
