"""What schemathesis cannot know: which registration access token is a client's (`tests/e2e/test_openapi.py`)."""

import json
import os

import schemathesis

TOKENS = json.loads(os.environ["REGISTRATION_TOKENS"])
"""By client id."""
PLACEHOLDER = os.environ["REGISTRATION_PLACEHOLDER"]


@schemathesis.hook
def before_call(context, case, kwargs):
    """The placeholder becomes the token of the client in the path; what was made to be wrong stays wrong."""
    token = TOKENS.get(str((case.path_parameters or {}).get("client_id")))
    for headers in (case.headers, kwargs.get("headers")):
        if token and headers and headers.get("Authorization") == f"Bearer {PLACEHOLDER}":
            headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def after_call(context, case, response):
    """Whoever registered is remembered."""
    if case.operation.label == "POST /register" and response.status_code == 201:
        said = response.json()
        TOKENS[said["client_id"]] = said["registration_access_token"]
