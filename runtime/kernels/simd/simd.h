// The vector code, compiled once for each instruction set and chosen when the library is loaded.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "numbers.h"
#include "patterns.h"

namespace sparcl {

// A kept weight as the walk over it wants it: where its input lies relative to the chunk's scratch copy, and its value.
struct Entry {
  int32_t offset;  // in floats
  float value;
};

// The output channels of a block (the attribute `block`, docs/kernels.md): they keep the same places.
constexpr int64_t kBlock = 4;

// The kept weights of a block at one place; 0 for channels that the last block lacks.
struct BlockEntry {
  int32_t offset;  // in floats
  float values[kBlock];
};

// A kept kernel of a pattern: where the first pixel of its nine lies, and the values of its taps in the order of the weight.
struct KernelEntry {
  int32_t offset;   // in floats
  int32_t pattern;  // patterns.h
  float values[kTaps];
};

// A kept kernel whose gradient is wanted: `index` is the number of its first value.
struct KernelPlace {
  int32_t offset;  // in floats
  int32_t pattern;
  int32_t index;
};

// A kept place whose gradient is wanted: where its input lies, and which of the K stored values it is.
struct Place {
  int32_t offset;  // in floats
  int32_t index;
};

// What is kept of `channels` output channels against one chunk of input channels: that of list i, a channel's or of blocks
// a block's, is entries[starts[i * stride] : starts[i * stride + 1]].
template <class Kind>
struct Lists {
  const Kind* entries;
  const int32_t* starts;
  int64_t stride;
  int64_t channels;  // of which the last block may have fewer than kBlock
};

using EntryLists = Lists<Entry>;
using BlockLists = Lists<BlockEntry>;
using PlaceLists = Lists<Place>;
using KernelPlaceLists = Lists<KernelPlace>;

// Mirrored, as the input gradient reads them, tap (i, j) of a kernel reads the pixel (2 - i, 2 - j) on.
struct KernelLists : Lists<KernelEntry> {
  bool mirrored;
};

// One block of dy: of each output channel `rows` rows of `vectors` vectors, and what they read of x.
struct GradientBlock {
  const float* x;
  int64_t x_row;  // floats from an output row's input to the next output row's
  const float* dy;
  int64_t dy_channel;  // floats from an output channel to the next
  int64_t rows, vectors;
};

// Where the sums of one block of every output channel lie, in floats: at + c * channel + r * row + v * vector.
template <class Float>
struct Sums {
  Float* at;
  int64_t channel, row, vector;
};

// One block of every output channel: the sums are read from `from`, and written to `to`, which may be the same.
//
// The first chunk's sums start from the bias, or from a tensor of the output's shape. The last chunk's go straight to
// their places in the output: their cache misses then hide behind the arithmetic, which they do not in a copy of their
// own.
struct Tile {
  const float* x;
  int64_t x_row;  // floats from an output row's input to the next output row's
  int64_t rows;
  int64_t vectors;         // per row
  int64_t tile_rows;       // the most rows of a register tile
  Sums<const float> from;  // nowhere: the sums start from the bias
  bool from_far;           // whether `from` lies in a tensor, not in scratch
  Sums<float> to;
  const float* bias;  // one number a channel; null: 0
  bool past_caches;   // whether `to` is written past the caches
  Sums<uint16_t> half;  // the same sums as bfloat16; nowhere: they are not wanted
};

// Rows of pixels of a tensor, each `vectors` vectors: pixel (c, r, p) is at + c * channel + r * row + p * pixel, in floats.
struct Rows {
  const float* at;
  int64_t channel, row, pixel;
  int64_t channels, rows, pixels;
  int64_t vectors;
};

// Where a gradient passes a ReLU: everywhere, where y > 0, or where x * factor + offset > 0.
struct Gate {
  Numbers y;
  bool of_x = false;
  float factor = 0.0f, offset = 0.0f;
};

struct Simd {
  const char* name;
  int64_t lanes;
  int64_t accumulators;  // vectors of a register tile
  int64_t dot_rows, dot_vectors;  // of a tile of `dot`
  // to[c] = from[c] + sum over the entries e of c of e.value * x[e.offset ...], elementwise over rows and vectors.
  void (*accumulate)(const EntryLists& lists, const Tile& tile);
  // The same for blocks, whose channels share each load of x.
  void (*accumulate_blocks)(const BlockLists& lists, const Tile& tile);
  // The same bits as accumulate's for kernels of stride 1, whose taps share each load of x; a vector is a pixel.
  void (*accumulate_kernels)(const KernelLists& lists, const Tile& tile);
  // to[e.offset + r * to_row + v] += sum over the channels c of a block of e.values[c] * from[c, r, v], for the entries e
  // of every block.
  void (*scatter_blocks)(const BlockLists& lists, const float* from, int64_t rows, int64_t vectors, float* to,
                         int64_t to_row);
  // Copies the rows tile by tile: what scatter_blocks reads. Of a tile the channels lie together.
  void (*pack_rows)(const Rows& from, float* to);
  // Floats that pack_rows writes to.
  int64_t (*packed_floats)(int64_t channels, int64_t rows, int64_t vectors);
  // sums[p.index] += dot(dy of c, x[p.offset ...]) over rows and vectors for each place p of each channel c.
  void (*dot)(const PlaceLists& lists, const GradientBlock& block, float* sums);
  // The same for the `channels` channels of a block, which share each load of x: dy of the next channel lies dy_channel
  // floats on, and its sums are those of sums[channel].
  void (*dot_blocks)(const Place* places, int64_t count, const float* x, int64_t x_row, const float* dy,
                     int64_t dy_channel, int64_t channels, int64_t rows, int64_t vectors, float* const* sums);
  // The same for kernels of stride 1; a vector is a pixel.
  void (*dot_kernels)(const KernelPlaceLists& lists, const GradientBlock& tile, float* sums);
  void (*copy)(const float* from, float* to, int64_t count);
  // `count` runs of `run` floats, which lie from_step and to_step floats apart.
  void (*copy_runs)(const float* from, int64_t from_step, float* to, int64_t to_step, int64_t run, int64_t count);
  // The same from and to bfloat16.
  void (*widen_runs)(const uint16_t* from, int64_t from_step, float* to, int64_t to_step, int64_t run, int64_t count);
  void (*narrow_runs)(const float* from, int64_t from_step, uint16_t* to, int64_t to_step, int64_t run, int64_t count);
  // The same of a channel's numbers, normalised: to = number * factor + offset, with relu at least 0.
  void (*normalise_runs)(Numbers from, int64_t from_step, float* to, int64_t to_step, int64_t run, int64_t count,
                         float factor, float offset, bool relu);
  // copy_runs of runs of one vector, written past the caches.
  void (*stream_runs)(const float* from, int64_t from_step, float* to, int64_t to_step, int64_t count);
  void (*fill)(float value, float* to, int64_t count);
  // to += from
  void (*add)(const float* from, float* to, int64_t count);

