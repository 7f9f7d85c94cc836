"""The commands: options in, one operation, rows out. Nothing is decided here."""
