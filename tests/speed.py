"""CPU time on a machine whose speed nobody knows: bounds are in seconds of one where `_once` takes 1.4 ms.

That is a unit and no promise: it is about what a machine takes that verifies a P-521 signature in 0.16 ms.  Machines
for tests are shared, and a core of theirs does half of that in one minute and all of it in the next.

- `least` weighs what it measures against the same work of ours, done by turns with it.  Of both the least counts, so
  what else runs on the machine weighs on neither: on a busy machine of half that speed the two kept their proportion
  within 8 %.  What remains is that one processor is better at OpenSSL and the other at Python, so a bound says twice
  what it means, at least, and is no more exact than that.
- `cpu` is for what can be done once only, or takes place in other processes.  It looks at the machine afterwards, so
  where that is slow it allows for a burst that it does not see.
"""

import time
from collections.abc import Callable
from statistics import median

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_KEY = ec.generate_private_key(ec.SECP521R1())
_SIGNATURE = _KEY.sign(b"", ec.ECDSA(hashes.SHA256()))


def least(work: Callable[[], object], tries: int = 5) -> float:
    """Seconds of CPU of this thread that `work` costs at least, where the bounds were written; it is done so often."""
    costs, looks = [], []
    for _ in range(tries):
        looks.append(_once())
        before = time.thread_time()
        work()
        costs.append(time.thread_time() - before)
    looks.append(_once())
    return min(costs) / max(min(looks) / _WORK_THERE, 1)  # a bound that is kept there is kept by what is faster


def cpu(seconds: float) -> float:
    """What took `seconds` of CPU where the bounds were written takes so many here and now; no less than there.

    Where the machine is slow it is so in bursts, which one look need not see: then three times that.
    """
    slowness = _slowness()
    return seconds if slowness < _AS_THERE else seconds * min(slowness * 3, _MOST)


def wall(seconds: float) -> float:
    """What is promised to take `seconds` takes no longer, but as much longer as the machine is slower than there."""
    return seconds * max(1, _slowness())


def _slowness() -> float:
    return median(_once() for _ in range(9)) / _WORK_THERE


def _once() -> float:
    """Seconds for work as tests do it: some in OpenSSL, some in Python."""
    public = _KEY.public_key()
    before = time.thread_time()
    for _ in range(5):
        public.verify(_SIGNATURE, b"", ec.ECDSA(hashes.SHA256()))
    total = 0
    for each in range(30_000):
        total += each
    return time.thread_time() - before


_AS_THERE = 1.2
_MOST = 10
_WORK_THERE = 0.0014
"""Seconds for that work there."""
