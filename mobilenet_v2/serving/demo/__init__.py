"""A page on this machine that shows what a network makes of a picture."""
