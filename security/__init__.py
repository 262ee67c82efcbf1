"""Proof of what the service promises about strangers: hostile URLs, files, requests and load on the local stack.

`make security-report` runs every campaign and writes the table in docs/security.md. Nothing outside this package and
`local/`, which lets it into the functions' processes, knows of it.
"""
