#include "abi/workspace.h"

namespace sparcl {

namespace {

struct Slot {
  int busy;
  void* block;
  char* memory;  // block, aligned
  size_t bytes;
};

constexpr int kSlotCount = 128;
constexpr size_t kAlignment = 64;
Slot slots[kSlotCount];

bool Claim(Slot& slot) {
  return __atomic_load_n(&slot.busy, __ATOMIC_RELAXED) == 0 && __atomic_exchange_n(&slot.busy, 1, __ATOMIC_ACQUIRE) == 0;
}

void Release(Slot& slot) { __atomic_store_n(&slot.busy, 0, __ATOMIC_RELEASE); }

// The first free slot with that many bytes, or -1.
int ClaimSlot(size_t bytes) {
  for (int i = 0; i < kSlotCount; ++i) {
    if (!Claim(slots[i])) continue;
    if (slots[i].bytes >= bytes) return i;
    Release(slots[i]);
  }
  return -1;
}

bool Grow(const ort::Api& api, Slot& slot, size_t bytes) {
  ort::Allocator* allocator = nullptr;
  if (api.At<ort::Status*(ort::Allocator**)>(ort::kGetAllocatorWithDefaultOptions)(&allocator)) return false;
  auto free = api.At<ort::Status*(ort::Allocator*, void*)>(ort::kAllocatorFree);
  if (slot.block != nullptr) free(allocator, slot.block);
  // Not `busy`: other threads look at it.
  slot.block = nullptr;
  slot.memory = nullptr;
  slot.bytes = 0;
  auto allocate = api.At<ort::Status*(ort::Allocator*, size_t, void**)>(ort::kAllocatorAlloc);
  if (ort::Status* failure = allocate(allocator, bytes + kAlignment, &slot.block)) {
    api.At<void(ort::Status*)>(ort::kReleaseStatus)(failure);
    slot.block = nullptr;
    return false;
  }
  const size_t past = reinterpret_cast<uintptr_t>(slot.block) % kAlignment;
  slot.memory = static_cast<char*>(slot.block) + (kAlignment - past);
  slot.bytes = bytes;
  return true;
}

}  // namespace

Workspace::Workspace(const ort::Api& api, size_t bytes) {
  // The first that is free and large enough, then the first that is free: sizes repeat, so they settle.
  slot_ = ClaimSlot(bytes);
  if (slot_ < 0) slot_ = ClaimSlot(0);
  if (slot_ < 0) return;
  if (slots[slot_].bytes >= bytes || Grow(api, slots[slot_], bytes)) memory_ = slots[slot_].memory;
}

Workspace::~Workspace() {
  if (slot_ >= 0) Release(slots[slot_]);
}

}  // namespace sparcl
