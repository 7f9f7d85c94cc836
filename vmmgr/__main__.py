"""``python -m vmmgr``."""

import sys

from vmmgr.app import main

sys.exit(main())
