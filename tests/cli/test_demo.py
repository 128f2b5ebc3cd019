"""`certbound demo`: the whole story on real TLS, and whether it notices when it goes wrong."""

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from certbound.cli import _story, main
from certbound.cli._narrator import Answer, Narrator, Outcome
from certbound.core.errors import CertboundError

# What is tried, what must come back, and why, in the order of the story.
STORY = [
    ("read without a certificate", "200", ""),
    ("what did TLS agree on", "200", ""),
    ("billing asks for a token.", "200", ""),
    ("warehouse asks for a token.", "200", ""),
    ("billing calls the API", "200", ""),
    ("warehouse calls the API", "200", ""),
    ("with its own certificate", "401 invalid_token", "presented with"),
    ("no certificate at all", "401 invalid_token", "presented without one"),
    ("never asks for certificates", "401 invalid_token", "presented without one"),
    ("its own thumbprint", "401 invalid_token", "no key verifies the signature"),
    ("alg none", "401 invalid_token", "alg is 'none'"),
    ("forgot to bind it", "401 invalid_token", "not bound to a certificate"),
    ("warehouse asks for a token and says that it is billing", "401 invalid_client", "does not carry the registered"),
    ("billing asks for a token and says that it is warehouse", "401 invalid_client", "none of those the client"),
    ("self-signed certificate with billing's names", "401 invalid_client", "no path from"),
    ("under another name", "401 invalid_client", "does not carry the registered"),
    ("without a certificate", "401 invalid_client", "none was presented"),
    ("at the conventional endpoint", "401 invalid_client", "(where the metadata has mtls_endpoint_aliases, only"),
    ("which has expired", "401 invalid_client", "expired or not yet valid"),
]


def steps(printed: str) -> list[str]:
    """The numbered steps, each on one line."""
    found = re.split(r"^ {1,2}\d+\. ", printed, flags=re.MULTILINE)[1:]
    return [re.sub(r"\s+", " ", each) for each in found]


@pytest.mark.parametrize("arguments", [["demo"], ["demo", "--post-quantum"]], ids=" ".join)
def test_every_step_goes_as_it_must(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Tokens are obtained and used, and each theft is refused with its error, for its own reason."""
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    told = steps(out)
    assert len(told) == len(STORY)
    for step, (tried, outcome, reason) in zip(told, STORY, strict=True):
        assert tried in step
        assert f"-> {outcome}" in step
        assert reason in step
    assert '"x5t#S256": "' in out
    assert f"{len(STORY)} of {len(STORY)} steps went exactly as they must" in out
    assert "WRONG" not in out


def test_post_quantum_is_end_to_end(capsys: pytest.CaptureFixture[str]) -> None:
    """The key agreement is a hybrid one, and both clients' certificates hold ML-DSA keys."""
    assert main(["demo", "--post-quantum"]) == 0
    assert "TLSv1.3, key agreement X25519MLKEM768, billing's certificate ML-DSA-65" in capsys.readouterr().out


def test_a_step_that_ends_otherwise_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If another refusal is expected than the one that comes back, it says so, tells the rest, and exits with 1."""
    monkeypatch.setattr(_story, "INVALID_TOKEN", Outcome(403, "insufficient_scope"))
    assert main(["demo"]) == 1
    out = capsys.readouterr().out
    assert out.count("-> 401 invalid_token WRONG: it must be 403 insufficient_scope".replace(" WRONG", "   WRONG")) == 6
    assert "13 of 19 steps went exactly as they must" in out


def fail() -> Answer:
    raise CertboundError("no\x1b[2Jthing")


@pytest.mark.parametrize(
    ("act", "wrong", "said"),
    [
        (lambda: Answer(Outcome(200)), 0, "-> 200"),
        (lambda: Answer(Outcome(401, "invalid_token")), 1, "-> 401 invalid_token   WRONG: it must be 200"),
        (lambda: Answer(Outcome(200, "invalid_token")), 1, "WRONG"),
        (lambda: Answer(Outcome(200), complaint="cnf is missing"), 1, "-> 200, but cnf is missing   WRONG"),
        (fail, 1, "-> no answer: no\\x1b[2Jthing   WRONG"),
    ],
)
def test_the_narrator_counts(
    act: Callable[[], Answer], wrong: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another status, another error, a complaint, or no answer: each is wrong; nothing a server says can run."""
    narrator = Narrator([], colour=False)
    narrator.step("something", Outcome(200), act)
    assert (narrator.steps, narrator.wrong) == (1, wrong)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colour_is_for_terminals(environment: dict[str, str], coloured: bool) -> None:
    """On a terminal there is colour, unless NO_COLOR or a dumb one; the text is the same."""
    ours, theirs = os.openpty()
    plain = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM"}}
    with subprocess.Popen(
        [sys.executable, "-m", "certbound.cli", "demo"], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        env={**plain, "TERM": "xterm", **environment},
    ) as process:  # fmt: skip
        os.close(theirs)
        out = b""
        try:
            while chunk := os.read(ours, 65536):
                out += chunk
        except OSError:  # the end of a terminal
            pass
        finally:
            os.close(ours)
    assert process.returncode == 0
    assert (b"\x1b[" in out) is coloured
    assert b"19 of 19 steps" in out
