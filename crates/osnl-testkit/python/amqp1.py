"""oslo.messaging 14.9.3 over AMQP 1.0 for tests. Arguments: fake PRODUCT, or publish URL.

fake: the broker of oslo.messaging's own tests, which keeps nothing; it names no PRODUCT if it is empty. Prints {"port"},
then answers each line of standard input by its counts.
publish: each line is {"driver", "event_type", "payload", "project", "exchange"}.
"""
import json
import sys

import oslo_messaging
from oslo_config import cfg
from oslo_context.context import RequestContext

OUT, sys.stdout = sys.stdout, sys.stderr


def write(line):
    print(json.dumps(line), file=OUT, flush=True)


def empty_conf():
    conf = cfg.ConfigOpts()
    conf([], project="osnl-test", default_config_files=[], default_config_dirs=[])
    return conf


def fake(product):
    import types
    import unittest

    import eventlet
    from oslo_messaging._drivers.amqp1_driver.opts import amqp1_opts

    # The module of the tests needs packages for tests, of which the broker uses nothing.
    eventlet.monkey_patch = lambda: None
    base = types.SimpleNamespace(BaseTestCase=unittest.TestCase)
    sys.modules.update({"testtools": unittest, "oslotest": types.SimpleNamespace(base=base), "oslotest.base": base})
    from oslo_messaging.tests.drivers.test_amqp_driver import FakeBroker

    conf = empty_conf()
    conf.register_opts(amqp1_opts, group="oslo_messaging_amqp")
    broker = FakeBroker(conf.oslo_messaging_amqp, sock_addr="127.0.0.1", product=product or None)
    broker.start()
    write({"port": broker.port})
    for _ in sys.stdin:
        write({"accepted": broker.sender_link_ack_count, "senders": broker.sender_link_count})
    broker.stop()


def publish(url):
    class Contexts(oslo_messaging.NoOpSerializer):
        def serialize_context(self, context):
            return context.to_dict()

    for line in sys.stdin:
        told = json.loads(line)
        oslo_messaging.set_transport_defaults(told["exchange"])
        transport = oslo_messaging.get_notification_transport(empty_conf(), url=url)
        notifier = oslo_messaging.Notifier(
            transport, publisher_id="compute.n1", driver=told["driver"], topics=["notifications"], serializer=Contexts())
        notifier.info(RequestContext(project_id=told["project"]), told["event_type"], told["payload"])
        transport.cleanup()
        write({})


{"fake": fake, "publish": publish}[sys.argv[1]](sys.argv[2])
