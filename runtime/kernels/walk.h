// A walk: y[out, r, c] += value * x[in, r * row_stride + dr[i], c * col_stride + dc[j]] for every kept weight.
//
// The forward pass is one walk over x, the input gradient one over dy for every phase of the stride. A walk is cut into
// blocks of output pixels and chunks of input channels, whose input is copied, zero-padded, into scratch that stays in
// L2: without the copy, planes of a power of two in size would fall on the same few lines of the cache.
#pragma once

#include "caches.h"
#include "conv_shape.h"
#include "simd/simd.h"

namespace sparcl {

struct Plane {
  int64_t channels;
  int64_t rows;
  int64_t cols;
};

// One axis of a walk's kernel: the taps' displacements.
struct TapAxis {
  int64_t stride = 1;
  int64_t count = 0;
  int32_t shift[kMaxKernel];  // displacement of tap i; only taps of this walk
  int32_t least = 0;          // the smallest displacement
  int64_t reach = 1;          // largest - smallest + 1
};

struct Walk {
  int64_t batch;
  Plane input;   // of the tensor that is read
  Plane output;  // of the walk's own grid
  TapAxis rows;
  TapAxis cols;
};

// How a walk, or several with the same cut, is cut up.
struct Cut {
  int64_t run;                     // batch elements that lie together in scratch: all, or so many as make whole vectors
  int64_t parts;                   // runs of a block; each has its own scratch
  int64_t rows, cols;              // output pixels of a block
  int64_t batch_blocks, row_blocks, col_blocks;
  int64_t tile_rows;               // of a register tile
  int64_t chunk, chunks;           // input channels
  int64_t outputs, output_blocks;  // output channels of a task
  // The scratch copy of one block and chunk: [channel][row][column phase][column][run], in floats.
  int64_t phase_floats, row_floats, channel_floats;
  int64_t lanes;

  int64_t blocks() const { return row_blocks * col_blocks * batch_blocks; }
  int64_t Vectors(int64_t columns) const { return (columns * run + lanes - 1) / lanes; }
  // One channel's scratch of a part's outputs. A line more keeps the channels off the same lines of the cache.
  int64_t OutputFloats() const { return rows * Vectors(cols) * lanes + 16; }
  // The scratch of a part and chunk. One vector more than is copied: the last of a row may read past its end.
  int64_t InputFloats() const { return chunk * channel_floats + lanes; }
};

struct Block {
  int64_t row, col;    // the first output pixel
  int64_t rows, cols;  // how many
  int64_t batch;       // the first batch element
};

// Outputs of one channel in a block, in floats. The weight gradient's sums follow it: it must not follow the caches.
constexpr int64_t kBlockFloats = 2048;

// How much a block may hold, in floats. Only what changes no order of sums follows the caches.
struct Budget {
  int64_t block;   // outputs of one channel
  int64_t window;  // what one register tile reads of all channels of a chunk
  int64_t output;  // a task's outputs: should fit L2, with the scratch of the inputs
};

// That of a walk on this machine, whose window is so many times the first level of the caches.
Budget BudgetFor(double window);

// Pixels and output channels of a register tile.
struct TileShape {
  int64_t rows, cols, channels;
};

TileShape TileOf(const Simd& simd, int64_t block);

// That of single weights of which so many are kept of so many.
TileShape TileOf(const Simd& simd, int64_t kept, int64_t of);

// The taps of a forward pass along one axis.
TapAxis ForwardTaps(const Axis& axis);

// One cut for all of the `count` walks.
Cut CutUp(const Walk* walks, int64_t count, const Budget& budget, const TileShape& tile, const Simd& simd);

// Whether the offsets into the scratch copy and the numbers of the `buckets` fit the 32 bits that they have.
Failure CheckCut(const Context& context, const Cut& cut, int64_t buckets);

Block BlockAt(const Cut& cut, const Walk& walk, int64_t number);

// Where tap (i, j)'s input lies in the scratch copy of one channel, in floats.
int32_t TapOffset(const Cut& cut, const Walk& walk, int64_t i, int64_t j);

// Of each place of one output channel of a forward walk: its offset in the copy of its chunk of input channels.
void FillForwardOffsets(const ConvShape& shape, const Walk& walk, const Cut& cut, int32_t* offset);

// Floats from one output row's input to the next one's in the scratch copy.
inline int64_t InputRowStride(const Cut& cut, const Walk& walk) { return walk.rows.stride * cut.row_floats; }

// Copies channels first to first + count - 1 of what the block reads, normalised, with zeros outside of the plane.
void CopyIn(const Simd& simd, const Cut& cut, const Walk& walk, const Block& block, Numbers input,
            const Normalisation& normalisation, int64_t first, int64_t count, float* scratch);

}  // namespace sparcl
