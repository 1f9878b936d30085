"""Payments: money turned into credits exactly once, and back."""
