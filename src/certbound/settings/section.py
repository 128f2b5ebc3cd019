"""What every table of the file is made of."""

from typing import Annotated

import msgspec
from msgspec import Meta

Seconds = Annotated[int, Meta(ge=1, le=86400)]
"""A day at most."""
Secret = Annotated[str, Meta(min_length=1)]
PortNumber = Annotated[int, Meta(ge=0, le=65535)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file."""
