"""One request, one bounded answer."""

from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from certbound.client.errors import AnswerUnusable, ServerUnreachable

MAX_ANSWER = 256 * 1024
"""Bytes of an answer; nothing we ask for is longer."""


def load_object(
    client: httpx.Client, method: str, url: str, form: Mapping[str, Any] | None = None
) -> tuple[int, dict[str, Any] | None]:
    """The status and the JSON object that `url` answers; None for a body that is none.  No redirect is followed.

    `ServerUnreachable` if no answer comes, `AnswerUnusable` if it is too long.
    """
    body = bytearray()
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    try:
        with client.stream(method, url, data=form, headers=headers, follow_redirects=False) as response:
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise AnswerUnusable(f"{url} answers more than {MAX_ANSWER} bytes; that is no answer of OAuth")
    except (httpx.RequestError, httpx.InvalidURL) as error:
        raise ServerUnreachable(f"{url} cannot be reached: {error}") from error
    try:
        return response.status_code, msgspec.json.decode(bytes(body), type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return response.status_code, None
