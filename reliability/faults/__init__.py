"""The fault layer: what goes wrong inside a function's process, as the harness plans it.

`control` is the folder through which the two speak; `layer` is loaded into each process and strikes at named points.
"""
