#include "walk.h"

namespace sparcl {

namespace {

int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t Most(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Cuts `size` into pieces of about the same size, none larger than `most`.
int64_t Piece(int64_t size, int64_t most) {
  if (size <= 0) return 1;
  return DivideUp(size, DivideUp(size, Least(size, Most(1, most))));
}

// Of the stride's phases, only those that a tap reads are copied: those below this number hold them all.
int64_t Phases(const TapAxis& axis) { return Least(axis.stride, axis.reach); }

bool Reads(const TapAxis& axis, int64_t displacement) {
  for (int64_t i = 0; i < axis.count; ++i) {
    if ((displacement - (axis.shift[i] - axis.least)) % axis.stride == 0) return true;
  }
  return false;
}

}  // namespace

TapAxis ForwardTaps(const Axis& axis) {
  TapAxis taps;
  taps.stride = axis.stride;
  taps.count = axis.kernel;
  for (int64_t i = 0; i < axis.kernel; ++i) taps.shift[i] = static_cast<int32_t>(i * axis.dilation - axis.pad_begin);
  taps.least = taps.shift[0];
  taps.reach = (axis.kernel - 1) * axis.dilation + 1;
  return taps;
}

Cut CutUp(const Walk* walks, int64_t count, int64_t live, const Budget& budget, int64_t lanes) {
  Cut cut{};
  cut.lanes = lanes;
  const int64_t batch = Most(1, walks[0].batch);
  int64_t rows = 1, cols = 1, taps = 1, row_reach = 1, col_reach = 1, phases = 1, places = 0;
  for (int64_t w = 0; w < count; ++w) {
    const Walk& walk = walks[w];
    rows = Most(rows, walk.output.rows);
    cols = Most(cols, walk.output.cols);
    taps = Most(taps, walk.rows.count * walk.cols.count);
    row_reach = Most(row_reach, walk.rows.reach);
    col_reach = Most(col_reach, DivideUp(walk.cols.reach, walk.cols.stride));
    phases = Most(phases, Phases(walk.cols));
    places += walk.rows.count * walk.cols.count * walk.input.channels * walk.output.channels;
  }
  // As wide as the register tile, then as many rows as the budget has room for.
  cut.cols = Piece(cols, 256 / batch);
  cut.rows = Piece(rows, budget.block_floats / (cut.cols * batch));
  cut.row_blocks = DivideUp(rows, cut.rows);
  cut.col_blocks = DivideUp(cols, cut.cols);
  cut.phase_floats = (cut.cols + col_reach - 1) * batch;
  cut.row_floats = phases * cut.phase_floats;
  cut.channel_floats = ((cut.rows - 1) * walks[0].rows.stride + row_reach) * cut.row_floats;

  const int64_t inputs = walks[0].input.channels;
  const int64_t wanted = live == 0 ? inputs : budget.entries * places / (Most(1, live) * taps);
  cut.chunk = Piece(inputs, Least(Most(1, wanted), Most(1, budget.input_floats / cut.channel_floats)));
  cut.chunks = DivideUp(inputs, cut.chunk);
  const int64_t output_floats = cut.rows * cut.Vectors(cut.cols, batch) * lanes;
  cut.outputs = Piece(walks[0].output.channels, budget.output_floats / output_floats);
  cut.output_blocks = DivideUp(walks[0].output.channels, cut.outputs);
  return cut;
}

Block BlockAt(const Cut& cut, const Walk& walk, int64_t number) {
  Block block;
  block.row = number / cut.col_blocks * cut.rows;
  block.col = number % cut.col_blocks * cut.cols;
  block.rows = Most(0, Least(cut.rows, walk.output.rows - block.row));
  block.cols = Most(0, Least(cut.cols, walk.output.cols - block.col));
  return block;
}

int32_t TapOffset(const Cut& cut, const Walk& walk, int64_t i, int64_t j) {
  const int64_t row = walk.rows.shift[i] - walk.rows.least;
  const int64_t col = walk.cols.shift[j] - walk.cols.least;
  const int64_t phase = col % walk.cols.stride, step = col / walk.cols.stride;
  return static_cast<int32_t>(row * cut.row_floats + phase * cut.phase_floats + step * walk.batch);
}

void CopyIn(const Simd& simd, const Cut& cut, const Walk& walk, const Block& block, const float* input, int64_t first,
            int64_t count, float* scratch) {
  const int64_t batch = walk.batch, stride = walk.cols.stride;
  const int64_t input_rows = (block.rows - 1) * walk.rows.stride + walk.rows.reach;
  const int64_t columns = block.cols + (walk.cols.reach - 1) / stride;
  const int64_t top = block.row * walk.rows.stride + walk.rows.least;
  for (int64_t channel = 0; channel < count; ++channel) {
    const float* plane = input + (first + channel) * walk.input.rows * walk.input.cols * batch;
    for (int64_t row = 0; row < input_rows; ++row) {
      if (!Reads(walk.rows, row)) continue;
      const bool inside = top + row >= 0 && top + row < walk.input.rows;
      for (int64_t phase = 0; phase < Phases(walk.cols); ++phase) {
        float* to = scratch + channel * cut.channel_floats + row * cut.row_floats + phase * cut.phase_floats;
        if (!inside) {
          simd.fill(0.0f, to, columns * batch);
          continue;
        }
        // Column m of the copy is input column start + m * stride; those inside of the plane are before <= m < after.
        const int64_t start = block.col * stride + walk.cols.least + phase;
        const int64_t before = Least(columns, start >= 0 ? 0 : DivideUp(-start, stride));
        const int64_t after = Most(before, Least(columns, DivideUp(walk.input.cols - start, stride)));
        simd.fill(0.0f, to, before * batch);
        const float* from = plane + ((top + row) * walk.input.cols + start) * batch;
        if (stride == 1) {
          simd.copy(from + before * batch, to + before * batch, (after - before) * batch);
        } else {
          for (int64_t m = before; m < after; ++m) simd.copy(from + m * stride * batch, to + m * batch, batch);
        }
        simd.fill(0.0f, to + after * batch, (columns - after) * batch);
      }
    }
  }
  // What the last vector of the last row reads past its end.
  simd.fill(0.0f, scratch + count * cut.channel_floats, cut.lanes);
}

}  // namespace sparcl
