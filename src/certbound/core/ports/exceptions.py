"""What stores raise, beside `StoreUnavailable`."""


class AlreadyExists(Exception):
    """A record with this identifier is there already."""


class NotFound(Exception):
    """There is no record with this identifier, or it changed since it was read."""


class RevokedMeanwhile(Exception):
    """What a status is asked for was revoked, disabled or removed."""


class AlreadyTaken(Exception):
    """The ticket was taken before, has ended, or is not there."""
