// The kept weights in the order in which a walk wants them.
//
// Every call lists or sorts anew, for one to four nanoseconds a kept weight: a copy of the sorted index kept between calls
// would double the memory of the weights, and could be stale. The first pass over the index also finds what is wrong with it.
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
  bool mirrored = false;  // of kernels: whether the last tap reads the first pixel, as in what SortEntries sorts
};

// What is sorted: the entries for a walk, or the places of the weight gradient, of which only those are taken whose mask
// is not 0 (null: all).
struct SortTarget {
  Entries entries;
  Place* places;  // of a block: the index within its channels' places
  KernelPlace* kernel_places;
  int64_t group;  // places of an entry: those of a kernel, or 1
  const float* mask;
  int32_t* starts;  // [buckets + 1]
};

// The places of the first channels of the blocks.
int64_t BlockPlaces(const Weight& weight);

// Scratch for the entries of all kept weights: of kernels of `group` places where that is more than 1, of blocks where
// `block` is, or of single weights.
size_t EntryBytes(const Weight& weight, int64_t block, int64_t group);
Entries TakeEntries(Workspace& memory, const Weight& weight, int64_t block, int64_t group);

// Where the place `p` of output channel o goes in a forward walk, which reads the places in their order: behind those
// before it, with offset[p] as its offset. Of each `chunk_places` places of a channel, those of a chunk of input channels, a list begins.
struct ListTable {
  const int32_t* offset;
  int64_t chunk_places;
  int64_t chunks;
};

// Writes the lists of every output channel. Fails where the index of an output channel is not ascending within its range.
Failure ListEntries(const Context& context, const Weight& weight, int64_t row_places, int64_t block,
                    const ListTable& table, const SortTarget& target);

// Sorts stably, by output channel within a bucket, what a walk over the gradient reads; the mask is not looked at. Fails as
// ListEntries does.
Failure SortEntries(const Context& context, const Weight& weight, int64_t row_places, int64_t block,
                    const SortTable& table, const SortTarget& target);

}  // namespace sparcl
