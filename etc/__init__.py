"""Files to start from: a sample configuration."""
