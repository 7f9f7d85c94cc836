"""A real highly available site on one machine, in Linux namespaces; see README.rst beside this file.

Standard library only: it runs with the system's python3, before any virtual environment exists.
"""
