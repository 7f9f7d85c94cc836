"""``vm-mgr`` and ``python -m vmmgr``: start the program, and spare it what a short life does not need."""

import gc
import sys

# Half of the objects that a run makes are those of imported modules, which live to the end. Going through them again and again,
# and once more at the end, would take a quarter of the processor time of `vm-mgr list`; cycles are still found, only later.
gc.set_threshold(100_000)


def main() -> int:
    """Run vm-mgr; the return value is the exit code."""
    from vmmgr.app import main as run

    try:
        return run()
    finally:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
