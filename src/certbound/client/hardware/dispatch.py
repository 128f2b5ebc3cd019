"""The shapes of what OpenSSL and a provider say to each other (core_dispatch.h, core.h), and its parameters.

Rule 1: nothing is written past what a parameter has room for; one that is too small is an error.
Rule 2: no exception passes through C: a function that fails says 0, or NULL, and what it raised is kept for the thread
        that asked, which takes it afterwards.  What comes before its first line is `aside`'s.
"""

import ctypes
import itertools
import threading
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_void_p
from typing import Any


class Param(ctypes.Structure):
    """`OSSL_PARAM`."""

    _fields_ = (
        ("key", c_char_p), ("data_type", c_uint), ("data", c_void_p), ("data_size", c_size_t),
        ("return_size", c_size_t),
    )  # fmt: skip


class Dispatch(ctypes.Structure):
    """`OSSL_DISPATCH`."""

    _fields_ = (("function_id", c_int), ("function", c_void_p))


class Algorithm(ctypes.Structure):
    """`OSSL_ALGORITHM`."""

    _fields_ = (
        ("names", c_char_p), ("properties", c_char_p), ("implementation", POINTER(Dispatch)),
        ("description", c_char_p),
    )  # fmt: skip


def take_failure() -> BaseException | None:
    """What went wrong in a function of ours for this thread since it was asked last."""
    failure: BaseException | None = getattr(_failed, "error", None)
    _failed.error = None
    return failure


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Rule 2."""

    def called(*arguments: Any) -> Any:
        try:
            result = function(*arguments)
            return int(result) if isinstance(result, bool) else result
        except BaseException as error:  # noqa: BLE001 - C is above us
            _failed.error = error
            return 0

    return called


def each(params: Any) -> list[Any]:
    """The parameters before the one without a name."""
    if not params:
        return []
    return list(itertools.takewhile(lambda param: param.key is not None, (params[index] for index in range(_MOST))))


def read(params: Any) -> dict[str, bytes]:
    """What came, as bytes; numbers as OpenSSL has them, little end first and without zeros behind."""
    found = {}
    for param in each(params):
        data = ctypes.string_at(param.data, param.data_size) if param.data and param.data_size else b""
        found[param.key.decode()] = data.rstrip(b"\0") or b"\0" if param.data_type in {INTEGER, UNSIGNED} else data
    return found


def write_integer(param: Any, value: int) -> None:
    """Rule 1: `OverflowError`."""
    param.return_size = param.data_size
    if param.data:
        ctypes.memmove(param.data, value.to_bytes(param.data_size, "little"), param.data_size)


def write_text(param: Any, value: bytes) -> None:
    """With a zero behind; rule 1: `OverflowError`."""
    param.return_size = len(value)
    if param.data:
        if param.data_size <= len(value):
            raise OverflowError
        ctypes.memmove(param.data, value + b"\0", len(value) + 1)


_failed = threading.local()
_MOST = 64

INTEGER, UNSIGNED, TEXT, OCTETS = 1, 2, 4, 5
OP_KEYMGMT, OP_SIGNATURE = 10, 12

Params = POINTER(Param)
INIT = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_void_p)
QUERY = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_int, POINTER(c_int))
NEW = ctypes.CFUNCTYPE(c_void_p, c_void_p)
FREE = ctypes.CFUNCTYPE(None, c_void_p)
SET = ctypes.CFUNCTYPE(c_int, c_void_p, Params)
TYPES = ctypes.CFUNCTYPE(c_void_p, c_void_p)
NAME = ctypes.CFUNCTYPE(c_void_p, c_int)
HAS = ctypes.CFUNCTYPE(c_int, c_void_p, c_int)
MATCH = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
IMPORT = ctypes.CFUNCTYPE(c_int, c_void_p, c_int, Params)
IMPORT_TYPES = ctypes.CFUNCTYPE(c_void_p, c_int)
NEWCTX = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_char_p)
SIGN_INIT = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p, Params)
SIGN = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(c_size_t), c_size_t, c_void_p, c_size_t)
SETTABLE = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_void_p)
