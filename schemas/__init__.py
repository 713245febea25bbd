"""Sightline's words: frames, verdicts, alerts, dead letters, recipes, their codecs, tables and errors.

This room knows nothing of the others; everything else may import it.
"""
