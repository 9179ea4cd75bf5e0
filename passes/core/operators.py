"""The operators and the function of the domains ``sparcl`` and ``sparcl.optimizer``."""

import onnx_ir as ir

SPARSE_DOMAIN = "sparcl"
OPTIMIZER_DOMAIN = "sparcl.optimizer"
SPARSE_CONV = "SparseConv"
SPARSE_INPUT_GRADIENT = "SparseConvInputGrad"
SPARSE_WEIGHT_GRADIENT = "SparseConvWeightGrad"
BATCH_NORM = "BatchNormTraining"
BATCH_NORM_AGAIN = "BatchNormApply"
BATCH_NORM_GRADIENT = "BatchNormGrad"
MAX_POOL = "MaxPoolBatchLast"
MAX_POOL_GRADIENT = "MaxPoolBatchLastGrad"

BLOCK_KEY, BLOCK = "block", 4
"""The attribute of the sparse convolutions that says how many output channels keep the same places; absent: one."""

MOST_KERNEL, MOST_STRIDE = 64, 16
"""The longest kernel and the largest stride that the kernel library takes (docs/kernels.md)."""


def sparse_nodes(graph: ir.Graph) -> list[ir.Node]:
    """Return the nodes of the domain, in graph order."""
    return [node for node in graph if node.domain == SPARSE_DOMAIN]
