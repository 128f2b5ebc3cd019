"""A deployment that lets people log in, and then does not any more: what clients got from them before."""

from pathlib import Path
from typing import Any

from e2e.acting import make_app, people_world
from e2e.world import World, world


def refreshed(built: World, client_id: str, identity: Any, token: str) -> Any:
    """The status of a refresh, and its error."""
    answer = built.post("token", client_id, identity, grant_type="refresh_token", refresh_token=token)
    return answer.status, answer.json.get("error", "")


def test_where_nobody_can_log_in_nothing_acts_for_anybody(tmp_path: Path) -> None:
    """Nobody could see what does, or withdraw it.  Nothing is thrown away: with `[login]` on again it goes on."""
    store = {"store__url": f"sqlite:///{tmp_path}/kept.sqlite"}
    scopes = {"tokens__scopes": ["read", "write", "openid", "profile", "email"]}
    folders = [tmp_path / name for name in ("on", "off", "again")]
    for folder in folders:
        folder.mkdir()
    with people_world(folders[0], **store) as on:
        app = make_app(on, "app")
        token = str(app.tokens()["refresh_token"])
        machine = on.open_grant("app", app.identity)
        assert refreshed(on, "app", app.identity, token) == (200, "")
    # The clients, their grants and the people are still in the store.
    with world(folders[1], **store, **scopes) as off:
        assert refreshed(off, "app", app.identity, token) == (400, "invalid_grant")
        assert refreshed(off, "app", app.identity, machine) == (200, ""), "one that is from nobody"
    with world(folders[2], **store, **scopes, login__accounts=True) as again:
        assert refreshed(again, "app", app.identity, token) == (200, "")
