#include "run_scatter.h"

namespace sparcl {

namespace {

int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t Most(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Tasks to aim at, and the rows below which more tasks take fewer channels each, not fewer rows: every band computes the
// rows around it once more.
constexpr int64_t kLeastTasks = 4;
constexpr int64_t kLeastBand = 12;
// Rows of dy in a slab, and the share of the second level of the caches that a task's scratch takes, beside them.
constexpr int64_t kSlab = 2;
constexpr double kScratch = 0.625;
// Multiply-adds for each number of dy and dx from which on scattering is faster: below, moving them takes the time, and a
// walk moves less.
constexpr int64_t kLeastWork = 50;
// A kernel that reaches further than this needs more scratch than is sensible.
constexpr int64_t kMostScratch = int64_t{1} << 24;

int64_t Furthest(const TapAxis& axis) { return axis.least + axis.reach - 1; }

// The columns of dx that the scratch has: the walk's own, and those beyond them that dy reaches.
int64_t FirstColumn(const Walk& walk) { return Least(0, -Furthest(walk.cols)); }
int64_t Columns(const Walk& walk) {
  return Most(walk.output.cols, walk.input.cols - walk.cols.least) - FirstColumn(walk);
}

// Images of a task: a line of the cache, where the batch is whole lines, and a vector otherwise.
int64_t Run(int64_t batch, const Simd& simd) {
  constexpr int64_t kLine = 16;
  return batch % kLine == 0 && kLine % simd.lanes == 0 ? kLine : simd.lanes;
}

struct Task {
  int64_t image;          // the first
  int64_t chunk;
  int64_t first, count;   // channels of dx
  int64_t begin, end;     // rows of the walks' grids
  float* scratch;
  float* packed;
};

Task TaskAt(const ScatterJob& job, size_t number, Workspace& memory) {
  const ScatterCut& cut = job.cut;
  int64_t rest = static_cast<int64_t>(number);
  Task task;
  task.chunk = rest % cut.chunks;
  task.first = task.chunk * cut.chunk;
  task.count = Least(cut.chunk, job.plane.channels - task.first);
  rest /= cut.chunks;
  task.begin = rest % cut.bands * cut.band;
  task.end = task.begin + cut.band;
  task.image = rest / cut.bands * cut.run;
  task.scratch = memory.Take<float>(cut.ScratchFloats());
  task.packed = memory.Take<float>(cut.packed_floats);
  return task;
}

// One walk's part of a task.
struct Part {
  const Walk& walk;
  const Placement& at;
  int64_t number;
  float* scratch;
  int64_t end;  // of the task's rows, within the walk's own

  // Row 0 of the scratch is this row of the walk's grid where the slab begins with row `top` of dy.
  int64_t Front(int64_t top) const { return top - Furthest(walk.rows); }
  // Rows of a slab's scratch that the next slab adds to as well.
  int64_t Kept() const { return walk.rows.reach - 1; }
};

Part PartAt(const ScatterJob& job, const Task& task, int64_t number) {
  const Walk& walk = job.walks[number];
  float* scratch = task.scratch + number * job.cut.chunk * job.cut.channel_floats;
  return {walk, job.placements[number], number, scratch, Least(task.end, walk.output.rows)};
}

// Where a row of the walk's grid begins in a tensor of dx's shape.
int64_t Place(const ScatterJob& job, const Task& task, const Part& part, int64_t channel, int64_t row) {
  const int64_t plane_row = part.at.row + row * part.at.row_step;
  const int64_t pixel = ((task.first + channel) * job.plane.rows + plane_row) * job.plane.cols + part.at.col;
  return pixel * part.walk.batch + task.image;
}

void StartRow(const Simd& simd, const ScatterJob& job, const Task& task, const Part& part, int64_t channel, int64_t row,
              float* to) {
  const bool wanted = row >= task.begin && row < part.end;
  if (job.addend == nullptr || !wanted) return simd.fill(0.0f, to, job.cut.row_floats);
  const int64_t run = job.cut.run, cols = part.walk.output.cols;
  const int64_t begin = -FirstColumn(part.walk) * run, end = begin + cols * run;
  simd.fill(0.0f, to, begin);
  simd.copy_runs(job.addend + Place(job, task, part, channel, row), part.at.col_step * part.walk.batch, to + begin, run,
                 run, cols);
  simd.fill(0.0f, to + end, job.cut.row_floats - end);
}

void FinishRow(const Simd& simd, const ScatterJob& job, const Task& task, const Part& part, int64_t channel, int64_t row,
               const float* from, bool past_caches) {
  if (row < task.begin || row >= part.end) return;
  const int64_t run = job.cut.run, step = part.at.col_step * part.walk.batch, cols = part.walk.output.cols;
  float* to = job.dx + Place(job, task, part, channel, row);
  from -= FirstColumn(part.walk) * run;
  if (past_caches) return simd.stream_runs(from, run, to, step, cols);
  simd.copy_runs(from, run, to, step, run, cols);
}

// Starts the rows of a slab's scratch that hold no sums yet: from `row` on.
void StartSlab(const Simd& simd, const ScatterJob& job, const Task& task, const Part& part, int64_t top, int64_t row) {
  const ScatterCut& cut = job.cut;
  for (int64_t channel = 0; channel < task.count; ++channel) {
    float* rows = part.scratch + channel * cut.channel_floats;
    for (int64_t r = row; r < cut.slab + part.Kept(); ++r) {
      StartRow(simd, job, task, part, channel, part.Front(top) + r, rows + r * cut.row_floats);
    }
  }
}

// Writes the rows that are complete, and moves the others to the front.
void FinishSlab(const Simd& simd, const ScatterJob& job, const Task& task, const Part& part, int64_t top) {
  const ScatterCut& cut = job.cut;
  const bool past_caches = PastCaches(simd, job.dx, part.walk.batch * job.plane.channels * job.plane.rows * job.plane.cols);
  for (int64_t channel = 0; channel < task.count; ++channel) {
    float* rows = part.scratch + channel * cut.channel_floats;
    for (int64_t r = 0; r < cut.slab; ++r) {
      FinishRow(simd, job, task, part, channel, part.Front(top) + r, rows + r * cut.row_floats, past_caches);
    }
    for (int64_t r = 0; r < part.Kept(); ++r) {
      simd.copy_runs(rows + (cut.slab + r) * cut.row_floats, cut.run, rows + r * cut.row_floats, cut.run, cut.run,
                     cut.row_floats / cut.run);
    }
  }
}

// The slab's rows that dy has, from the first of them on.
struct Slab {
  int64_t first, count;
};

void AddSlab(const Simd& simd, const ScatterJob& job, const Task& task, const Part& part, int64_t top, const Slab& slab) {
  const ScatterCut& cut = job.cut;
  const int64_t channels = part.walk.input.channels, blocks = DivideUp(channels, kBlock);
  const int32_t* starts = job.starts + part.number * blocks * cut.chunks + task.chunk;
  const BlockLists lists = {job.blocks, starts, cut.chunks, channels};
  simd.scatter_blocks(lists, task.packed, slab.count, part.walk.input.cols * cut.run / simd.lanes,
                      part.scratch + (slab.first - top) * cut.row_floats, cut.row_floats);
}

void RunTask(const Simd& simd, const ScatterJob& job, const Task& task) {
  const ScatterCut& cut = job.cut;
  const Walk& any = job.walks[0];
  int64_t begin = INT64_MAX, end = INT64_MIN;
  for (int64_t w = 0; w < cut.walks; ++w) {
    const Part part = PartAt(job, task, w);
    begin = Least(begin, task.begin + part.walk.rows.least);
    end = Most(end, part.end + Furthest(part.walk.rows));
  }
  const int64_t row = any.input.cols * any.batch;  // floats of a row of dy
  for (int64_t top = begin; top < end; top += cut.slab) {
    const int64_t first = Most(top, 0);
    const Slab slab = {first, Least(top + cut.slab, any.input.rows) - first};
    if (slab.count > 0) {
      const Rows rows = {job.dy + first * row + task.image, any.input.rows * row, row, any.batch, any.input.channels,
                         slab.count, any.input.cols, cut.run / simd.lanes};
      simd.pack_rows(rows, task.packed);
    }
    for (int64_t w = 0; w < cut.walks; ++w) {
      const Part part = PartAt(job, task, w);
      StartSlab(simd, job, task, part, top, top == begin ? 0 : part.Kept());
      if (slab.count > 0) AddSlab(simd, job, task, part, top, slab);
      FinishSlab(simd, job, task, part, top);
    }
  }
}

}  // namespace

ScatterCut CutScatter(const Walk* walks, int64_t count, const Simd& simd) {
  ScatterCut cut{};
  cut.run = Run(walks[0].batch, simd);
  cut.runs = Most(1, walks[0].batch / cut.run);
  cut.walks = count;
  int64_t rows = 1, reach = 1, cols = 1;
  for (int64_t w = 0; w < count; ++w) {
    rows = Most(rows, walks[w].output.rows);
    reach = Most(reach, walks[w].rows.reach);
    cols = Most(cols, Columns(walks[w]));
  }
  cut.slab = Least(walks[0].input.rows, kSlab);
  cut.row_floats = cols * cut.run;
  // A line more keeps the channels off the same lines of the cache.
  cut.channel_floats = (cut.slab + reach - 1) * cut.row_floats + 16;
  const int64_t channels = walks[0].output.channels, tasks = DivideUp(kLeastTasks, cut.runs);
  cut.bands = Most(1, Least(tasks, rows / kLeastBand));
  cut.band = DivideUp(rows, cut.bands);
  cut.bands = DivideUp(rows, cut.band);
  const int64_t fitting = ChosenCaches().SecondFloats(kScratch) / (count * cut.channel_floats);
  const int64_t most = Most(1, Least(fitting, DivideUp(channels, DivideUp(tasks, cut.bands))));
  cut.chunk = DivideUp(channels, DivideUp(channels, most));
  cut.chunks = DivideUp(channels, cut.chunk);
  const int64_t vectors = walks[0].input.cols * (cut.run / simd.lanes);
  cut.packed_floats = simd.packed_floats(walks[0].input.channels, cut.slab, vectors);
  return cut;
}

bool Scatters(const Walk& walk, const ScatterCut& cut, int64_t kept) {
  if (kept < kLeastWork * (walk.input.channels + walk.output.channels)) return false;
  if (DivideUp(walk.input.channels, kBlock) * cut.walks * cut.chunks >= kMaxPlaces) return false;
  return walk.batch == cut.run * cut.runs && cut.ScratchFloats() <= kMostScratch && cut.packed_floats <= kMostScratch;
}

int32_t ScatterOffset(const ScatterCut& cut, const Walk& walk, int64_t i, int64_t j) {
  const int64_t row = Furthest(walk.rows) - walk.rows.shift[i], col = -walk.cols.shift[j] - FirstColumn(walk);
  return static_cast<int32_t>(row * cut.row_floats + col * cut.run);
}

Failure RunScatter(const Context& context, const ScatterJob& job) {
  const Simd& simd = ChosenSimd();
  const ScatterCut& cut = job.cut;
  const size_t bytes = Workspace::Bytes<float>(cut.ScratchFloats()) + Workspace::Bytes<float>(cut.packed_floats);
  int out_of_memory = 0;
  auto run = [&](size_t number) {
    Workspace memory(context.api(), bytes);
    if (memory.failed()) {
      __atomic_store_n(&out_of_memory, 1, __ATOMIC_RELAXED);
      return;
    }
    RunTask(simd, job, TaskAt(job, number, memory));
  };
  if (Failure failure = context.Parallel(cut.runs * cut.bands * cut.chunks, run)) return failure;
  return out_of_memory ? context.Fail(Message() << "out of memory") : nullptr;
}

}  // namespace sparcl
