"""What one site adds to vm-mgr."""
