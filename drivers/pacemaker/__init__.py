"""What every driver of a Pacemaker cluster shares: reading is always done with Pacemaker's own tools."""
