#include "run_walks.h"

namespace sparcl {

namespace {

int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }

// One block of one walk for some of the output channels.
struct Task {
  int64_t walk;
  Block block;
  int64_t first, count;  // output channels
};

Task TaskAt(const WalkJob& job, size_t number) {
  const Cut& cut = job.cut;
  Task task;
  int64_t rest = static_cast<int64_t>(number);
  task.first = rest % cut.output_blocks * cut.outputs;
  rest /= cut.output_blocks;
  task.walk = rest / cut.blocks();
  task.block = BlockAt(cut, job.walks[task.walk], rest % cut.blocks());
  task.count = Least(cut.outputs, job.walks[task.walk].output.channels - task.first);
  return task;
}

// Of each row of the block, the tap rows that read the plane and not only padding.
void FindGroups(const Walk& walk, const Block& block, int32_t* first, int32_t* last) {
  for (int64_t row = 0; row < block.rows; ++row) {
    const int64_t at = (block.row + row) * walk.rows.stride;
    int64_t begin = 0, end = walk.rows.count;
    while (begin < end && at + walk.rows.shift[begin] < 0) ++begin;
    while (end > begin && at + walk.rows.shift[end - 1] >= walk.input.rows) --end;
    first[row] = static_cast<int32_t>(begin);
    last[row] = static_cast<int32_t>(end);
  }
}

void CopyOut(const Simd& simd, const WalkJob& job, const Task& task, const Tile& tile) {
  const Placement& at = job.placements[task.walk];
  const int64_t batch = job.walks[task.walk].batch;
  const int64_t y_row = tile.vectors * job.cut.lanes;
  for (int64_t channel = 0; channel < task.count; ++channel) {
    float* plane = job.output + (task.first + channel) * job.plane.rows * job.plane.cols * batch;
    for (int64_t row = 0; row < task.block.rows; ++row) {
      const float* from = tile.y + channel * tile.y_channel + row * y_row;
      const int64_t to_row = at.row + (task.block.row + row) * at.row_step;
      float* to = plane + (to_row * job.plane.cols + at.col + task.block.col * at.col_step) * batch;
      if (at.col_step == 1) {
        simd.copy(from, to, task.block.cols * batch);
        continue;
      }
      for (int64_t col = 0; col < task.block.cols; ++col) {
        simd.copy(from + col * batch, to + col * at.col_step * batch, batch);
      }
    }
  }
}

void RunTask(const Simd& simd, const WalkJob& job, const Task& task, Workspace& memory) {
  const Cut& cut = job.cut;
  const Walk& walk = job.walks[task.walk];
  float* scratch = memory.Take<float>(cut.InputFloats());
  Tile tile{};
  tile.x = scratch;
  tile.x_row = InputRowStride(cut, walk);
  tile.rows = task.block.rows;
  tile.vectors = cut.Vectors(task.block.cols, walk.batch);
  // A line more than needed keeps the channels' blocks off the same lines of the cache.
  tile.y_channel = task.block.rows * tile.vectors * cut.lanes + 16;
  float* y = memory.Take<float>(cut.outputs * (cut.rows * cut.Vectors(cut.cols, walk.batch) * cut.lanes + 16));
  int32_t* first = memory.Take<int32_t>(cut.rows);
  int32_t* last = memory.Take<int32_t>(cut.rows);
  tile.y = y;
  if (job.groups > 1) {
    FindGroups(walk, task.block, first, last);
    tile.first = first;
    tile.last = last;
  }
  for (int64_t channel = 0; channel < task.count; ++channel) {
    const float start = job.bias == nullptr ? 0.0f : job.bias[task.first + channel];
    simd.fill(start, y + channel * tile.y_channel, tile.y_channel);
  }
  if (walk.rows.count * walk.cols.count > 0) {
    const int64_t stride = cut.chunks * job.groups;
    const int32_t* starts = job.starts + (task.walk * walk.output.channels + task.first) * stride;
    for (int64_t chunk = 0; chunk < cut.chunks; ++chunk) {
      const int64_t from = chunk * cut.chunk;
      CopyIn(simd, cut, walk, task.block, job.input, from, Least(cut.chunk, walk.input.channels - from), scratch);
      simd.accumulate({job.entries, starts + chunk * job.groups, stride, task.count}, tile);
    }
  }
  CopyOut(simd, job, task, tile);
}

}  // namespace

Failure RunWalks(const Context& context, const WalkJob& job) {
  const Simd& simd = ChosenSimd();
  const Cut& cut = job.cut;
  const int64_t output_floats = cut.rows * cut.Vectors(cut.cols, job.walks[0].batch) * cut.lanes + 16;
  const size_t bytes = Workspace::Bytes<float>(cut.InputFloats()) + Workspace::Bytes<float>(cut.outputs * output_floats) +
                       2 * Workspace::Bytes<int32_t>(cut.rows);
  int out_of_memory = 0;
  auto run = [&](size_t number) {
    const Task task = TaskAt(job, number);
    if (task.block.rows <= 0 || task.block.cols <= 0) return;
    Workspace memory(context.api(), bytes);
    if (memory.failed()) {
      __atomic_store_n(&out_of_memory, 1, __ATOMIC_RELAXED);
      return;
    }
    RunTask(simd, job, task, memory);
  };
  if (Failure failure = context.Parallel(job.count * cut.blocks() * cut.output_blocks, run)) return failure;
  return out_of_memory ? context.Fail(Message() << "out of memory") : nullptr;
}

}  // namespace sparcl
