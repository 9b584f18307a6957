"""`python -m spoton_edge` is `spoton-edge`."""

import sys

from spoton_edge.cli import main

sys.exit(main())
