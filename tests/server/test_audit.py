"""certbound.server.audit: one structured event for each decision, and no secret in it."""

import errno
import io
import json
import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbound.core.certificate import read_certificate
from certbound.log import configure_log
from certbound.server.audit import AUDIT, LOGGER, Decision, Outcome
from certbound.server.call import Call
from certbound.server.watch import Watch
from certbound.trust.authority import self_signed

OWN = self_signed("CN=own")
LEAF = read_certificate(OWN.der)
CANARIES = [
    "cbat_tHoEXq9r7Tqv2sXyPpBQxyzzyKLMnopQRsT0123456",
    "cbcs_tHoEXq9r7Tqv2sXyPpBQxyzzyKLMnopQRsT0123456",
    "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4eXp6eSJ9.xyzzy-xyzzy_xyzzy",
    OWN.certificate_pem.decode(),
    OWN.key_pem.decode(),
]
REFUSED = Decision(
    time=1_700_000_000.25,
    what="token",
    outcome=Outcome.REFUSED,
    request_id="0123456789abcdef",
    client_id="shop",
    thumbprint=LEAF.thumbprint,
    remote="192.0.2.7",
    error="invalid_client",
    step="the certificate is valid now",
    reason="it is expired",
)


class Lines:
    """What was written to standard error until now."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._read = ""

    def getvalue(self) -> str:
        self._read += self._capsys.readouterr().err
        return self._read


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """Loggers are as before afterwards."""
    loggers = [logging.getLogger(name) for name in ("certbound", LOGGER, "uvicorn", "py.warnings")]
    before = [(each, each.level, each.propagate, each.handlers[:]) for each in loggers]
    yield Lines(capsys)
    logging.captureWarnings(capture=False)
    for logger, level, propagate, handlers in before:
        logger.setLevel(level)
        logger.propagate, logger.handlers[:] = propagate, handlers


def test_a_refusal_is_one_object_with_who_what_and_why(lines: Lines) -> None:
    """For machines: fields by name, with the time of the decision."""
    configure_log(level="error", form="json")
    AUDIT.record(REFUSED)
    assert json.loads(lines.getvalue()) == {
        "event": "decision",
        "logger": "certbound.audit",
        "level": "warning",
        "timestamp": "2023-11-14T22:13:20.250000Z",
        "what": "token",
        "outcome": "refused",
        "request_id": "0123456789abcdef",
        "client_id": "shop",
        "x5t#S256": LEAF.thumbprint,
        "remote": "192.0.2.7",
        "error": "invalid_client",
        "step": "the certificate is valid now",
        "reason": "it is expired",
    }


def test_for_people_it_is_a_sentence(lines: Lines) -> None:
    """The same, on one line."""
    configure_log(level="error", form="console")
    AUDIT.record(REFUSED)
    (line,) = lines.getvalue().splitlines()
    assert (
        f"token refused: request 0123456789abcdef, client shop, certificate {LEAF.thumbprint}, from 192.0.2.7: "
        "invalid_client: it is not so that the certificate is valid now: it is expired" in line
    )


def test_what_was_given_is_told_by_its_id(lines: Lines) -> None:
    """A token by its jti, a grant by its id; who reads that cannot use it."""
    configure_log(level="error", form="json")
    AUDIT.record(Decision(time=0, what="token", jti="a", grant_id="b", scope="read", audience="https://api.example"))
    event = json.loads(lines.getvalue())
    assert [event[name] for name in ("jti", "grant_id", "scope", "audience")] == [
        "a",
        "b",
        "read",
        "https://api.example",
    ]


@pytest.mark.parametrize(("audit", "written"), [("all", 2), ("refusals", 1)])
def test_which_decisions_are_written_is_set(lines: Lines, audit: str, written: int) -> None:
    """Whatever the level of the rest of the log."""
    configure_log(level="error", form="json", audit=audit)  # type: ignore[arg-type]
    AUDIT.record(Decision(time=0, what="token"))
    AUDIT.record(REFUSED)
    assert len(lines.getvalue().splitlines()) == written
    assert AUDIT.wants(Outcome.DONE) is (audit == "all")


class _Beside(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record)


def test_whoever_listens_beside_hears_the_same(lines: Lines) -> None:
    """A handler that somebody added gets records, and the line is written as before."""
    configure_log(level="error", form="json")
    beside = _Beside()
    AUDIT.record(REFUSED)
    alone = lines.getvalue()
    logging.getLogger(LOGGER).addHandler(beside)
    AUDIT.record(REFUSED)
    assert lines.getvalue() == alone * 2
    assert [record.getMessage() for record in beside.heard] == [REFUSED.sentence()]


def test_each_line_has_the_time_of_its_decision(lines: Lines) -> None:
    """To the microsecond, also where the second is the one before, and where it is full."""
    configure_log(level="error", form="json")
    for time in (1_700_000_000.25, 1_700_000_000.5, 1_699_999_999.9999999, 0.0):
        AUDIT.record(Decision(time=time, what="token"))
    assert [json.loads(line)["timestamp"] for line in lines.getvalue().splitlines()] == [
        "2023-11-14T22:13:20.250000Z",
        "2023-11-14T22:13:20.500000Z",
        "2023-11-14T22:13:20.000000Z",
        "1970-01-01T00:00:00.000000Z",
    ]


class _Full(io.RawIOBase):
    """A disk without room."""

    def writable(self) -> bool:
        return True

    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_line_that_cannot_be_written_is_no_defect(monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    """Who asked is answered all the same, and the next line is written where there is room."""
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(_Full()))  # type: ignore[type-var]
    configure_log(level="error", form="json")
    AUDIT.record(REFUSED)
    monkeypatch.undo()
    configure_log(level="error", form="json")
    AUDIT.record(REFUSED)
    assert len(lines.getvalue().splitlines()) == 1


def test_a_stream_of_text_gets_the_same_line(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where standard error was replaced by one that takes no bytes."""
    configure_log(level="error", form="json")
    AUDIT.record(REFUSED)
    text = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", text)
        configure_log(level="error", form="json")
    AUDIT.record(REFUSED)
    assert text.getvalue() == lines.getvalue()


