// BatchNormGrad(dy, x [C,H,W,N], scale, saved_mean, saved_inv_std [C], y? [C,H,W,N], x16?, y16?, factor?, offset? [C])
//   -> (dx [C,H,W,N], dscale, dbias [C], daddend? [C,H,W,N])
//
// The gradient of BatchNormTraining. With the attribute relu, dy passes where y > 0, or, without y, where x * factor + offset > 0; daddend is that gated dy.
// x16 and y16 are x and y as bfloat16, in their places.
#pragma once

#include "abi/op.h"

namespace sparcl {

struct BatchNormGrad {
  static constexpr const char* kName = "BatchNormGrad";
  static constexpr Port kInputs[] = {{ort::kFloat}, {ort::kFloat, ort::kOptional}, {ort::kFloat},
                                     {ort::kFloat}, {ort::kFloat}, {ort::kFloat, ort::kOptional},
                                     {ort::kBFloat16, ort::kOptional}, {ort::kBFloat16, ort::kOptional},
                                     {ort::kFloat, ort::kOptional}, {ort::kFloat, ort::kOptional}};
  static constexpr Port kOutputs[] = {{ort::kFloat}, {ort::kFloat}, {ort::kFloat}, {ort::kFloat, ort::kOptional}};

  Failure Read(const Attributes& attributes);
  Failure Run(const Context& context) const;

  int64_t relu = 0;
};

}  // namespace sparcl
