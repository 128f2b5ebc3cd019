"""certbound.core.names against vectors: our own, alone and in certificates; those of others; and against Java."""

import base64
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from certbound.core.attributes import OIDS
from certbound.core.certificate import read_certificate
from certbound.core.errors import BadCertificate, InvalidClient, InvalidClientMetadata
from certbound.core.names import (
    BadName,
    NameStyle,
    RdnOrder,
    format_name,
    in_any_order,
    in_reverse,
    parse_name,
    read_name,
)
from certbound.core.subject import Subject, SubjectKind, match_subject
from certbound.trust.authority import Issued, self_signed
from certificates import SUBJECT, TODAY, with_field

FOLDER = Path(__file__).parent.parent / "vectors"
VECTORS: list[dict[str, str]] = json.loads((FOLDER / "names.json").read_text())
REFUSED_BY_THE_LIBRARY = {
    "string type: PrintableString with a character it does not have",
    "bad encoding: PrintableString with the eighth bit", "bad encoding: PrintableString with the eighth bit, itself",
    "bad encoding: BMPString of an odd length", "bad encoding: BMPString of an odd length, itself",
    "bad encoding: half a surrogate pair in BMPString", "bad encoding: half a surrogate pair in BMPString, itself",
    "bad encoding: UniversalString of three bytes", "bad encoding: UniversalString of three bytes, itself",
    "bad encoding: beyond Unicode in UniversalString", "bad encoding: beyond Unicode in UniversalString, itself",
    "NUL in PrintableString",
}  # fmt: skip
"""`cryptography` reads no certificate with such a name, so nobody can present one."""
OTHERS: list[dict[str, Any]] = json.loads((FOLDER / "dn-vectors.json").read_text())


@cache
def issued() -> Issued:
    return self_signed("CN=x", now=TODAY)


def verdict(der: bytes, registered: str, order: str) -> str:
    """What comes out for a name alone."""
    try:
        subject = Subject.registered(SubjectKind.DN, registered, order=RdnOrder(order))
    except InvalidClientMetadata:
        return "refuse"
    try:
        name = read_name(der)
    except BadName:
        return "unreadable"
    return "match" if subject.value in (name, in_any_order(name)) else "differ"


def verdict_on_a_certificate(der: bytes, registered: str, order: str) -> str:
    """What happens to a client registered so that presents a certificate with this name."""
    try:
        subject = Subject.registered(SubjectKind.DN, registered, order=RdnOrder(order))
    except InvalidClientMetadata:
        return "refuse"
    try:
        certificate = read_certificate(with_field(issued(), SUBJECT, der))
    except BadCertificate:
        return "unreadable"
    try:
        match_subject(certificate, subject)
    except InvalidClient:
        return "unreadable" if certificate.carried[SubjectKind.DN].refusal else "differ"
    return "match"


@pytest.mark.parametrize("vector", VECTORS, ids=[each["name"] for each in VECTORS])
def test_vector(vector: dict[str, str]) -> None:
    """Each of our vectors, alone and in a certificate, has the verdict that was written by hand (R6, R33)."""
    given = bytes.fromhex(vector["der"]), vector["registered"], vector["order"]
    assert verdict(*given) == vector["verdict"], vector["why"]
    in_a_certificate = "unreadable" if vector["name"] in REFUSED_BY_THE_LIBRARY else vector["verdict"]
    assert verdict_on_a_certificate(*given) == in_a_certificate


def test_there_are_enough_vectors_and_most_of_the_danger_is_in_them() -> None:
    """At least 300, half of them of names that must not match, and each says why."""
    verdicts = [each["verdict"] for each in VECTORS]
    assert len(verdicts) >= 300
    assert len(verdicts) - verdicts.count("match") >= 300
    assert all(each["why"] for each in VECTORS)


def test_the_vectors_are_those_that_the_script_writes() -> None:
    """`names.json` is what `make_names.py` prints, and that imports nothing of certbound."""
    script = FOLDER / "make_names.py"
    done = subprocess.run([sys.executable, "-I", script], capture_output=True, check=True, timeout=60)
    assert done.stdout == (FOLDER / "names.json").read_bytes()
    assert "import certbound" not in script.read_text()
    assert "from certbound" not in script.read_text()


