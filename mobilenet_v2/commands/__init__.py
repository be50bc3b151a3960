"""One thin file a command: `main(argv)` over functions that a notebook can call."""
