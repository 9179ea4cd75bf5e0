// The input gradient of blocks: dy is read once, and added to wherever its entries reach, over the session's threads.
//
// A walk gathers: for one channel of dx it reads dy wherever an entry says, and the four entries of a block, which stand
// in four channels of dy, share nothing. Scattered, they share the place in dx. A task owns some channels and rows of dx,
// for a run of images. It takes dy a slab of rows at a time, for all of the walks, that is the stride's phases,
// and sums in scratch; rows that the next slab adds to as well move to the front.
#pragma once

#include "run_walks.h"

namespace sparcl {

struct ScatterCut {
  int64_t run, runs;      // images of a task, whole vectors; and how many times they make the batch
  int64_t chunk, chunks;  // channels of dx of a task
  int64_t band, bands;    // rows of the walks' grids of a task
  int64_t slab;           // rows of dy
  // The scratch of a task: [walk][channel][row][column][image], in floats; and dy's slab as Simd::pack_rows leaves it.
  int64_t row_floats, channel_floats, walks;
  int64_t packed_floats;

  int64_t ScratchFloats() const { return walks * chunk * channel_floats; }
};

struct ScatterJob {
  const Walk* walks;
  const Placement* placements;
  ScatterCut cut;
  const BlockEntry* blocks;
  // Of bucket (walk * blocks + block) * chunks + chunk; one more at the end.
  const int32_t* starts;

  const float* dy;
  const float* addend;  // what the sums start from, of dx's shape; null: 0
  float* dx;
  Plane plane;  // of dx
};

ScatterCut CutScatter(const Walk* walks, int64_t count, const Simd& simd);

// Whether such a batch and scratch can be scattered, and whether that is worth it for a weight of `kept` places; where not,
// a walk of single weights computes the same.
bool Scatters(const Walk& walk, const ScatterCut& cut, int64_t kept);

// Where what tap (i, j) makes of dy's pixel (r, c) lies in the scratch of one channel, from that of (r, c), in floats.
int32_t ScatterOffset(const ScatterCut& cut, const Walk& walk, int64_t i, int64_t j);

Failure RunScatter(const Context& context, const ScatterJob& job);

}  // namespace sparcl
