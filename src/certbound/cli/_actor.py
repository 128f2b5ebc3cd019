"""Who asks, for the audit."""

import getpass
import os


def actor() -> str:
    """The user's name on this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # nobody of this number has a name here
        return f"user {os.getuid()}"
