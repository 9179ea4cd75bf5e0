// Compiles the vector code once for each instruction set, and chooses among them at run time.
//
// The choice is made here and not by HWY_DYNAMIC_DISPATCH, which needs libhwy at link time: Debian ships that as a shared
// library only, and this library must load on machines without Highway.
#include "simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/simd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "simd/store-inl.h"
#include "simd/half-inl.h"

#include "simd/accumulate-inl.h"
#include "simd/accumulate_blocks-inl.h"
#include "simd/accumulate_kernels-inl.h"
#include "simd/batch_norm-inl.h"
#include "simd/dot-inl.h"
#include "simd/dot_blocks-inl.h"
#include "simd/dot_kernels-inl.h"
#include "simd/pool-inl.h"
#include "simd/runs-inl.h"
#include "simd/scatter_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {

extern const Simd kSimd;
const Simd kSimd = {
    hwy::TargetName(HWY_TARGET),
    static_cast<int64_t>(HWY_LANES(float)),
    kAccumulators,
    kDotRows,
    kDotVectors,
    Accumulate,
    AccumulateBlocks,
    AccumulatePatterns,
    ScatterBlocks,
    PackRows,
    PackedRows,
    Dot,
    DotBlocks,
    DotPatterns,
    Copy,
    CopyRuns,
    WidenRuns,
    NarrowRuns,
    NormaliseRuns,
    StreamRuns,
    Fill,
    Add,
    Largest,
    LargestGradient,
    Moments,
    Normalise,
    GradientMoments,
    NormaliseGradient,
};

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparcl {
namespace {

struct Choice {
  const Simd* simd;
  bool usable;
};

constexpr int kChoices = 3;

// Best first.
void ListChoices(Choice (&choices)[kChoices]) {
#if HWY_ARCH_X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd");
#if HWY_TARGETS & HWY_AVX3
  choices[0] = {&N_AVX3::kSimd, avx512};
#endif
#if HWY_TARGETS & HWY_AVX2
  choices[1] = {&N_AVX2::kSimd, avx2};
#endif
#endif
  choices[2] = {&HWY_STATIC_DISPATCH(kSimd), true};
}

// Written by the tests, between runs, through SparclUseTarget.
const Simd* chosen = nullptr;

bool Same(const char* left, const char* right) {
  while (*left != '\0' && *left == *right) ++left, ++right;
  return *left == *right;
}

}  // namespace

const Simd& ChosenSimd() {
  if (const Simd* simd = __atomic_load_n(&chosen, __ATOMIC_RELAXED)) return *simd;
  Choice choices[kChoices] = {};
  ListChoices(choices);
  int best = 0;
  while (!choices[best].usable) ++best;
  __atomic_store_n(&chosen, choices[best].simd, __ATOMIC_RELAXED);
  return *choices[best].simd;
}

}  // namespace sparcl

// The instruction set in use, as Highway names it.
extern "C" __attribute__((visibility("default"))) const char* SparclTarget() { return sparcl::ChosenSimd().name; }

// For tests: takes an instruction set that is not the best. Returns 0 when this build or processor has none of that name.
extern "C" __attribute__((visibility("default"))) int SparclUseTarget(const char* name) {
  sparcl::Choice choices[sparcl::kChoices] = {};
  sparcl::ListChoices(choices);
  for (const sparcl::Choice& choice : choices) {
    if (!choice.usable || !sparcl::Same(choice.simd->name, name)) continue;
    __atomic_store_n(&sparcl::chosen, choice.simd, __ATOMIC_RELAXED);
    return 1;
  }
  return 0;
}
#endif  // HWY_ONCE
