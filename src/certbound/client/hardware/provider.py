"""An OpenSSL provider (provider(7)) whose keys are `Signer`s: OpenSSL asks them for signatures.

Written against the public and stable interface of OpenSSL 3, by `ctypes` on the library that `_ssl` is linked to.

Rule 1: the provider lives in a library context of its own.  Nothing that OpenSSL does for others can come upon it: it
        is met by a key that was made here, and by nothing else.
Rule 2: what OpenSSL keeps of ours are numbers, never addresses of Python objects; a number that is not known fails.
Rule 3: no exception passes through C.  What a signer raises is kept for the thread that asked, which takes it
        afterwards; OpenSSL is told that it failed, and nothing that is shorter or longer than a signature is written.
Rule 4: callbacks and tables live as long as the process; keys as long as what they were made for.  At the end of the
        process none is freed: OpenSSL would call functions of an interpreter that is not there any more.
"""

import atexit
import ctypes
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_void_p
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from weakref import WeakSet

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certbound.client.errors import IdentityUnusable
from certbound.client.hardware.library import Library, open_library
from certbound.client.hardware.signer import Hash, Scheme, Signer, kind_of


class OsslKey:
    """A signer as an `EVP_PKEY`; freed when nobody has this object any more."""

    def __init__(self, signer: Signer) -> None:
        """`IdentityUnusable` where this Python's OpenSSL takes no such keys."""
        self.signer = signer
        self.provider = _provider()
        self.pointer = self.provider.make(signer)
        self.certificate: int | None = None
        """The `X509` that it was compared with, whose key keeps a copy in our form."""
        _LIVE.add(self)

    def __del__(self) -> None:
        if (pointer := getattr(self, "pointer", None)) is not None:
            self.provider.library.call.EVP_PKEY_free(pointer)


def take_failure() -> BaseException | None:
    """What went wrong in a signer for this thread since it was asked last."""
    failure: BaseException | None = getattr(_failed, "error", None)
    _failed.error = None
    return failure


@atexit.register
def _keep_all() -> None:
    """Rule 4: one reference more than will be given back."""
    for key in list(_LIVE):
        call = key.provider.library.call
        call.EVP_PKEY_up_ref(key.pointer)
        if key.certificate is not None:
            call.X509_up_ref(key.certificate)


@dataclass(slots=True)
class _KeyData:
    """What OpenSSL calls the data of a key: ours, or the public half of somebody's, to compare with."""

    kind: str
    public: Mapping[str, bytes] = field(default_factory=dict)
    signer: Signer | None = None


@dataclass(slots=True)
class _Signing:
    """One signature in the making."""

    kind: str
    signer: Signer | None = None
    hash: Hash | None = None
    padding: str = "pkcs1"


class _Param(ctypes.Structure):
    """`OSSL_PARAM`."""

    _fields_ = (
        ("key", c_char_p), ("data_type", c_uint), ("data", c_void_p), ("data_size", c_size_t),
        ("return_size", c_size_t),
    )  # fmt: skip


class _Dispatch(ctypes.Structure):
    """`OSSL_DISPATCH`."""

    _fields_ = (("function_id", c_int), ("function", c_void_p))


class _Algorithm(ctypes.Structure):
    """`OSSL_ALGORITHM`."""

    _fields_ = (
        ("names", c_char_p), ("properties", c_char_p), ("implementation", POINTER(_Dispatch)),
        ("description", c_char_p),
    )  # fmt: skip


_LIVE: "WeakSet[OsslKey]" = WeakSet()
_Params = POINTER(_Param)
_failed = threading.local()


