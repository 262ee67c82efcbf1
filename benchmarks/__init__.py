"""What the service can do, as ratios within one run: these figures stand in docs/performance.md."""
