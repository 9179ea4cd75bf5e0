// Which kernels of 3 by 3 an index keeps: whole ones, or ones of a pattern.
#pragma once

#include "conv_shape.h"
#include "patterns.h"

namespace sparcl {

// The places of a kept kernel, where the kernels are 3 by 3 and of stride 1, and all that are kept are whole, or all have a
// pattern of four taps; else 1: the weights are single ones. The order of the kernels is not looked at.
int64_t PlacesOfKernel(const Window& window, const Weight& weight);

// The pattern of the kernel whose `group` places begin at `index`, one of a weight of which PlacesOfKernel says so.
int32_t PatternOf(const int32_t* index, int64_t group);

}  // namespace sparcl
