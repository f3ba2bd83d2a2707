"""The language that producers and workers share: products, renders, keys, the store, the queue."""
