// Stores that may go past the caches. No include guard on purpose: once a target.
#include <hwy/cache_control.h>

#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// See PastCaches. Whoever says yes calls hwy::FlushStream before another thread is told that the output is there.
template <class D>
HWY_INLINE void Store(hn::Vec<D> value, D d, float* to, bool past_caches) {
  if (past_caches) {
    hn::Stream(value, d, to);
  } else {
    hn::StoreU(value, d, to);
  }
}

// Makes the compiler keep a pointer in a register of its own. On arm64 GCC else adds a row's offset in its first load,
// which then cannot be one of a pair: a fifth of the walk's instructions (docs/kernels.md, "Counted on arm64").
HWY_INLINE const float* Held(const float* pointer) {
#if HWY_ARCH_ARM_A64
  asm("" : "+r"(pointer));
#endif
  return pointer;
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
