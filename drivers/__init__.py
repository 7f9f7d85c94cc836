"""The drivers: each knows one tool of the site, builds its commands and reads its answers, and runs nothing.

``base`` says what a driver of each kind must offer. ``pacemaker`` holds what every cluster driver shares.
"""
