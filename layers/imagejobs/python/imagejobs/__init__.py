"""What the steps of the pipeline share: pure modules, use cases, adapters and SQL."""
