"""Templates, found as files."""
