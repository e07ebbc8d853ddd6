"""Bands that were taken one after another while the face moved: brought into register.

In: a Cube of a picture. Out: the Cube whose bands lie on one of them, with how far each was moved (`bands`).
"""
