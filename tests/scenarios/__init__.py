"""The scenarios: the verbs, run as a user runs them, on the sites of the lab."""
