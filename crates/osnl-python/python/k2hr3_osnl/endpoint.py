"""The endpoint that is called for a notification."""

import json
import logging
import os
import re
from typing import Any, Dict, Optional

from k2hr3_osnl import _native
from k2hr3_osnl.cfg import K2hr3Conf
from k2hr3_osnl.exceptions import K2hr3NotificationEndpointError

LOG = logging.getLogger(__name__)

#: The methods whose results were said to be none.
_WARNED = set()

#: The priorities of notifications; an endpoint takes those that it has a method for.
PRIORITIES = ('audit', 'debug', 'info', 'warn', 'error', 'critical', 'sample')


class NotificationResult:
    """The result of a method, as in oslo.messaging: what becomes of the message."""

    HANDLED = 'handled'
    REQUEUE = 'requeue'


class NotificationFilter:
    """Patterns of the notifications that an endpoint gets, as in oslo.messaging.

    Each is matched from its start. Context, metadata, and payload map keys to patterns.
    """

    def __init__(self, context: Optional[Dict[str, str]] = None,
                 publisher_id: Optional[str] = None,
                 event_type: Optional[str] = None,
                 metadata: Optional[Dict[str, str]] = None,
                 payload: Optional[Dict[str, str]] = None) -> None:
        self._patterns = {
            'context': dict(context or {}), 'publisher_id': publisher_id, 'event_type': event_type,
            'metadata': dict(metadata or {}), 'payload': dict(payload or {}),
        }

    def match(self, context, publisher_id, event_type, metadata, payload) -> bool:
        """Return whether a notification passes."""
        patterns = self._patterns
        texts = [(patterns['publisher_id'], publisher_id), (patterns['event_type'], event_type)]
        for name, found in (('context', context), ('metadata', metadata), ('payload', payload)):
            found = found if isinstance(found, dict) else {}
            texts += [(pattern, found.get(key)) for key, pattern in patterns[name].items()]
        return all(pattern is None or (isinstance(text, str) and re.match(pattern, text))
                   for pattern, text in texts)


