"""The tests of vm-mgr."""
