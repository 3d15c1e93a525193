"""Loss terms: photometric, smoothness, perceptual."""
