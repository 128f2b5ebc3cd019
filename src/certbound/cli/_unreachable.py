"""What to do where a server cannot be reached: a line for each of the reasons that people meet.

Rule: a reason is recognised as the system, OpenSSL and our client word it; one that is not known gets no advice.
"""

from urllib.parse import urlsplit


def next_step(message: str) -> str:
    """What is put behind the message of a `ServerUnreachable`; empty if there is nothing to say."""
    url, _, reason = message.partition(_BETWEEN)
    return advice(reason, url)


def advice(reason: str, url: str) -> str:
    """The same, for the reason why nothing came of a connection to the server of `url`."""
    said = reason.lower().replace("_", " ")
    step = next((step for words, step in _STEPS if any(each in said for each in words)), "")
    behind = " " if reason.endswith("?") else "; "
    return behind + step.replace("URL", f"https://{urlsplit(url).netloc}") if step else ""


_BETWEEN = " cannot be reached: "
_STEPS = (
    (
        (
            "no such name",
            "no host can have",
            "service not known",
            "no address associated",
            "name resolution",
            "nodename nor servname",
        ),
        "is the name right, and does DNS know it from here?",
    ),
    (("connection refused",), "nothing listens there: does the server run, and is that its port?"),
    (
        ("took too long", "timed out", "no route to host", "network is unreachable", "in time"),
        "is that its address, and does a firewall let this machine through?",
    ),
    (
        ("expired",),
        "it has to be renewed at the server, unless the clock here is wrong; certbound cert inspect URL says more",
    ),
    (("not valid yet", "not yet valid"), "is the clock here right? certbound cert inspect URL says from when it is"),
    (
        ("not among the cas", "issuer certificate", "self-signed", "self signed", "verify the first"),
        "certbound cert inspect URL shows who issued it; --ca FILE names whom to believe",
    ),
    (
        ("unrecognized name",),
        "what ends TLS there knows no host of that name: has its configuration one, and with a certificate for it?",
    ),
    (("is not for", "mismatch"), "certbound cert inspect URL shows for which names it is"),
    (("not made for servers", "certificate purpose"), "where the server runs, one with the usage serverAuth is needed"),
    (("wrong version number",), "is that a port for https?"),
    (
        ("protocol version", "unsupported protocol"),
        "the server has to offer TLS 1.3 to a login, whose certificate older versions show to all on the way",
    ),
    (
        ("certificate required", "bad certificate", "unknown ca", "handshake failure"),
        "the server takes no connection with this certificate, or without one: whom does it believe about clients?",
    ),
    (
        ("reset by peer", "closed the connection", "closes the connection", "unexpected eof"),
        "does it speak TLS at that port, and what does its own log say?",
    ),
)
