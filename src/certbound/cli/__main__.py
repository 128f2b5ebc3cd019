"""`python -m certbound.cli` is `certbound`."""

import sys

from certbound.cli import main

sys.exit(main())
