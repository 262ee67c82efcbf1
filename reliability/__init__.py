"""Proof of what the service promises: kills, duplicates and faults on the local stack, and a judge of what users see.

`make reliability` runs every campaign and writes the table in docs/reliability.md. Nothing outside this package and
`local/`, which lets it into the functions' processes, knows of it.
"""
