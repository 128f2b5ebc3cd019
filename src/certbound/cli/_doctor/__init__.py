"""What `certbound doctor` does: `reach` speaks to a deployment, `target` finds out what it is and who is let in,
`handshakes`, `requests` and `documents` hold the checks, `mends` the lines that put right what they find.

Rule 1: a check says what it saw, not what it supposes; where it cannot tell it says what it would need.
Rule 2: nothing is changed: the same request is sent that any client may send, at most once a check and a contract.
Rule 3: what is forged is always the very certificate that was given: nobody else's name is used.
"""
