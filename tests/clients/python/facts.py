"""What every program of this folder is told, and how each call went."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

facts = SimpleNamespace(**json.loads(Path(sys.argv[1]).read_text()))
thief = (facts.thief["cert"], facts.thief["key"]) if facts.thief else None


def outcome(call):
    """A refusal as it reached the program, wherever its library keeps it."""
    try:
        return call()
    except Exception as failure:
        if getattr(failure, "error", None) is None:
            raise
        return {"error": failure.error}


def answer(response):
    """Of `requests` or `httpx`."""
    body = response.json() if response.content else {}
    return {"status": response.status_code, **body}


def tell(told):
    print(json.dumps(told))


def came_back_to(url):
    """Where the browser came back to, which must go to `url` first: whoever runs the program knows."""
    print(json.dumps({"browser": url}), flush=True)
    return sys.stdin.readline().strip()
