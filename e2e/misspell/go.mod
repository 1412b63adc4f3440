module manifold-misspell

go 1.26.0

// By name: the spell check of sources and documentation.
tool github.com/golangci/misspell/cmd/misspell

require github.com/golangci/misspell v0.8.0 // indirect
