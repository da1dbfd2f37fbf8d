"""The exceptions of k2hr3_osnl."""


class K2hr3Error(Exception):
    """Any error of this package."""


class K2hr3ConfError(K2hr3Error):
    """A file gives no configuration."""

    def __init__(self, msg: str = "") -> None:
        super().__init__(msg)
        self.msg = msg


class K2hr3NotificationEndpointError(K2hr3Error):
    """There is no endpoint, or a payload that it cannot read."""

    def __init__(self, msg: str = "") -> None:
        super().__init__(msg)
        self.msg = msg
