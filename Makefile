# Forwards to ./dev, which needs no make. Arguments: make test ARGS="-k fingerprint"
TASKS = setup demo test check bench simulator docs lock

.PHONY: help $(TASKS)
help:
	@./dev help

$(TASKS):
	@./dev $@ $(ARGS)
