"""Tokens in software: SoftHSM 2 in a folder of the test, with keys that were made inside."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pkcs11
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11 import Attribute, KeyType, Mechanism
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
from pkcs11.util.rsa import encode_rsa_public_key

from clients.programs import INSTALLED, needs

FOLDER = INSTALLED / "softhsm"
PIN = "1234-client"


@dataclass(frozen=True)
class Tokens:
    """What is in them, by label."""

    module: Path
    folder: Path
    public: dict[str, Any]

    def uri(self, label: str, token: str = "bank") -> str:
        return f"pkcs11:token={token};object={label}?module-path={self.module}"

    def key(self, label: str) -> Any:
        """As much of a private key as is needed for a certificate."""
        return SimpleNamespace(public_key=lambda: self.public[label])


def module() -> Path:
    """The library that is the tokens."""
    return next(each.resolve() for each in FOLDER.rglob("libsofthsm2.so"))


@contextmanager
def tokens(folder: Path) -> Iterator[Tokens]:
    """`bank` with keys of each kind; `gone` and `shut` with one each, for what goes wrong."""
    needs(FOLDER)
    library = module()
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    for label in ("bank", "gone", "shut"):
        subprocess.run(
            [
                FOLDER / "usr/bin/softhsm2-util", "--module", library, "--init-token", "--free", "--label", label,
                "--pin", PIN, "--so-pin", "so-" + PIN,
            ],
            check=True, capture_output=True,
        )  # fmt: skip
    made = {}
    for token, keys in {
        "bank": ("ec", "rsa", "ed", "alone", "twin", "twin", "each"),
        "gone": ("it",),
        "shut": (),
    }.items():
        with pkcs11.lib(str(library)).get_token(token_label=token).open(rw=True, user_pin=PIN) as session:
            for number, label in enumerate(keys):
                made[label] = _make(session, label, bytes([number + 1]))
    try:
        yield Tokens(library, folder, made)
    finally:
        del os.environ["SOFTHSM2_CONF"]


def _make(session: Any, label: str, key_id: bytes) -> Any:
    """A key that nobody can take out, `alone` without its public half, `each` with a PIN for each
    signature; the public key as `cryptography` has it."""
    if label == "rsa":
        public, _ = session.generate_keypair(KeyType.RSA, 2048, store=True, label=label, id=key_id)
        return load_der_public_key(encode_rsa_public_key(public))
    kind, curve, mechanism = {
        "ed": (KeyType.EC_EDWARDS, "1.3.101.112", Mechanism.EC_EDWARDS_KEY_PAIR_GEN),
    }.get(label, (KeyType.EC, "secp256r1", Mechanism.EC_KEY_PAIR_GEN))  # fmt: skip
    curve_of = session.create_domain_parameters(
        kind, {Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}, local=True
    )
    public, _ = curve_of.generate_keypair(
        mechanism=mechanism, store=True, label=label, id=key_id,
        private_template={Attribute.ALWAYS_AUTHENTICATE: True} if label == "each" else {},
    )  # fmt: skip
    if label == "ed":
        return load_der_public_key(bytes.fromhex("302a300506032b6570032100") + public[Attribute.EC_POINT][-32:])
    found = load_der_public_key(encode_ec_public_key(public))
    if label == "alone":
        public.destroy()
    return found