class _Provider:
    """Its tables, and what the numbers that OpenSSL holds stand for."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.objects: dict[int, _KeyData | _Signing] = {}
        self.numbers = itertools.count(1)
        self.signers: dict[int, Signer] = {}
        self.kept: list[Any] = []
        self._load()

    def make(self, signer: Signer) -> int:
        """The address of an `EVP_PKEY`, which the caller frees."""
        call, kind = self.library.call, kind_of(signer.public_key, signer.name)
        number = next(self.numbers)
        self.signers[number] = signer
        value = ctypes.c_int64(number)
        params = (_Param * 2)(_Param(_OURS, _INTEGER, ctypes.addressof(value), 8, 0))
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
            raise IdentityUnusable(f"{self.library.name} takes no key from us: {self.library.why()}")
        return made.value

    def _load(self) -> None:
        call = self.library.call
        self.context = call.OSSL_LIB_CTX_new()
        start = self._keep(_INIT(self._init))
        loaded = call.OSSL_PROVIDER_add_builtin(self.context, b"certbound", start) == 1 and call.OSSL_PROVIDER_load(
            self.context, b"certbound"
        )
        if not loaded:
            raise IdentityUnusable(f"{self.library.name} takes no provider from us: {self.library.why()}")

    def _init(self, _: int, __: int, out: Any, context: Any) -> int:
        table = self._dispatch({1027: (_QUERY, self._query_table())})
        ctypes.cast(out, POINTER(c_void_p))[0] = ctypes.addressof(table)
        ctypes.cast(context, POINTER(c_void_p))[0] = 1
        return 1

    def _query_table(self) -> Callable[..., int | None]:
        tables = {
            _OP_KEYMGMT: self._algorithms({names: self._keys(kind) for kind, names in _NAMES.items()}),
            _OP_SIGNATURE: self._algorithms({_SIGNATURES[kind]: self._signatures(kind) for kind in _NAMES}),
        }

        def query(_: int, operation: int, no_cache: Any) -> int | None:
            no_cache[0] = 0
            table = tables.get(operation)
            return None if table is None else ctypes.addressof(table)

        return query

    def _algorithms(self, rows: Mapping[bytes, Any]) -> Any:
        found = [
            _Algorithm(names, b"provider=certbound", ctypes.cast(table, POINTER(_Dispatch)), None)
            for names, table in rows.items()
        ]
        return self._keep((_Algorithm * (len(found) + 1))(*found))

    def _dispatch(self, rows: Mapping[int, tuple[Any, Callable[..., Any]]]) -> Any:
        found = [
            _Dispatch(number, ctypes.cast(self._keep(kind(_guarded(function))), c_void_p))
            for number, (kind, function) in rows.items()
        ]
        return self._keep((_Dispatch * (len(found) + 1))(*found))

    def _keep(self, what: Any) -> Any:
        self.kept.append(what)
        return what

    def _add(self, what: _KeyData | _Signing) -> int:
        number = next(self.numbers)
        self.objects[number] = what
        return number

    def _free(self, number: int | None) -> None:
        self.objects.pop(number or 0, None)

    # Key management: provider-keymgmt(7).

    def _keys(self, kind: str) -> Any:
        accepted = self._types(_PUBLIC_PARAMS[kind])
        told = self._types(_TOLD)
        operation = self._keep(ctypes.create_string_buffer(_SIGNATURES[kind].partition(b":")[0]))
        return self._dispatch({
            1: (_NEW, lambda _: self._add(_KeyData(kind))),
            10: (_FREE, self._free),
            11: (_SET, lambda number, params: self._tell(self._key(number), params)),
            12: (_TYPES, lambda _: ctypes.addressof(told)),
            20: (_NAME, lambda _: ctypes.addressof(operation)),
            21: (_HAS, lambda number, selection: self._has(self._key(number), selection)),
            23: (_MATCH, lambda one, other, _: self._key(one).public == self._key(other).public),
            40: (_IMPORT, lambda number, _, params: self._import(self._key(number), params)),
            41: (_IMPORT_TYPES, lambda _: ctypes.addressof(accepted)),
        })  # fmt: skip

    def _types(self, rows: Sequence[tuple[bytes, int]]) -> Any:
        return self._keep((_Param * (len(rows) + 1))(*(_Param(name, kind, None, 0, 0) for name, kind in rows)))

    def _key(self, number: int) -> _KeyData:
        found = self.objects[number]
        assert isinstance(found, _KeyData)
        return found

    @staticmethod
    def _has(key: _KeyData, selection: int) -> bool:
        return key.signer is not None if selection & 1 else bool(key.public)

    def _import(self, key: _KeyData, params: Any) -> bool:
        given = _read(params)
        if (ours := given.get(_OURS.decode())) is not None:
            key.signer = self.signers[int.from_bytes(ours, "little")]
            key.public = _public_of(key.signer.public_key, key.kind)
        else:
            names = {name.decode() for name, _ in _PUBLIC_PARAMS[key.kind]}
            key.public = {name: value for name, value in given.items() if name in names}
        return bool(key.public)

    @staticmethod
    def _tell(key: _KeyData, params: Any) -> bool:
        assert key.signer is not None
        public = key.signer.public_key
        strength, size = _sizes(public, key.kind)
        for param in _each(params):
            match param.key:
                case b"bits":
                    _write_integer(param, _bits(public))
                case b"security-bits":
                    _write_integer(param, strength)
                case b"max-size":
                    _write_integer(param, size)
                case b"group" if key.kind == "EC":
                    _write_text(param, _GROUPS.get(public.curve.name, public.curve.name).encode())
        return True

    # Signatures: provider-signature(7).

    def _signatures(self, kind: str) -> Any:
        settable = self._types([(b"pad-mode", _TEXT), (b"saltlen", _TEXT), (b"digest", _TEXT), (b"mgf1-digest", _TEXT)])
        return self._dispatch({
            1: (_NEWCTX, lambda _, __: self._add(_Signing(kind))),
            8: (_SIGN_INIT, lambda number, md, key, params: self._begin(self._signing(number), md, key, params)),
            11: (_SIGN, lambda number, *rest: self._sign(self._signing(number), *rest)),
            16: (_FREE, self._free),
            20: (_SET, lambda number, params: self._set(self._signing(number), params)),
            21: (_SETTABLE, lambda _, __: ctypes.addressof(settable)),
        })  # fmt: skip

    def _signing(self, number: int) -> _Signing:
        found = self.objects[number]
        assert isinstance(found, _Signing)
        return found

    def _begin(self, signing: _Signing, digest: bytes | None, key: int | None, params: Any) -> bool:
        name = None if not digest else digest.decode().upper().replace("SHA2-", "SHA")
        if (signing.kind == "ED25519") != (name is None) or (name is not None and name not in _HASHES):
            return False
        if key is not None:
            signing.signer = self._key(key).signer
        signing.hash = _HASHES[name] if name else None
        return signing.signer is not None and self._set(signing, params)

    @staticmethod
    def _set(signing: _Signing, params: Any) -> bool:
        given = _read(params)
        if (mode := given.get("pad-mode")) is not None:
            padding = _PADDINGS.get(mode.rstrip(b"\0"))
            if padding is None:
                return False
            signing.padding = padding
        # Nothing but a salt as long as the hash is asked for by TLS, and offered by us (RFC 8446 section 4.2.3).
        salt = given.get("saltlen")
        return salt is None or salt.rstrip(b"\0") in _SALT_OF_HASH

    @staticmethod
    def _sign(signing: _Signing, out: int | None, length: Any, room: int, data: int | None, size: int) -> bool:
        signer = signing.signer
        assert signer is not None
        most = _sizes(signer.public_key, signing.kind)[1]
        if not out:
            length[0] = most
            return True
        padding: Any = signing.padding if signing.kind == "RSA" else None
        scheme = Scheme(signing.kind, signing.hash, padding)  # type: ignore[arg-type]
        made = signer.sign(ctypes.string_at(data or 0, size) if size else b"", scheme)
        if signing.kind == "EC":
            half = (_bits(signer.public_key) + 7) // 8
            if len(made) != 2 * half:
                raise IdentityUnusable(f"{signer.name} made a signature of {len(made)} bytes, which is none")
            made = encode_dss_signature(int.from_bytes(made[:half]), int.from_bytes(made[half:]))
        if not 0 < len(made) <= min(room, most):
            raise IdentityUnusable(f"{signer.name} made a signature of {len(made)} bytes, which is none")
        ctypes.memmove(out, made, len(made))
        length[0] = len(made)
        return True


@cache
def _provider() -> _Provider:
    return _Provider(open_library())


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Rule 3; 0 and NULL mean that it failed."""

    def called(*arguments: Any) -> Any:
        try:
            result = function(*arguments)
        except BaseException as error:  # noqa: BLE001 - C is above us
            _failed.error = error
            return 0
        return int(result) if isinstance(result, bool) else result

    return called


