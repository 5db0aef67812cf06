"""What a training step of `mlp` costs, side by side with what a reader would use instead.

`make bench` runs everything and writes `results.json`, which the book's page reads, and `results.md`. A module for each
part: `step` (time), `memory`, `startup`, `depth`, `book`. Nothing here is timed inside a test.
"""
