"""The library of k2hr3_osnl 1.0.8, on the engine of osnl.

>>> from pathlib import Path
>>> import k2hr3_osnl
>>> from k2hr3_osnl.cfg import K2hr3Conf
>>> from k2hr3_osnl.endpoint import K2hr3NotificationEndpoint
>>> conf = K2hr3Conf(Path('/etc/k2hr3/k2hr3_osnl.conf'))
>>> k2hr3_osnl.listen([K2hr3NotificationEndpoint(conf)])
"""

import logging
import os
import shutil
import sys
import sysconfig
import threading
from importlib import metadata
from typing import List

__all__ = [
    'K2hr3Conf',
    'K2hr3ConfError',
    'K2hr3NotificationEndpoint',
    'K2hr3NotificationEndpointError',
    'listen',
    'main',
    'version',
]


def _refuse_a_mix() -> None:
    """Both packages own this folder: together, some files are one's and some the other's."""
    here = os.path.realpath(os.path.dirname(__file__))
    for distribution in metadata.distributions(name='k2hr3-osnl'):
        if os.path.realpath(distribution.locate_file('k2hr3_osnl')) != here:
            continue
        raise ImportError(
            f'k2hr3-osnl {distribution.version} and osnl-k2hr3 are installed together, and both own the package '
            'k2hr3_osnl: pip uninstall -y k2hr3-osnl osnl-k2hr3, then install one of them')


_refuse_a_mix()

# pylint: disable=wrong-import-position
from k2hr3_osnl import _native  # noqa: E402
from k2hr3_osnl.cfg import K2hr3Conf  # noqa: E402
from k2hr3_osnl.endpoint import K2hr3NotificationEndpoint  # noqa: E402
from k2hr3_osnl.exceptions import K2hr3ConfError, K2hr3NotificationEndpointError  # noqa: E402

LOG = logging.getLogger(__name__)

__version__, _OSNL = _native.version()


def _line(level: int, logger: str, message: str) -> None:
    logging.getLogger(logger).log(level, '%s', message)


_native.forward(_line)


def version() -> str:
    """Return the version of k2hr3_osnl whose place this takes."""
    return __version__


def listen(endpoints: List[K2hr3NotificationEndpoint]) -> int:
    """Listen until Ctrl-C, and hand each notification to every endpoint whose filter it passes.

    Broker, topic, exchange, and pool are those of the last endpoint.

    :param endpoints: what is called
    :returns: 0 after Ctrl-C, 1 if the endpoints cannot be used or the listener cannot go on: the log says why
    """
    if not isinstance(endpoints, list) or not endpoints:
        LOG.error('invalid endpoints, %s', endpoints)
        return 1
    for endpoint in endpoints:
        if not isinstance(endpoint, K2hr3NotificationEndpoint):
            LOG.error('found an invalid endpoint, %s', endpoint)
            return 1
    calls = _native.Calls()
    threading.Thread(target=_work, args=(calls,), daemon=True, name='k2hr3_osnl').start()
    if all(endpoint._is_ours() for endpoint in endpoints):
        return _native.listen(calls, [endpoint._for_engine() for endpoint in endpoints])
    conf = endpoints[-1].conf
    return _native.listen_to(calls, conf._native, [endpoint._for_listener() for endpoint in endpoints])


def _work(calls) -> None:
    """Make calls for the engine, until it has ended. A call without a result has failed."""
    none_starts = True
    while True:
        call = calls.next(none_starts)
        none_starts = False
        if call is None:
            return
        if call.needs_thread:
            try:
                threading.Thread(target=_work, args=(calls,), daemon=True, name='k2hr3_osnl').start()
            except RuntimeError as error:
                # This thread makes the next call too.
                LOG.warning('the system refuses another thread, so calls wait for this one: %s', error)
                none_starts = True
        call.end(call.function(*call.texts))
        del call


def main() -> int:
    """Become the program: ``osnl k2hr3-osnl``, with this process's arguments. Returns only by ending."""
    program = _program()
    if program is None:
        sys.stderr.write('k2hr3-osnl: error: the program osnl is not installed; pip install osnl\n')
        sys.exit(1)
    os.execv(program, ['k2hr3-osnl', *sys.argv[1:]])


def _program():
    """Return the path of osnl: beside this environment's scripts, else of PATH."""
    for folder in (sysconfig.get_path('scripts'), os.path.dirname(sys.executable)):
        path = os.path.join(folder, 'osnl')
        if os.access(path, os.X_OK):
            return path
    return shutil.which('osnl')
