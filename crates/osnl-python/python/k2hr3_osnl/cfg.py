"""The configuration file.

Every value is checked when the file is read; the options are attributes, by group:

>>> from pathlib import Path
>>> from k2hr3_osnl.cfg import K2hr3Conf
>>> conf = K2hr3Conf(Path('/etc/k2hr3/k2hr3_osnl.conf'))
>>> conf.oslo_messaging_notifications.event_type
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from k2hr3_osnl import _native
from k2hr3_osnl.exceptions import K2hr3ConfError

LOG = logging.getLogger(__name__)


class _Options(Mapping):
    """What can be read like a mapping, from ``_values``."""

    def __getitem__(self, option):
        return self._values[option]

    def __iter__(self):
        return iter(self._values)

    def __len__(self):
        return len(self._values)


class _Group(_Options):
    """The options of a group: ``conf.k2hr3.api_url``, ``conf.k2hr3['api_url']``."""

    def __init__(self, name, values):
        self.__dict__['_name'] = name
        self.__dict__['_values'] = values

    def __getattr__(self, option):
        try:
            return self._values[option]
        except KeyError:
            raise AttributeError(f'no such option {option} in group [{self._name}]') from None

    def __setattr__(self, option, value):
        # As in k2hr3_osnl, where it changes a copy; but said.
        LOG.warning('[%s] %s cannot be changed by a program; write it into the file', self._name, option)

    def __repr__(self):
        # Values may be secrets.
        return f'<[{self._name}]: {", ".join(self._values)}>'


class K2hr3Conf(_Options):
    """The options of a file: those of [DEFAULT] as attributes, other groups by their names."""

    def __init__(self, path: Path) -> None:
        """Read and check the file.

        :param path: the file
        :raises K2hr3ConfError: there is no such file, or it is wrong; the text says where
        """
        if not isinstance(path, Path):
            raise K2hr3ConfError(f'Path expected, not {type(path).__name__}')
        self._path = path
        self._parse_config()

    def _parse_config(self) -> bool:
        """Read the file; the name of the program chooses its folder ``conf.d``."""
        program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else 'k2hr3-osnl'
        try:
            self._native = _native.Conf(self._path, program)
        except ValueError as error:
            # The program's remedy is none of a library.
            raise K2hr3ConfError(str(error).replace('; name a file with -c', '')) from error
        groups = json.loads(self._native.values())
        self._values = groups.pop('DEFAULT')
        self._values.update((name, _Group(name, values)) for name, values in groups.items())
        for warning in self._native.warnings():
            LOG.warning('%s', warning)
        return True

    def __getattr__(self, option):
        values = self.__dict__.get('_values', {})
        if option in values:
            return values[option]
        raise AttributeError(f'no such option {option} in group [DEFAULT]')

    def __repr__(self):
        return f'<K2hr3Conf {self._path}>'
