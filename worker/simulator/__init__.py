"""The stand-in for the Gemini image API: it sells drawn pictures, fails to order, keeps books."""
