"""oslo.config, as far as a plug-in needs it: the first half of the module whose second is shim.py."""

import collections.abc
import importlib
import string


class Error(Exception):
    pass


class NoSuchOptError(Error, AttributeError):
    pass


class NoSuchGroupError(Error):
    pass


class ConfigFileValueError(Error, ValueError):
    pass


class RequiredOptError(Error):
    pass


def _boolean(text):
    lowered = str(text).strip().lower()
    if lowered in ("true", "1", "yes", "on"):
        return True
    if lowered in ("false", "0", "no", "off"):
        return False
    raise ValueError("%r is not a boolean" % text)


def _list(text):
    words = [word.strip() for word in text.split(",")]
    return [word for word in words if word]


def _dict(text):
    pairs = [pair.split(":", 1) for pair in _list(text)]
    return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}


class DeprecatedOpt:
    def __init__(self, name, group=None):
        self.name, self.group = name, group


class Opt:
    read = staticmethod(str)
    multi = False

    def __init__(
        self,
        name,
        type=None,
        dest=None,
        default=None,
        required=False,
        deprecated_name=None,
        deprecated_group=None,
        deprecated_opts=None,
        **_
    ):
        self.name = name
        self.deprecated_opts = list(deprecated_opts or [])
        if deprecated_name or deprecated_group:
            self.deprecated_opts.append(DeprecatedOpt(deprecated_name, deprecated_group))
        self.dest = (dest or name).replace("-", "_")
        self.default = default
        self.required = required
        if type is not None:
            self.read = type


class StrOpt(Opt):
    pass


class BoolOpt(Opt):
    read = staticmethod(_boolean)


class IntOpt(Opt):
    read = staticmethod(int)


class PortOpt(IntOpt):
    pass


class FloatOpt(Opt):
    read = staticmethod(float)


class ListOpt(Opt):
    read = staticmethod(_list)


class DictOpt(Opt):
    read = staticmethod(_dict)


class MultiOpt(Opt):
    multi = True


class MultiStrOpt(MultiOpt):
    pass


class IPOpt(Opt):
    pass


class URIOpt(Opt):
    pass


class HostnameOpt(Opt):
    pass


class HostAddressOpt(Opt):
    pass


class OptGroup:
    def __init__(self, name, title=None, help=None, **_):
        self.name, self.title, self.help = name, title, help


def _name(group):
    name = getattr(group, "name", group) or "DEFAULT"
    return name if name == "DEFAULT" else name.lower()


class _Template(string.Template):
    idpattern = r"[_a-z][\._a-z0-9]*"


class _Names(collections.abc.Mapping):
    """What $name, ${name} and ${group.name} stand for."""

    def __init__(self, conf, group):
        self.conf, self.group = conf, group

    def __getitem__(self, name):
        group, _, option = name.rpartition(".")
        for place in [group] if group else [self.group, "DEFAULT"]:
            try:
                value = self.conf._get(place, option)
            except NoSuchOptError:
                continue
            return "" if value is None else str(value)
        raise KeyError(name)

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0


class GroupAttr(collections.abc.Mapping):
    def __init__(self, conf, group):
        self._conf, self._group = conf, group

    def __getattr__(self, name):
        return self._conf._get(self._group, name)

    def __getitem__(self, name):
        return self._conf._get(self._group, name)

    def __contains__(self, name):
        return name in self._conf._names(self._group)

    def __iter__(self):
        return iter(self._conf._names(self._group))

    def __len__(self):
        return len(self._conf._names(self._group))


class ConfigOpts(collections.abc.Mapping):
    def __init__(self):
        self._files, self._texts, self._opts, self._overrides = [], {}, {}, {}

    def __call__(self, args=None, project=None, **_):
        """The values are there already."""
        return []

    def _fill(self, files):
        self._files = files
        for texts in files:
            for group, values in texts.items():
                self._texts.setdefault(group, {}).update(values)

    def register_group(self, group):
        self._opts.setdefault(_name(group), {})

    def register_opt(self, opt, group=None, cli=False):
        known = self._opts.setdefault(_name(group), {})
        return known.setdefault(opt.dest, opt) is opt

    def register_opts(self, opts, group=None):
        for opt in opts:
            self.register_opt(opt, group)

    register_cli_opt, register_cli_opts = register_opt, register_opts

    def import_opt(self, name, module, group=None):
        importlib.import_module(module)

    def import_group(self, group, module):
        importlib.import_module(module)

    def set_override(self, name, value, group=None):
        self._overrides[_name(group), name] = value

    def clear_override(self, name, group=None):
        self._overrides.pop((_name(group), name), None)

    def set_default(self, name, value, group=None):
        self._opts[_name(group)][name].default = value

    def find_file(self, name):
        return None

    def _names(self, group):
        return list(dict.fromkeys(list(self._texts.get(group, {})) + list(self._opts.get(group, {}))))

    def _written(self, group, name, opt):
        """The texts of an option, of which the last counts: by file, and within a file deprecated names first."""
        places = [(group, name)]
        for old in opt.deprecated_opts if opt else []:
            key = old.name or name
            places += [(_name(old.group or group), word) for word in {key: 0, key.replace("-", "_"): 0}]
        places.reverse()
        return [text for file in self._files for place, key in places for text in file.get(place, {}).get(key, [])]

    def _get(self, group, name):
        group = _name(group)
        if (group, name) in self._overrides:
            return self._overrides[group, name]
        opt = self._opts.get(group, {}).get(name)
        found = self._written(group, name, opt)
        if not found:
            if opt is None:
                raise NoSuchOptError("no such option %s in group [%s]" % (name, group))
            if opt.required and opt.default is None:
                raise RequiredOptError("value required for option %s in group [%s]" % (name, group))
            if isinstance(opt.default, str):
                return self._substituted(group, opt.default)
            return opt.default
        found = [self._substituted(group, text) for text in found]
        if opt is None:
            return found[-1]
        try:
            return [opt.read(text) for text in found] if opt.multi else opt.read(found[-1])
        except ValueError as error:
            # The text may be a secret.
            raise ConfigFileValueError(
                "the value of %s in group [%s] is no %s" % (name, group, type(opt).__name__)
            ) from (error if opt.name == "port" else None)

    def _substituted(self, group, text):
        return _Template(text.replace("\\$", "$$")).safe_substitute(_Names(self, group))

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        group = _name(name)
        if group != "DEFAULT" and (group in self._texts or group in self._opts):
            return GroupAttr(self, group)
        return self._get("DEFAULT", name)

    def __getitem__(self, name):
        return getattr(self, name)

    def __contains__(self, name):
        return any(known in (name, _name(name)) for known in self)

    def __iter__(self):
        groups = [name for name in list(self._texts) + list(self._opts) if name != "DEFAULT"]
        return iter(dict.fromkeys(self._names("DEFAULT") + groups))

    def __len__(self):
        return sum(1 for _ in self)
