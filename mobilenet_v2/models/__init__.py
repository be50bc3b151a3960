"""Pure Linen modules, and what they cost. Imports nothing else of this package."""
