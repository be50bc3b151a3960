"""Weight files of other code bases, and our own, to and from this package's variables."""
