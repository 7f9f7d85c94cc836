"""Checks, found as files."""
