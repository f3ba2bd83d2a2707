# Forwards to ./dev, which needs no make. Arguments: make test ARGS="-k fingerprint"
TASKS = setup demo test check bench simulate soak simulator docs lock

.PHONY: help $(TASKS)
help:
	@./dev help

# make simulate SEEDS=100000
simulate: ARGS += $(if $(SEEDS),--seeds $(SEEDS))

$(TASKS):
	@./dev $@ $(ARGS)
