"""An OpenSSL provider (provider(7)) whose keys are `Signer`s: OpenSSL asks them for signatures.

Written against the public and stable interface of OpenSSL 3, by `ctypes` on the library that `_ssl` is linked to.

Rule 1: the provider lives in a library context of its own.  Nothing that OpenSSL does for others can come upon it: it
        is met by a key that was made here, and by nothing else.
Rule 2: what OpenSSL keeps of ours are numbers, never addresses of Python objects; a number that is not known fails.
Rule 3: callbacks and tables live as long as the process, those of a provider too that another thread made at the same
        moment; keys, and the certificates that they were compared with, as long as what they were made for.
Rule 4: once the process ends, none of these is freed any more: OpenSSL would call functions of an interpreter that is
        not there.
"""

import atexit
import ctypes
import itertools
from collections.abc import Callable, Mapping, Sequence
from ctypes import POINTER, c_void_p
from functools import cache
from typing import Any, ClassVar, Final, TypeVar

from certbound.client.errors import IdentityUnusable
from certbound.client.hardware import dispatch as shape
from certbound.client.hardware import keys, signatures
from certbound.client.hardware.dispatch import Algorithm, Dispatch, Param, guarded, take_failure
from certbound.client.hardware.keys import NAMES, OURS, PUBLIC_PARAMS, TOLD, KeyData
from certbound.client.hardware.library import Library, open_library
from certbound.client.hardware.signatures import SETTABLE_PARAMS, SIGNATURES, Signing
from certbound.client.hardware.signer import Kind, Signer, kind_of

_T = TypeVar("_T")


class OsslKey:
    """A signer as an `EVP_PKEY`; freed when nobody has this object any more."""

    ends: ClassVar[bool] = False
    """Whether the process does: rule 4."""

    def __init__(self, signer: Signer) -> None:
        """`IdentityUnusable` where this Python's OpenSSL takes no such keys."""
        self.signer = signer
        self.provider = _provider()
        self.pointer = self.provider.make(signer)
        self.certificate: int | None = None
        """The `X509` that it was compared with, whose key keeps a copy in our form; freed with this."""

    def __del__(self) -> None:
        if (pointer := getattr(self, "pointer", None)) is None or self.ends:
            return
        call = self.provider.library.call
        call.X509_free(self.certificate)  # of NULL frees nothing
        call.EVP_PKEY_free(pointer)


@atexit.register
def _keep_all() -> None:
    """Rule 4."""
    OsslKey.ends = True