class K2hr3NotificationEndpoint:
    """Deletes from K2HR3 the hosts that notifications report as gone.

    A class of your own may override ``_payload_to_params``, if your payloads look otherwise, or ``info`` and
    methods of other priorities, which are called with context, publisher_id, event_type, payload, and metadata and
    return :class:`NotificationResult`. An exception requeues the message; so does any other end than a return.
    """

    def __init__(self, conf: K2hr3Conf) -> None:
        """Take the configuration.

        :param conf: which notifications, and which K2HR3
        :raises K2hr3NotificationEndpointError: it is no configuration, or K2HR3 cannot be called by it
        """
        if not isinstance(conf, K2hr3Conf):
            raise K2hr3NotificationEndpointError(f'conf is a K2hr3Conf instance, not {type(conf)}')
        on = conf.oslo_messaging_notifications
        self._conf = conf
        self.filter_rule = self._filter = NotificationFilter(
            context=on.context, publisher_id=on.publisher_id, event_type=on.event_type,
            metadata=on.metadata, payload=on.payload)
        try:
            self._native = _native.K2hr3Caller(conf._native)
        except ValueError as error:
            raise K2hr3NotificationEndpointError(str(error)) from error

    @property
    def conf(self) -> K2hr3Conf:
        """The configuration."""
        return self._conf

    def _payload_to_params(self, payload: Any) -> Dict[str, Any]:
        """Return the instance, ``cuk``, and its addresses, ``ips``.

        :raises K2hr3NotificationEndpointError: the payload does not have them
        """
        try:
            cuk, ips = _native.parameters(json.dumps(payload))
        except (ValueError, TypeError) as error:
            raise K2hr3NotificationEndpointError(str(error)) from error
        return {'cuk': cuk, 'ips': ips} if ips else {'cuk': cuk}

    def info(self, context: Dict[str, Any], publisher_id: str, event_type: str,
             payload: Dict[str, Any], metadata: Dict[str, Any]) -> str:
        """Take a notification of priority info: delete its instance from K2HR3.

        :returns: NotificationResult.HANDLED or NotificationResult.REQUEUE
        """
        try:
            cuk, ips = self._host(payload)
        except K2hr3NotificationEndpointError as error:
            LOG.error('invalid payload %s', error)
            return NotificationResult.HANDLED
        except Exception:  # pylint: disable=broad-exception-caught
            # It would fail again: the message must not come back for ever.
            LOG.exception('the payload cannot be read')
            return NotificationResult.HANDLED
        result = self._native.send(cuk, ips, publisher_id or '', event_type or '')
        LOG.info('NotificationResult.%s %s', result.upper(), cuk)
        return result

    def _host(self, payload):
        """Return what _payload_to_params says, as the engine takes it."""
        params = self._payload_to_params(payload)
        cuk = params.get('cuk')
        if not isinstance(cuk, str) or not cuk:
            raise K2hr3NotificationEndpointError(f'no cuk in params, {params}')
        ips = params.get('ips') or []
        return cuk, [ips] if isinstance(ips, str) else [str(ip) for ip in ips]

    def _is_ours(self) -> bool:
        """Return whether the engine may do all of it: no method and no filter is another's."""
        ours = K2hr3NotificationEndpoint
        same = type(self).info is ours.info and 'info' not in self.__dict__
        return same and self._priorities() == ['info'] and self.filter_rule is self._filter

    def _priorities(self):
        return [name for name in PRIORITIES if callable(getattr(self, name, None))]

    def _for_engine(self):
        """Return what calls K2HR3, and the reader of payloads that takes the place of the engine's."""
        own = type(self)._payload_to_params is not K2hr3NotificationEndpoint._payload_to_params
        own = own or '_payload_to_params' in self.__dict__
        return self._native, self._host_of if own else None

    def _host_of(self, payload):
        """Return the host of a payload as JSON, or why there is none."""
        try:
            with _OneProcess():
                cuk, ips = self._host(json.loads(payload))
            return json.dumps({'cuk': cuk, 'ips': ips})
        except BaseException as error:  # pylint: disable=broad-exception-caught
            return json.dumps({'error': f'{type(error).__name__}: {error}'})

    def _for_listener(self):
        """Return what is called for each notification, its priorities, and its filter."""
        rule = self.filter_rule
        by_engine = type(rule) is NotificationFilter
        return self._dispatch, self._priorities(), json.dumps(rule._patterns) if by_engine else None

    def _dispatch(self, priority, context, publisher_id, event_type, payload, metadata):
        """Call the method of a notification's priority, and return its result."""
        rule = self.filter_rule
        try:
            context, payload, metadata = json.loads(context), json.loads(payload), json.loads(metadata)
            with _OneProcess():
                if rule is not None and type(rule) is not NotificationFilter:
                    if not rule.match(context, publisher_id, event_type, metadata, payload):
                        return NotificationResult.HANDLED
                result = getattr(self, priority)(context, publisher_id, event_type, payload, metadata)
        except BaseException:  # pylint: disable=broad-exception-caught
            # sys.exit() in a thread ends no program; in oslo.messaging it ends the thread.
            LOG.exception('Callback raised an exception.')
            return NotificationResult.REQUEUE
        return self._result(priority, result)

    def _result(self, priority, result):
        """Return what a method meant: as with oslo.messaging, all but a wish to requeue is handled."""
        if result is None or result is NotificationResult.HANDLED:
            return NotificationResult.HANDLED
        if isinstance(result, str):
            if result.strip().lower() == NotificationResult.REQUEUE:
                return NotificationResult.REQUEUE
            if result == NotificationResult.HANDLED:
                return NotificationResult.HANDLED
        if (type(self), priority) not in _WARNED:
            _WARNED.add((type(self), priority))
            LOG.warning('%s.%s returned a %s, not NotificationResult.HANDLED or REQUEUE; such messages are handled',
                        type(self).__name__, priority, type(result).__name__)
        return NotificationResult.HANDLED


class _OneProcess:
    """Ends a child that a method forked and did not end: it must not go on as a second listener."""

    def __enter__(self):
        self._process = os.getpid()

    def __exit__(self, kind, value, _):
        if os.getpid() != self._process:
            code = value.code if kind is SystemExit else 1
            os._exit(code if isinstance(code, int) else int(code is not None))
