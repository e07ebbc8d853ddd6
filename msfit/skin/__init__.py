"""The physics of skin: pigment spectra, layered models and their registry."""
