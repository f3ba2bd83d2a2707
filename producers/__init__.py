"""The producers: read a catalog export, plan its renders, enqueue them, and report on them."""
