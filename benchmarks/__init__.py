"""Measurements. Each compares something with something in one run and prints JSON; none is asserted in a test."""
