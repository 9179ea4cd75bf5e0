"""`make test-arm64`: the arm64 build of the kernel library under qemu, held against this machine's results."""
