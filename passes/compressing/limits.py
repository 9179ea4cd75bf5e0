"""What the kernel library refuses beyond (docs/kernels.md)."""

MOST_KERNEL, MOST_STRIDE = 64, 16
