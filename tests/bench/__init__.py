"""Time, processes and memory of vm-mgr, as ratios to what the site needs by itself."""
