"""The real oslo.messaging on Kafka, as a publisher or as a listener. Arguments: publish or listen, the transport URL.

publish: each line of standard input is a JSON object {"driver", "event_type", "payload", "project"}; ends with it.
listen: one JSON line for each notification of priority info, {"ready": true} first; ends with its standard input.
"""
import json
import logging
import sys
import threading

import oslo_messaging
from oslo_config import cfg
from oslo_context.context import RequestContext

TOPIC = "notifications"


class Endpoint:
    def __init__(self, out):
        self.out = out

    def info(self, ctxt, publisher_id, event_type, payload, metadata):
        write(self.out, {"ctxt": ctxt, "publisher_id": publisher_id, "event_type": event_type, "payload": payload,
                         "metadata": metadata})


LOCK = threading.Lock()


def write(out, line):
    with LOCK:
        print(json.dumps(line), file=out, flush=True)


def publish(transport):
    for line in sys.stdin:
        told = json.loads(line)
        notifier = oslo_messaging.Notifier(
            transport, publisher_id="network.n1", driver=told["driver"], topics=[TOPIC])
        notifier.info(RequestContext(project_id=told["project"]), told["event_type"], told["payload"])
    # Waits until the brokers have them.
    transport.cleanup()


def listen(transport, out):
    listener = oslo_messaging.get_notification_listener(
        transport, [oslo_messaging.Target(topic=TOPIC)], [Endpoint(out)], executor="threading", pool="oslo")
    listener.start()
    write(out, {"ready": True})
    sys.stdin.read()
    listener.stop()
    listener.wait()


def main():
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    role, url = sys.argv[1:]
    out, sys.stdout = sys.stdout, sys.stderr
    conf = cfg.ConfigOpts()
    conf([], project="osnl-test", default_config_files=[], default_config_dirs=[])
    transport = oslo_messaging.get_notification_transport(conf, url=url)
    if role == "publish":
        publish(transport)
    else:
        listen(transport, out)


main()
