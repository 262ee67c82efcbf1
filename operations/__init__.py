"""What operators run beside the service: `python -m operations.verify` and `python -m operations.redrive`.

The service knows nothing of it. Both work on any stack: the local one by its `stack.json`, a deployed one by options.
"""
