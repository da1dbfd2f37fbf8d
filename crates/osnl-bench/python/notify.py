"""oslo.messaging's Notifier at full speed: URL COUNT; prints `FIRST LAST` in nanoseconds since the epoch.

Each call returns when the broker has confirmed. Ends with its standard input.
"""
import json
import logging
import sys
import time

import oslo_messaging
from oslo_config import cfg
from oslo_context import context as oslo_context

logging.disable(logging.WARNING)
url, count = sys.argv[1], int(sys.argv[2])
payload = json.loads(sys.stdin.readline())
conf = cfg.ConfigOpts()
conf([], project="osnl-bench", default_config_files=[], default_config_dirs=[])
transport = oslo_messaging.get_notification_transport(conf, url=url)
notifier = oslo_messaging.Notifier(
    transport, driver="messagingv2", topics=["notifications"], publisher_id="network.node1", retry=3)
context = oslo_context.RequestContext(user_id="u", project_id="p")
first = time.time_ns()
for _ in range(count):
    notifier.info(context, "port.create.end", payload)
print(first, time.time_ns(), flush=True)
sys.stdin.read()
