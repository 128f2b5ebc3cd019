"""How fast this machine is now: bounds of CPU time are those of one that verifies a P-521 signature in 0.16 ms.

So are bounds of what several processes do one after another, which on a machine of two cores is CPU time too.

Machines for tests are shared, and a core of theirs does half of that in one minute and all of it in the next.
"""

import time
from statistics import median

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_KEY = ec.generate_private_key(ec.SECP521R1())
_SIGNATURE = _KEY.sign(b"", ec.ECDSA(hashes.SHA256()))


def cpu(seconds: float) -> float:
    """What took `seconds` of CPU where the bounds were written takes so many here and now; no less than there.

    Where the machine is slow it is so in bursts, which one look need not see: then three times that.
    """
    slowness = _work() / _WORK_THERE
    return seconds if slowness < _AS_THERE else seconds * slowness * 3


def _work() -> float:
    """Seconds for work as tests do it: some in OpenSSL, some in Python."""
    return median(_once() for _ in range(9))


def _once() -> float:
    public = _KEY.public_key()
    before = time.thread_time()
    for _ in range(5):
        public.verify(_SIGNATURE, b"", ec.ECDSA(hashes.SHA256()))
    total = 0
    for each in range(30_000):
        total += each
    return time.thread_time() - before


_AS_THERE = 1.2
_WORK_THERE = 0.0014
"""Seconds for that work there."""
