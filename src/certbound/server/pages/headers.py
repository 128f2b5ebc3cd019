"""The headers of pages: what a browser may do with one.

Rule 1: nothing is loaded and nothing runs but what is named here by its hash; no page is framed or kept.
Rule 2: a form goes to ourselves.  Browsers hold that also against where its answer redirects to, and against where that
redirects to in its turn, which for a client that is a broker is anywhere: pages whose answer goes to a client say
nothing of it.
Rule 3: what a form is sent with says where it comes from, to us (`Origin` is "null" under `no-referrer`), and to
others nothing; but the client that an answer is posted to learns from whom it comes.
Rule 4: a client may have opened a login in a window of its own, and wait there for the answer; a person's own pages
have no opener.
"""

import base64
import hashlib
from collections.abc import Sequence

from certbound.server.call import NO_STORE


def hash_of(text: str) -> str:
    """As a source of a policy (Content Security Policy Level 3 section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page_headers(
    *, style: str, script: str = "", leads_away: bool, https_only: bool = True
) -> Sequence[tuple[bytes, bytes]]:
    """Those of a page; it `leads_away` where its answer goes to a client, and has a `script` where it is that answer.

    `style` and `script` are by `hash_of`; a browser comes to this host by https for a year, where that is all there is.
    """
    policy = ["default-src 'none'", f"style-src {style}", "base-uri 'none'", "frame-ancestors 'none'"]
    if script:
        policy.append(f"script-src {script}")
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        *NO_STORE,
        (b"x-frame-options", b"DENY"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"strict-origin" if script else b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]
    if https_only:
        headers.append((b"strict-transport-security", b"max-age=31536000"))
    if not leads_away:
        policy.append("form-action 'self'")
        headers.append((b"cross-origin-opener-policy", b"same-origin"))
    return (*headers, (b"content-security-policy", "; ".join(policy).encode("ascii")))