def _each(params: Any) -> list[Any]:
    """The parameters before the one without a name."""
    if not params:
        return []
    return list(itertools.takewhile(lambda each: each.key is not None, (params[index] for index in range(_MOST))))


def _read(params: Any) -> dict[str, bytes]:
    """What came, as bytes; numbers as OpenSSL has them, little end first and without zeros behind."""
    found = {}
    for param in _each(params):
        data = ctypes.string_at(param.data, param.data_size) if param.data and param.data_size else b""
        found[param.key.decode()] = data.rstrip(b"\0") or b"\0" if param.data_type in {_INTEGER, _UNSIGNED} else data
    return found


def _write_integer(param: Any, value: int) -> None:
    param.return_size = param.data_size
    if param.data:
        ctypes.memmove(param.data, value.to_bytes(param.data_size, "little"), param.data_size)


def _write_text(param: Any, value: bytes) -> None:
    param.return_size = len(value)
    if param.data and param.data_size > len(value):
        ctypes.memmove(param.data, value + b"\0", len(value) + 1)


def _public_of(public: Any, kind: str) -> dict[str, bytes]:
    """As OpenSSL's own providers export a public key."""
    if kind == "RSA":
        numbers = public.public_numbers()
        return {name: _little(value) for name, value in (("n", numbers.n), ("e", numbers.e))}
    if kind == "EC":
        return {"pub": public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)}
    return {"pub": public.public_bytes(Encoding.Raw, PublicFormat.Raw)}


