#include "kept_kernels.h"

namespace sparcl {

namespace {

constexpr int64_t kFour = 4;
constexpr int32_t kWhole = kPatterns - 1;

// The pattern of the four places of one kernel from `index` on, or kPatterns where they have none.
int32_t PatternOfFour(const int32_t* index) {
  const int64_t kernel = index[0] - index[0] % kTaps;
  int32_t taps = 0, outside = 0;
  for (int64_t i = 0; i < kFour; ++i) {
    const int64_t tap = index[i] - kernel;
    outside |= tap < 0 || tap >= kTaps || taps >> tap != 0;
    taps |= 1 << (tap & 15);
  }
  return outside != 0 ? kPatterns : kPatternTable.of[taps];
}

bool IsWhole(const int32_t* index) {
  int32_t others = index[0] % kTaps;
  for (int32_t i = 1; i < kTaps; ++i) others |= index[i] ^ (index[0] + i);
  return others == 0;
}

// Whether `is` holds for each `group` kept places, none of which belong to two output channels.
template <class Is>
bool AllGroups(const Weight& weight, int64_t group, const Is& is) {
  for (int64_t o = 0; o <= weight.channels; ++o) {
    if (weight.rows[o] % group != 0) return false;
  }
  for (int64_t e = 0; e < weight.live(); e += group) {
    if (weight.index[e] < 0 || weight.index[e] > INT32_MAX - kTaps || !is(weight.index + e)) return false;
  }
  return true;
}

}  // namespace

int64_t PlacesOfKernel(const Window& window, const Weight& weight) {
  const Axis axes[] = {window.height, window.width};
  for (const Axis& axis : axes) {
    if (axis.kernel != kKernel || axis.stride != 1 || axis.dilation != 1) return 1;
  }
  if (AllGroups(weight, kTaps, IsWhole)) return kTaps;
  const auto has_pattern = [](const int32_t* index) { return PatternOfFour(index) != kPatterns; };
  return AllGroups(weight, kFour, has_pattern) ? kFour : 1;
}

int32_t PatternOf(const int32_t* index, int64_t group) { return group == kTaps ? kWhole : PatternOfFour(index); }

}  // namespace sparcl
