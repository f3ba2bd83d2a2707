"""The language that producers and workers share: products, scenes, renders, keys, the store and the queue."""
