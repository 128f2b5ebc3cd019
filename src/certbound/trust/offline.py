"""A fetcher that fetches nothing, for questions that must not leave the machine."""

from typing import Any

from certbound.trust.fetch import Failure, Fetched, Fetcher, FetchFailed


class Offline(Fetcher):
    """Refuses whatever it is asked."""

    async def fetch(self, url: str, **_: Any) -> Fetched:
        raise FetchFailed(Failure.URL, f"{url:.200} was not fetched: nothing is, offline")
