// What the two ops that normalise a batch's activations read besides x [C,H,W,N].
#pragma once

#include "abi/kernel_api.h"

namespace sparcl {

// Reads an input of one number a channel.
inline Failure PerChannel(const Context& context, size_t index, const char* name, int64_t channels, Tensor& tensor) {
  if (Failure failure = context.Input(index, name, 1, tensor)) return failure;
  if (tensor.size == channels) return nullptr;
  return context.Fail(Message() << name << " has " << tensor.size << " numbers for " << channels << " channels");
}

// Reads what is added to the normalised x, if anything is, and refuses an x without numbers.
inline Failure Addend(const Context& context, size_t index, size_t half, const Tensor& x, Tensor& addend) {
  if (Failure failure = context.OptionalStoredInput(index, half, "addend", 4, addend)) return failure;
  for (int axis = 0; addend && axis < 4; ++axis) {
    if (addend.shape[axis] == x.shape[axis]) continue;
    return context.Fail(Message() << "addend is " << addend << " and x is " << x);
  }
  return x.size == 0 ? context.Fail(Message() << "x is empty: " << x) : nullptr;
}

}  // namespace sparcl
