// The kept weights in the order in which a walk wants them.
//
// Every call sorts anew, in two passes over the index that cost a few nanoseconds a kept weight: a copy of the sorted
// index kept between calls would double the memory of the weights, and could be stale. The first pass also finds what is
// wrong with the index.
//
// Of blocks (the attribute `block`), a block of output channels is sorted as one: `o` below is then a block's number, and
// channels that do not keep the same places are refused.
#pragma once

#include "abi/workspace.h"
#include "conv_shape.h"
#include "simd/simd.h"

namespace sparcl {

// Where the place `p` of output channel o goes (p in [0, C * kh * kw)): into bucket bucket[p] + o's share, with
// offset[p] + o's share as its offset. Buckets are numbered as the walk reads them.
struct SortTable {
  const int32_t* bucket;
  const int32_t* offset;
  int64_t buckets;

  // Output channels that are chunked (the input gradient reads them): `chunk` of them share a bucket.
  // The share of o is o / chunk * bucket_step and o % chunk * offset_step.
  int64_t chunk;
  int64_t bucket_step;
  int64_t offset_step;
};

// The entries of a walk, of one kind; the others are null.
struct Entries {
  Entry* single = nullptr;
  BlockEntry* blocks = nullptr;
  KernelEntry* kernels = nullptr;
  bool mirrored = false;  // of kernels: whether the last tap reads the first pixel
};

// What is sorted: the entries for a walk, or the places of the weight gradient, of which only those are taken whose mask
// is not 0 (null: all).
struct SortTarget {
  Entries entries;
  Place* places;  // of a block: the index within its channels' places
  bool first_taps;  // whether of a whole kernel only the first place is taken
  const float* mask;
  int32_t* starts;  // [buckets + 1]
};

// Whether these are kernels of 3 by 3 and of stride 1, each of which is kept whole or not at all. The order of the index is not looked at.
bool KeepsWholeKernels(const Window& window, const Weight& weight);

// The places of the first channels of the blocks.
int64_t BlockPlaces(const Weight& weight);

// Scratch for the entries of all kept weights: of blocks where `block` is more than 1, of whole kernels, or of single weights.
size_t EntryBytes(const Weight& weight, int64_t block, bool kernels);
Entries TakeEntries(Workspace& memory, const Weight& weight, int64_t block, bool kernels);

// Sorts stably, by output channel within a bucket. Fails where the index of an output channel is not ascending within
// its range.
Failure SortEntries(const Context& context, const Weight& weight, int64_t row_places, int64_t block,
                    const SortTable& table, const SortTarget& target);

}  // namespace sparcl