class _Provider:
    """Its tables, and what the numbers that OpenSSL holds stand for."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.objects: dict[int, KeyData | Signing] = {}
        self.numbers = itertools.count(1)
        self.signers: dict[int, Signer] = {}
        self._load()

    def make(self, signer: Signer) -> int:
        """The address of an `EVP_PKEY`, which the caller frees."""
        call, kind = self.library.call, kind_of(signer.public_key, signer.name)
        number = next(self.numbers)
        self.signers[number] = signer
        value = ctypes.c_int64(number)
        params = (Param * 2)(Param(OURS, shape.INTEGER, ctypes.addressof(value), 8, 0))
        made = c_void_p()
        making = call.EVP_PKEY_CTX_new_from_name(self.context, kind.encode(), None)
        try:
            done = (
                making
                and call.EVP_PKEY_fromdata_init(making) == 1
                and call.EVP_PKEY_fromdata(making, ctypes.byref(made), _KEYPAIR, params) == 1
            )
        finally:
            call.EVP_PKEY_CTX_free(making)
            del self.signers[number]
        if not done or not made.value:
            raise IdentityUnusable(
                f"{self.library.name} takes no key from us: {self.library.why()}"
            ) from take_failure()
        return made.value

    def _load(self) -> None:
        call = self.library.call
        self.context = call.OSSL_LIB_CTX_new()
        start = _keep(shape.INIT(guarded(self._init)))
        loaded = call.OSSL_PROVIDER_add_builtin(self.context, b"certbound", start) == 1 and call.OSSL_PROVIDER_load(
            self.context, b"certbound"
        )
        if not loaded:
            why = self.library.why()
            raise IdentityUnusable(f"{self.library.name} takes no provider from us: {why}") from take_failure()

    def _init(self, _: int, __: int, out: Any, context: Any) -> int:
        table = _dispatch({1027: (shape.QUERY, self._query_table())})
        ctypes.cast(out, POINTER(c_void_p))[0] = ctypes.addressof(table)
        ctypes.cast(context, POINTER(c_void_p))[0] = 1
        return 1

    def _query_table(self) -> Callable[..., int | None]:
        tables = {
            shape.OP_KEYMGMT: _algorithms({names: self._keys(kind) for kind, names in NAMES.items()}),
            shape.OP_SIGNATURE: _algorithms({SIGNATURES[kind]: self._signatures(kind) for kind in NAMES}),
        }

        def query(_: int, operation: int, no_cache: Any) -> int | None:
            no_cache[0] = 0
            table = tables.get(operation)
            return None if table is None else ctypes.addressof(table)

        return query

    def _keys(self, kind: Kind) -> Any:
        accepted, told = _types(PUBLIC_PARAMS[kind]), _types(TOLD)
        operation = _keep(ctypes.create_string_buffer(SIGNATURES[kind].partition(b":")[0]))
        return _dispatch({
            1: (shape.NEW, lambda _: self._add(KeyData(kind))),
            10: (shape.FREE, self._free),
            11: (shape.SET, lambda number, params: keys.tell(self._key(number), params)),
            12: (shape.TYPES, lambda _: ctypes.addressof(told)),
            20: (shape.NAME, lambda _: ctypes.addressof(operation)),
            21: (shape.HAS, lambda number, selection: keys.has(self._key(number), selection)),
            23: (shape.MATCH, lambda one, other, _: keys.match(self._key(one), self._key(other))),
            40: (shape.IMPORT, lambda number, _, params: keys.take(self._key(number), params, self.signers)),
            41: (shape.IMPORT_TYPES, lambda _: ctypes.addressof(accepted)),
        })  # fmt: skip

    def _signatures(self, kind: Kind) -> Any:
        settable = _types(SETTABLE_PARAMS)

        def begin(number: int, digest: bytes | None, key: int | None, params: Any) -> bool:
            return signatures.begin(self._signing(number), digest, None if key is None else self._key(key), params)

        return _dispatch({
            1: (shape.NEWCTX, lambda _, __: self._add(Signing(kind))),
            8: (shape.SIGN_INIT, begin),
            11: (shape.SIGN, lambda number, *rest: signatures.sign(self._signing(number), *rest)),
            16: (shape.FREE, self._free),
            20: (shape.SET, lambda number, params: signatures.choose(self._signing(number), params)),
            21: (shape.SETTABLE, lambda _, __: ctypes.addressof(settable)),
        })  # fmt: skip

    # Rule 2

    def _add(self, what: KeyData | Signing) -> int:
        number = next(self.numbers)
        self.objects[number] = what
        return number

    def _key(self, number: int) -> KeyData:
        return _of(KeyData, self.objects[number])

    def _signing(self, number: int) -> Signing:
        return _of(Signing, self.objects[number])

    def _free(self, number: int | None) -> None:
        self.objects.pop(number or 0, None)


@cache
def _provider() -> _Provider:
    return _keep(_Provider(open_library()))


def _of(type_: type[_T], found: object) -> _T:
    if not isinstance(found, type_):
        raise TypeError
    return found


def _algorithms(rows: Mapping[bytes, Any]) -> Any:
    found = [
        Algorithm(names, b"provider=certbound", ctypes.cast(table, POINTER(Dispatch)), None)
        for names, table in rows.items()
    ]
    return _keep((Algorithm * (len(found) + 1))(*found))


def _dispatch(rows: Mapping[int, tuple[Any, Callable[..., Any]]]) -> Any:
    found = [
        Dispatch(number, ctypes.cast(_keep(kind(guarded(function))), c_void_p))
        for number, (kind, function) in rows.items()
    ]
    return _keep((Dispatch * (len(found) + 1))(*found))


def _types(rows: Sequence[tuple[bytes, int]]) -> Any:
    return _keep((Param * (len(rows) + 1))(*(Param(name, kind, None, 0, 0) for name, kind in rows)))


def _keep(what: _T) -> _T:
    """Rule 3."""
    _kept.append(what)
    return what


_kept: list[Any] = []
_KEYPAIR: Final = 0x87
