"""certbound.core.signatures: whatever a JOSE library signs is verified, by the keys that may have signed it."""

from base64 import urlsafe_b64decode
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey, import_key
from joserfc.jws import JWSRegistry

from certbound.core.signatures import ALGORITHMS, can_verify, verifies

IS_ROOT = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
VECTORS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "RFC 7515 A.2": (
        "RS256",
        {
            "kty": "RSA",
            "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-y"
            "RT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS"
            "-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2et"
            "hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
            "e": "AQAB",
        },
        f"eyJhbGciOiJSUzI1NiJ9.{IS_ROOT}",
        (
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9"
            "CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOL"
            "n6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB"
            "p0igcN_IoypGlUPQGe77Rw"
        ),
    ),
    "RFC 7515 A.3": (
        "ES256",
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        f"eyJhbGciOiJFUzI1NiJ9.{IS_ROOT}",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
    "RFC 7515 A.4": (
        "ES512",
        {
            "kty": "EC",
            "crv": "P-521",
            "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
            "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
        },
        "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA",
        (
            "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YB"
            "JZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
        ),
    ),
    "RFC 8037 A.4": (
        "EdDSA",
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ),
}

KEYS: dict[str, Key] = {
    "P-256": ECKey.generate_key("P-256"),
    "P-384": ECKey.generate_key("P-384"),
    "P-521": ECKey.generate_key("P-521"),
    "secp256k1": ECKey.generate_key("secp256k1"),
    "RSA": RSAKey.generate_key(2048),
    "Ed25519": OKPKey.generate_key("Ed25519"),
    "Ed448": OKPKey.generate_key("Ed448"),
    "X25519": OKPKey.generate_key("X25519"),
    "oct": OctKey.generate_key(256),
}
FITS = {
    "ES256": {"P-256"}, "ES384": {"P-384"}, "ES512": {"P-521"},
    **{f"{family}{size}": {"RSA"} for family in ("PS", "RS") for size in (256, 384, 512)},
    "EdDSA": {"Ed25519", "Ed448"}, "Ed25519": {"Ed25519"}, "Ed448": {"Ed448"},
}  # fmt: skip


class Signer(JWSRegistry):
    """Of the library, with every algorithm, and no word of warning."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


def public(name: str, **members: Any) -> Key:
    """The public half of a key, with some members of its JWK."""
    return import_key({**KEYS[name].as_dict(private=False), **members})


def signed(alg: str, name: str) -> tuple[bytes, bytes]:
    """What the library signed with that key, and the signature."""
    token = jws.serialize_compact({"alg": alg}, b"payload", KEYS[name], registry=Signer())
    signing_input, _, signature = token.rpartition(".")
    return signing_input.encode(), decode(signature)


def decode(segment: str) -> bytes:
    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


@pytest.mark.parametrize("vector", VECTORS)
def test_the_examples_of_the_rfcs(vector: str) -> None:
    """Are verified, and with any bit of them changed are not."""
    alg, jwk, signing_input, signature = VECTORS[vector]
    key, data, found = import_key(jwk), signing_input.encode(), decode(signature)
    assert can_verify(key, alg)
    assert verifies(key, alg, data, found)
    for place in (0, len(found) // 2, len(found) - 1):
        changed = bytearray(found)
        changed[place] ^= 1
        assert not verifies(key, alg, data, bytes(changed))
    assert not verifies(key, alg, data[:-1] + b"_", found)


@pytest.mark.parametrize(("alg", "name"), [(alg, name) for alg in sorted(FITS) for name in sorted(FITS[alg])])
def test_what_the_library_signs(alg: str, name: str) -> None:
    """By every algorithm is verified; of another length, or of another key, it is not, and nothing is raised."""
    data, signature = signed(alg, name)
    key, other = public(name), type(KEYS[name]).generate_key(2048 if name == "RSA" else name)  # type: ignore[arg-type]
    assert verifies(key, alg, data, signature)
    assert not verifies(other, alg, data, signature)
    half = len(signature) // 2
    longer = signature[:half] + b"\0" + signature[half:]  # of ECDSA the same two numbers, spelled otherwise
    for bad in (
        b"",
        signature[:-1],
        signature + b"\0",
        b"\0" + signature,
        longer,
        bytes(len(signature)),
        b"\xff" * 200,
    ):
        assert not verifies(key, alg, data, bad)


@pytest.mark.parametrize("name", KEYS)
def test_an_algorithm_takes_the_keys_it_is_for(name: str) -> None:
    """And no others; none and shared secrets are no algorithms."""
    assert {alg for alg in (*ALGORITHMS, "none", "HS256", "ES256K", "") if can_verify(KEYS[name], alg)} == {
        alg for alg, names in FITS.items() if name in names
    }
    assert set(FITS) == set(ALGORITHMS)


@pytest.mark.parametrize(
    ("members", "counts"),
    [
        ({}, True), ({"use": "sig"}, True), ({"alg": "ES256"}, True), ({"key_ops": ["verify"]}, True),
        ({"use": "enc"}, False), ({"alg": "ES384"}, False), ({"key_ops": ["encrypt"]}, False), ({"key_ops": []}, False),
    ],
)  # fmt: skip
def test_a_key_that_is_for_something_else(members: dict[str, Any], *, counts: bool) -> None:
    """Is not tried."""
    assert can_verify(public("P-256", **members), "ES256") is counts


def test_another_algorithm_of_the_same_key() -> None:
    """A signature by PS256 is none by RS256, nor by PS384."""
    data, signature = signed("PS256", "RSA")
    assert [
        alg for alg in sorted(ALGORITHMS) if FITS[alg] == {"RSA"} and verifies(public("RSA"), alg, data, signature)
    ] == ["PS256"]