@pytest.mark.parametrize(("wait", "outcome"), [(0, "refused"), (7, "throttled")])
def test_a_page_that_is_a_refusal_is_written_where_refusals_are(lines: Lines, wait: int, outcome: str) -> None:
    """It has the name of the error; one that says to wait is one of too many."""
    configure_log(level="error", form="json", audit="refusals")
    call = Call(now=0.0, address="192.0.2.7")
    call.notes.reason = "wrong name or password"
    call.notes.refuse("access_denied", wait=wait)
    Watch().answered("interaction", call, 0.0)
    event = json.loads(lines.getvalue())
    assert {name: event[name] for name in ("what", "outcome", "error", "reason", "level")} == {
        "what": "interaction",
        "outcome": outcome,
        "error": "access_denied",
        "reason": "wrong name or password",
        "level": "warning",
    }


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("member", ["client_id", "reason", "scope", "subject", "audience", "actor", "told"])
@pytest.mark.parametrize("canary", CANARIES, ids=["access token", "secret", "JWT", "certificate", "key"])
def test_no_secret_is_written_wherever_somebody_put_it(lines: Lines, form: str, member: str, canary: str) -> None:
    """A client that sends its secret as its id, or its token as a scope, finds neither in the log."""
    configure_log(level="debug", form=form)  # type: ignore[arg-type]
    AUDIT.record(Decision(time=0, what="token", **{member: f"a {canary} b"}))
    assert lines.getvalue()
    for part in canary.replace("\n", ".").split("."):
        assert part[5:] not in lines.getvalue() or not part[5:]


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("canary", CANARIES, ids=["access token", "secret", "JWT", "certificate", "key"])
def test_nor_is_it_in_any_other_line(lines: Lines, form: str, canary: str) -> None:
    """The sentence, its values and the traceback."""
    configure_log(level="debug", form=form)  # type: ignore[arg-type]
    try:
        raise ValueError(f"odd: {canary}")
    except ValueError:
        logging.getLogger("certbound.server").exception("this came: %s", canary)
    assert "ValueError" in lines.getvalue()
    for part in canary.replace("\n", ".").split("."):
        assert part[5:] not in lines.getvalue() or not part[5:]


@given(text=st.text(st.characters(exclude_categories=[]), max_size=3000))
def test_what_others_chose_is_one_bounded_printable_line(text: str) -> None:
    """No escape code, no second line, no megabyte."""
    decision = Decision(time=0, what="token", outcome=Outcome.REFUSED, client_id=text, reason=text, scope=text)
    fields = decision.fields()
    assert len(fields.get("client_id", "")) <= 100
    assert len(fields.get("reason", "")) <= 500
    assert all(str(each).isprintable() for each in fields.values())
    assert decision.sentence().isprintable()
    json.dumps(fields).encode("utf-8")
