// Which instruction sets are compiled. Included before Highway in simd.cc.
//
// Highway knows many steps between SSE2 and the newest AVX-512; for float multiply-adds only three of them differ: the
// baseline, AVX2 with FMA, and AVX-512. Each further one would cost compile time and a copy of the code. SVE's vectors
// have no size that the compiler knows, so they cannot be kept in an array of accumulators: arm64 runs NEON.
#pragma once

#define HWY_DISABLED_TARGETS SPARCL_LEFT_OUT
#include <hwy/detect_targets.h>

// Names that an older Highway does not have yet.
#ifndef HWY_AVX3_ZEN4
#define HWY_AVX3_ZEN4 0
#endif
#ifndef HWY_AVX3_SPR
#define HWY_AVX3_SPR 0
#endif
#ifndef HWY_AVX10_2
#define HWY_AVX10_2 0
#endif
#ifndef HWY_NEON_BF16
#define HWY_NEON_BF16 0
#endif

// Measurements compile others (tests/runtime/kernels/native/counts.py).
#ifdef SPARCL_LEFT_OUT
#elif HWY_ARCH_X86
#define SPARCL_LEFT_OUT (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_AVX3_ZEN4 | HWY_AVX3_SPR | HWY_AVX10_2)
#else
#define SPARCL_LEFT_OUT (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_NEON_BF16)
#endif