def _little(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "little")


def _bits(public: Any) -> int:
    return int(getattr(public, "key_size", 256))


def _sizes(public: Any, kind: str) -> tuple[int, int]:
    """Strength in bits (NIST SP 800-57 part 1, table 2), and the longest signature in bytes."""
    bits = _bits(public)
    if kind == "RSA":
        return next(strength for least, strength in _STRENGTHS if bits >= least), (bits + 7) // 8
    if kind == "EC":
        return bits // 2, 2 * ((bits + 7) // 8 + 3) + 4
    return 128, 64


_MOST = 64
_INTEGER, _UNSIGNED, _TEXT, _OCTETS = 1, 2, 4, 5
_OP_KEYMGMT, _OP_SIGNATURE = 10, 12
_KEYPAIR: Final = 0x87
_OURS = b"certbound-key"
_NAMES: Mapping[str, bytes] = {
    "EC": b"EC:id-ecPublicKey:1.2.840.10045.2.1",
    "RSA": b"RSA:rsaEncryption:1.2.840.113549.1.1.1",
    "ED25519": b"ED25519:1.3.101.112",
}
_SIGNATURES: Mapping[str, bytes] = {"EC": b"ECDSA", "RSA": _NAMES["RSA"], "ED25519": _NAMES["ED25519"]}
_PUBLIC_PARAMS: Mapping[str, Sequence[tuple[bytes, int]]] = {
    "EC": [(b"pub", _OCTETS), (_OURS, _INTEGER)],
    "RSA": [(b"n", _UNSIGNED), (b"e", _UNSIGNED), (_OURS, _INTEGER)],
    "ED25519": [(b"pub", _OCTETS), (_OURS, _INTEGER)],
}
_TOLD = [(b"bits", _INTEGER), (b"security-bits", _INTEGER), (b"max-size", _INTEGER), (b"group", _TEXT)]
_GROUPS = {"secp256r1": "prime256v1"}
_HASHES: Mapping[str | None, Hash] = {"SHA256": "SHA256", "SHA384": "SHA384", "SHA512": "SHA512"}
# As text, and as the number that RSA_PKCS1_PADDING and RSA_PKCS1_PSS_PADDING are.
_PADDINGS = {b"pss": "pss", b"\x06": "pss", b"pkcs1": "pkcs1", b"\x01": "pkcs1"}
_SALT_OF_HASH = {b"digest", b"-1", b"\xff\xff\xff\xff"}
_STRENGTHS = ((15360, 256), (7680, 192), (3072, 128), (2048, 112), (0, 80))

# The shapes of functions: core_dispatch.h.
_INIT = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_void_p)
_QUERY = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_int, POINTER(c_int))
_NEW = ctypes.CFUNCTYPE(c_void_p, c_void_p)
_FREE = ctypes.CFUNCTYPE(None, c_void_p)
_SET = ctypes.CFUNCTYPE(c_int, c_void_p, _Params)
_TYPES = ctypes.CFUNCTYPE(c_void_p, c_void_p)
_NAME = ctypes.CFUNCTYPE(c_void_p, c_int)
_HAS = ctypes.CFUNCTYPE(c_int, c_void_p, c_int)
_MATCH = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_IMPORT = ctypes.CFUNCTYPE(c_int, c_void_p, c_int, _Params)
_IMPORT_TYPES = ctypes.CFUNCTYPE(c_void_p, c_int)
_NEWCTX = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_char_p)
_SIGN_INIT = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p, _Params)
_SIGN = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(c_size_t), c_size_t, c_void_p, c_size_t)
_SETTABLE = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_void_p)
