#!/usr/bin/env python3
"""A plug-in for `driver = exec` in Python: keeps one line per host in a file, as a stand-in for a CMDB.

    [action:cmdb]
    driver = exec
    command = /etc/osnl/plugins/notify.py, /var/lib/osnl/hosts.txt
"""

import json
import sys


def handle(event, path):
    """The verdict about one event."""
    resource = event["resource"]
    if resource is None or resource["id"] is None:
        return {"verdict": "nothing_to_do", "reason": "it is about nothing that has an id"}
    try:
        with open(path, "a+", encoding="utf-8") as hosts:
            hosts.seek(0)
            # The same event may come twice: what is there already is not done again.
            if event["idempotency_key"] not in hosts.read().split():
                hosts.write("%s %s %s\n" % (event["idempotency_key"], event["event_type"], resource["id"]))
    except PermissionError as error:
        return {"verdict": "failed", "reason": str(error)}
    except OSError as error:
        # A file system that is full or away: the event waits.
        return {"verdict": "transient", "reason": str(error), "retry_after": 10}
    return {"verdict": "done", "reason": "%s noted" % resource["id"]}


def main():
    path = sys.argv[1]
    for line in sys.stdin:
        event = json.loads(line)
        verdict = handle(event, path)
        verdict["id"] = event["id"]
        # flush: a verdict that waits in a buffer is an event that waits.
        print(json.dumps(verdict), flush=True)
    # osnl ends: so do we.


if __name__ == "__main__":
    main()
