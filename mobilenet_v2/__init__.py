"""MobileNetV2 in JAX and Flax Linen."""
