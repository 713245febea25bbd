"""Backends an engine can run on; each behind the same contract test."""
