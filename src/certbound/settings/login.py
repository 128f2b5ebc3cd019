"""The table [login]: whether clients may act for people, and who says who these are."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from certbound.settings.section import Seconds, Section


class Login(Section, frozen=True, kw_only=True):
    """People who let clients act for them; without `accounts` or `url` there are none, and no page."""

    accounts: Annotated[
        bool, Meta(description="Whether people log in here, with the accounts of `certbound user`.")
    ] = False
    url: Annotated[
        str | None,
        Meta(
            description="A login application that people are sent to instead, with `?interaction=ID`; it says who they "
            "are by `POST /interactions/ID`.",
            examples=["https://login.example/"],
        ),
    ] = None
    clients: Annotated[
        tuple[str, ...],
        Meta(
            description="The client ids of that application: whoever authenticates as one, by a certificate, may log "
            "anybody in.",
            examples=[["login"]],
        ),
    ] = ()
    session_lifetime: Annotated[Seconds, Meta(description="Seconds after which people log in anew.")] = 43200
    code_lifetime: Annotated[int, Meta(ge=5, le=60, description="Seconds an authorization code lives.")] = 60
    request_lifetime: Annotated[
        Seconds, Meta(description="Seconds a person has to log in and decide; also for the code of a device.")
    ] = 900
    pushed_lifetime: Annotated[
        int, Meta(ge=5, le=599, description="Seconds a pushed request waits for the browser (FAPI 2.0: below 600).")
    ] = 90
    require_pushed: Annotated[
        bool,
        Meta(description="Whether authorization requests must be pushed (RFC 9126), whatever a client registered."),
    ] = False
    openid: Annotated[
        bool,
        Meta(
            description="Whether the scope openid, where tokens.scopes has it, is that of OpenID Connect: ID tokens, "
            "userinfo, discovery, logout. Claims need profile, email, address or phone there too."
        ),
    ] = True
    device: Annotated[bool, Meta(description="Whether devices without a browser may ask (RFC 8628).")] = False
    guesses_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Wrong passwords of one network for one name, after which more are not looked at; ten times as "
            "many of one network. As many wrong codes of devices, of one network. For each worker.",
        ),
    ] = 10
    begun_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Authorization requests of one network that are kept before anybody logs in, and those that "
            "public clients push; further ones are answered 429. For each worker.",
        ),
    ] = 600
    locales: Annotated[
        Path | None,
        Meta(
            description="Folder of translations: a TOML file for each language, by its tag; what it says stands for "
            "what we say.",
            examples=["locales"],
        ),
    ] = None

    @property
    def is_on(self) -> bool:
        """Whether anybody can log in."""
        return self.accounts or self.url is not None
