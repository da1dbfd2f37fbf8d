#!/bin/sh
# A plug-in for `driver = exec`, `mode = once`, in shell: started for each event, its exit status is the verdict.
#
#   [action:notes]
#   driver = exec
#   mode = once
#   command = /etc/osnl/plugins/once.sh, /var/lib/osnl/notes

set -u
folder=$1

# The event is one line of JSON on standard input; what most scripts want of it is in the environment.
if [ -z "${OSNL_RESOURCE_ID:-}" ]; then
    echo "the event is about nothing that has an id"
    exit 65 # never: a dead letter
fi
case $OSNL_RESOURCE_ID in
*/* | .*)
    echo "an id that is no file name"
    exit 65
    ;;
esac
if [ ! -d "$folder" ]; then
    echo "$folder is not there" >&2
    exit 75 # not now: the event waits
fi
cat > "$folder/$OSNL_RESOURCE_ID.json" || exit 75
echo "wrote $OSNL_RESOURCE_ID.json"
