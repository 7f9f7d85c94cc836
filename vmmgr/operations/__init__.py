"""The operations: what is done, in which order, and how it is undone. They print nothing and contact nobody themselves."""