def test_a_match_is_written_and_read_back() -> None:
    """The name of every vector that can be read is printed so that it can be registered as printed."""
    for vector in VECTORS:
        if vector["verdict"] in ("match", "differ"):
            der = bytes.fromhex(vector["der"])
            assert parse_name(format_name(der)) == read_name(der), vector["name"]
            assert format_name(der).isprintable()


def of_others(a: str, b: str | None) -> str:
    """The verdict in the words of the vectors of others."""
    try:
        first, second = parse_name(a), parse_name(a if b is None else b)
    except BadName:
        return "bad"
    return "equal" if first == second else "diff"


def test_vectors_of_others() -> None:
    """206 texts and pairs of others: equal, different or bad as they say, but for those listed with a reason."""
    listed = [
        number for numbers in json.loads((FOLDER / "dn-deviations.json").read_text()).values() for number in numbers
    ]
    found = [number for number, each in enumerate(OTHERS) if of_others(each["a"], each["b"]) != each["expect"]]
    assert len(OTHERS) == 206
    assert all(each["src"] and each["licence"] for each in OTHERS)
    assert sorted(listed) == found


def test_no_vector_of_others_is_equal_where_they_say_different() -> None:
    """Where we deviate, it is by a refusal; never by a match that nobody else sees."""
    for each in OTHERS:
        assert of_others(each["a"], each["b"]) in (each["expect"], "bad")


@pytest.mark.peers
def test_java_says_the_same() -> None:
    """`X500Principal` matches what we match and nothing else, but for the vectors listed by name with a reason.

    It has a say where the order of RDNs is that of RFC 4514.  That it refuses where we say different is no difference.
    """
    if shutil.which("java") is None:
        pytest.fail("a JDK of 17 or newer is needed; apt-get install default-jdk-headless")
    asked = [each for each in VECTORS if each["order"] == "exact"]
    lines = "".join(f"{each['der']}\t{base64.b64encode(each['registered'].encode()).decode()}\n" for each in asked)
    done = subprocess.run(
        ["java", FOLDER / "JavaNames.java", *(f"{name}={oid}" for name, oid in OIDS.items())],
        input=lines, capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    said = done.stdout.split()
    assert len(said) == len(asked) >= 600
    found = [
        each["name"]
        for each, java in zip(asked, said, strict=True)
        if (each["verdict"] == "match") != (java == "match")
    ]
    deviations: dict[str, list[str]] = json.loads((FOLDER / "java-deviations.json").read_text())
    assert all(deviations)
    assert sorted(name for names in deviations.values() for name in names) == sorted(found)


@pytest.mark.peers
def test_what_openssl_prints_can_be_registered() -> None:
    """Its RFC 2253 form as it is, its usual form as `reversed`; and our slash form is letter by letter its own."""
    if shutil.which("openssl") is None:
        pytest.fail("openssl is needed; apt-get install openssl")
    families = ("attribute name:", "space:", "letters:", "compatibility:", "other letters:", "multi-valued:", "syntax:",
                "order", "Brazil", "PSD2", "Open Banking")  # fmt: skip
    names = {
        each["der"] for each in VECTORS if each["name"].startswith(families) and each["verdict"] in ("match", "differ")
    }
    asked = 0
    for der in map(bytes.fromhex, sorted(names - {each["der"] for each in VECTORS if "BMP" in each["name"]})):
        certificate = with_field(issued(), SUBJECT, der)
        assert parse_name(openssl(certificate, "RFC2253")) == read_name(der)
        assert in_reverse(parse_name(openssl(certificate, "oneline"))) == read_name(der)
        if b"\x1e" not in der:  # it prints BMPString byte by byte
            assert format_name(der, NameStyle.OPENSSL) == openssl(certificate, "compat")
        asked += 1
    assert asked > 150


def openssl(certificate: bytes, style: str) -> str:
    command = ["openssl", "x509", "-inform", "DER", "-noout", "-subject", "-nameopt", style]
    done = subprocess.run(command, input=certificate, capture_output=True, check=True, timeout=30)
    return done.stdout.decode().removesuffix("\n").removeprefix("subject=")
