"""What trained networks are used for: predictions, features, files for other programs."""
