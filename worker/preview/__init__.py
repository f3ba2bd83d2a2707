"""Offline pictures: a product's cut-out, set into a drawn scene; no model, no network, no bill."""
