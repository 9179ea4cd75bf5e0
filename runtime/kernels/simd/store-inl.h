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

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
