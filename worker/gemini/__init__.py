"""Gemini's image models, through Google's own SDK."""
