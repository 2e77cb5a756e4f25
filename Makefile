# What people type most often. .ci/run is what a change has to pass.

FUZZTIME ?= 1h

.PHONY: test fuzz ci

# The tests of the root module.
test:
	go test ./...

# All fuzz targets of all modules by turns, FUZZTIME together. What fails stays in
# testdata/fuzz of its package.
fuzz:
	.ci/fuzz -total $(FUZZTIME)

ci:
	.ci/run