  // y = the largest of x[at[0] ...], x[at[1] ...] and so on, elementwise over `count` numbers.
  void (*largest)(const float* x, const int64_t* at, int64_t taps, int64_t count, float* y);
  // dx[at[t] ...] += dy where x[at[t] ...] is the first that equals y.
  void (*largest_gradient)(const float* x, const float* y, const float* dy, const int64_t* at, int64_t taps,
                           int64_t count, float* dx);

  // Batch normalisation over one channel's run of numbers.
  // sums[0] += sum(x - shift), sums[1] += sum((x - shift)^2)
  void (*moments)(Numbers x, int64_t count, float shift, double* sums);
  // y = relu?(x * scale + offset + addend); addend may be null
  void (*normalise)(Numbers x, Numbers addend, int64_t count, float scale, float offset, bool relu, bool past_caches,
                    Written y);
  // sums[0] += sum(g), sums[1] += sum(g * (x - mean)) where g = dy, or 0 where the gate is shut
  void (*gradient_moments)(const float* dy, Numbers x, const Gate& gate, int64_t count, float mean, double* sums);
  // dx = g * a + x * b + c; daddend = g; daddend may be null
  void (*normalise_gradient)(const float* dy, Numbers x, const Gate& gate, int64_t count, float a, float b, float c,
                             bool past_caches, float* dx, float* daddend);
};

// The best instruction set of this processor, or the one that a test has taken (simd.cc).
const Simd& ChosenSimd();

// Whether an output of so many floats had better be written past the caches: it is too large to be there still when the
// next op reads it, and an ordinary store would read every line first, a third of the output's traffic. Only whole lines
// can be written so.
inline bool PastCaches(const Simd& simd, const float* output, int64_t floats) {
  constexpr int64_t kLine = 64, kLarge = int64_t{4} << 20, kBytes = sizeof(float);
  return simd.lanes * kBytes == kLine && reinterpret_cast<uintptr_t>(output) % kLine == 0 && floats * kBytes >= kLarge;
}

}  // namespace sparcl
