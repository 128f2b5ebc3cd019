"""A signer whose key a test has: it signs as a token would, and fails or dawdles as a test says."""

import threading
import time
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from certbound.client.hardware.signer import Scheme


class Signs:
    """`certbound.client.hardware.signer.Signer`; `asked` is what it signed by, and in which thread."""

    def __init__(self, private_key: Any, name: str = "the key pkcs11:token=test") -> None:
        self._private = private_key
        self.public_key = private_key.public_key()
        self.name = name
        self.asked: list[tuple[Scheme, int]] = []
        self.fails: BaseException | None = None
        self.takes = 0.0
        self.forges: bytes | None = None

    def sign(self, data: bytes, scheme: Scheme) -> bytes:
        self.asked.append((scheme, threading.get_ident()))
        time.sleep(self.takes)
        if self.fails is not None:
            raise self.fails
        if self.forges is not None:
            return self.forges
        made: bytes
        if scheme.hash is None:
            made = self._private.sign(data)
            return made
        kind = getattr(hashes, scheme.hash)()
        if scheme.kind == "RSA":
            pss = padding.PSS(padding.MGF1(kind), kind.digest_size)
            made = self._private.sign(data, pss if scheme.padding == "pss" else padding.PKCS1v15(), kind)
            return made
        size = (self._private.key_size + 7) // 8
        return b"".join(each.to_bytes(size) for each in decode_dss_signature(self._private.sign(data, ec.ECDSA(kind))))
