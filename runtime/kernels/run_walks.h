// Runs one walk, or the walks of a stride's phases, over the session's threads.
#pragma once

#include "entries.h"
#include "walk.h"

namespace sparcl {

// Where a walk's grid lies in the output: its pixel (r, c) is output pixel (row + r * row_step, col + c * col_step).
struct Placement {
  int64_t row, col;
  int64_t row_step, col_step;
};

struct WalkJob {
  const Walk* walks;
  const Placement* placements;
  int64_t count;
  Cut cut;
  int64_t block;              // 1, or kBlock for blocks of output channels
  Entries entries;            // of kernels only where a run is one vector
  // Where the entries of a list, an output channel's or a block's of a chunk, begin: starts + walk * lists * chunks + list *
  // list_step + chunk * chunk_step. They end where the next one's begin.
  const int32_t* starts;
  int64_t list_step, chunk_step;

  Numbers input;
  Normalisation normalisation;  // of the input
  // What the sums start from: one number a channel, or a tensor of the output's shape; null: 0. Not both.
  const float* bias;
  const float* addend;
  Written output;  // [channels, rows, cols, batch] of this plane
  Plane plane;
};

Failure RunWalks(const Context& context, const WalkJob& job);

}  // namespace sparcl
