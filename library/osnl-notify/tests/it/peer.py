"""The real oslo.versionedobjects behind the real oslo.messaging: JSON lines in, one JSON line out per line in.

{"ok": true, ...} or {"ok": false, "error": "..."}; "op" chooses:
  listen  a notification listener whose serializer makes objects of payloads; answered when it consumes
  take    the next notification it got: head, class, version, and the object serialized again
  encode  an object of a class with these fields (text for dates), serialized as ironic does
  read    a payload as a program reads it that knows the class in this older version, without the fields named here
Ends with its standard input. Arguments: transport URL, path of ironic's catalogue (its classes are made from it).
"""
import json
import queue
import sys

import oslo_messaging
from oslo_config import cfg
from oslo_versionedobjects import base
from oslo_versionedobjects import fields


class FlexibleDict(fields.FieldType):
    """ironic's own: a dictionary of anything; null becomes an empty one."""

    @staticmethod
    def coerce(obj, attr, value):
        return dict(value)


class FlexibleDictField(fields.AutoTypedField):
    AUTO_TYPE = FlexibleDict()

    def _null(self, obj, attr):
        if self.nullable:
            return {}
        super()._null(obj, attr)


@base.VersionedObjectRegistry.register_if(False)
class IronicObject(base.VersionedObject):
    OBJ_SERIAL_NAMESPACE = "ironic_object"
    OBJ_PROJECT_NAMESPACE = "ironic"


def field(declared):
    options = {"nullable": declared["nullable"]}
    if "default" in declared:
        options["default"] = declared["default"]
    kind = declared["type"]
    if kind == "List":
        return fields.ListOfStringsField(**options) if declared["of"]["type"] == "String" else \
            fields.Field(fields.List(FlexibleDict()), **options)
    if kind == "FlexibleDict":
        return FlexibleDictField(**options)
    return getattr(fields, kind + "Field")(**options)


def declare(catalogue):
    classes = {}
    for name, declared in catalogue.items():
        if declared["kind"] == "payload":
            table = {key: field(declared["fields"][key]) for key in declared["wire_order"]}
            members = {"VERSION": declared["version"], "fields": table}
            classes[name] = base.VersionedObjectRegistry.register(type(name, (IronicObject,), members))
    return classes


class Serializer(base.VersionedObjectSerializer):
    OBJ_BASE_CLASS = IronicObject


class Endpoint:
    def __init__(self, received):
        for priority in ("debug", "info", "warn", "error", "critical"):
            setattr(self, priority, self.taker(priority, received))

    @staticmethod
    def taker(priority, received):
        def take(context, publisher_id, event_type, payload, metadata):
            received.put((priority, context, publisher_id, event_type, payload))
        return take


class Peer:
    def __init__(self, url, catalogue):
        self.url = url
        self.classes = declare(catalogue)
        self.received = queue.Queue()
        self.listener = None

    def listen(self, exchange, topic):
        conf = cfg.ConfigOpts()
        conf([], project="osnl-test", default_config_files=[], default_config_dirs=[])
        transport = oslo_messaging.get_notification_transport(conf, url=self.url)
        target = oslo_messaging.Target(exchange=exchange, topic=topic)
        self.listener = oslo_messaging.get_notification_listener(
            transport, [target], [Endpoint(self.received)], executor="threading", serializer=Serializer())
        self.listener.start()
        return {}

    def take(self):
        priority, context, publisher_id, event_type, payload = self.received.get(timeout=30)
        return {
            "priority": priority, "context": context, "publisher_id": publisher_id, "event_type": event_type,
            "class": type(payload).__name__, "version": payload.VERSION,
            "payload": json.dumps(payload.obj_to_primitive()),
        }

    def encode(self, name, values):
        payload = self.classes[name]()
        for key, value in values.items():
            setattr(payload, key, value)
        payload.obj_reset_changes()
        return {"payload": json.dumps(payload.obj_to_primitive())}

    def read(self, name, version, without, payload):
        known = base.VersionedObjectRegistry.obj_classes()
        table = {key: kind for key, kind in self.classes[name].fields.items() if key not in without}
        older = type(name, (IronicObject,), {"VERSION": version, "fields": table})
        current = known[name]
        try:
            known[name] = []
            base.VersionedObjectRegistry.register(older)
            read = Serializer().deserialize_entity(None, json.loads(payload))
            return {"version": read.VERSION, "fields": [key for key in read.fields if read.obj_attr_is_set(key)]}
        finally:
            known[name] = current


def main():
    with open(sys.argv[2], encoding="utf-8") as catalogue:
        peer = Peer(sys.argv[1], json.load(catalogue))
    replies = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        try:
            request = json.loads(line)
            reply = {"ok": True, **getattr(peer, request.pop("op"))(**request)}
        except Exception as error:  # whatever it is, it is the answer
            reply = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply, default=str), file=replies, flush=True)
    if peer.listener is not None:
        peer.listener.stop()


main()
