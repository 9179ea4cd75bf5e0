#include "entries.h"

namespace sparcl {

namespace {

constexpr int64_t kTaps = kKernel * kKernel;

// Calls body(local, e) for every wanted place e of output channel o, where local is its place within the channel.
// Returns the first place that is out of order or out of range, or -1.
template <class Body>
int64_t ForEachPlace(const Weight& weight, int64_t row_places, int64_t o, const float* mask, const Body& body) {
  const int64_t base = o * row_places;
  int64_t before = -1;
  for (int64_t e = weight.rows[o]; e < weight.rows[o + 1]; ++e) {
    const int64_t local = weight.index[e] - base;
    if (local <= before || local >= row_places) return e;
    before = local;
    if (mask == nullptr || mask[e] != 0.0f) body(local, e);
  }
  return -1;
}

// Whether output channel `other` keeps the same places as `first`, whose own are in order.
bool KeepsTheSame(const Weight& weight, int64_t row_places, int64_t first, int64_t other) {
  const int32_t *one = weight.index + weight.rows[first], *two = weight.index + weight.rows[other];
  const int64_t count = weight.rows[first + 1] - weight.rows[first];
  if (weight.rows[other + 1] - weight.rows[other] != count) return false;
  for (int64_t i = 0; i < count; ++i) {
    if (two[i] - one[i] != (other - first) * row_places) return false;
  }
  return true;
}

// Units, output channels or blocks of them, are handled `chunk` at a time, so that no two tasks share a bucket.
struct Sorter {
  const Weight& weight;
  int64_t row_places;
  int64_t block;
  const SortTable& table;
  const SortTarget& target;
  int64_t per_task;
  int64_t* wrong;   // [tasks] places, or ~channel of a block's channel that keeps others than the first
  int32_t* cursor;  // [buckets]
  int64_t group;    // places of an entry

  static constexpr int64_t kNothing = INT64_MIN;

  void Count(size_t task) const {
    wrong[task] = kNothing;
    for (int64_t unit = Begin(task); unit < End(task); ++unit) {
      int32_t* counts = cursor + unit / table.chunk * table.bucket_step;
      const int64_t o = unit * block;
      const int64_t bad = ForEachPlace(weight, row_places, o, target.mask,
                                       [&](int64_t local, int64_t) { counts[table.bucket[local]] += local % group == 0; });
      if (bad >= 0 && wrong[task] == kNothing) wrong[task] = bad;
      for (int64_t other = o + 1; other < EndOfBlock(unit) && wrong[task] == kNothing; ++other) {
        if (!KeepsTheSame(weight, row_places, o, other)) wrong[task] = ~other;
      }
    }
  }

  // Writes the running sum of the counts to starts, and makes each bucket's cursor its start.
  void Sum() const {
    int32_t sum = 0;
    for (int64_t bucket = 0; bucket < table.buckets; ++bucket) {
      target.starts[bucket] = sum;
      sum += cursor[bucket];
      cursor[bucket] = target.starts[bucket];
    }
    target.starts[table.buckets] = sum;
  }

  void Place(size_t task) const {
    for (int64_t unit = Begin(task); unit < End(task); ++unit) {
      const int64_t o = unit * block, first = weight.rows[o];
      int32_t* next = cursor + unit / table.chunk * table.bucket_step;
      const int32_t share = static_cast<int32_t>(unit % table.chunk * table.offset_step);
      if (target.entries.blocks != nullptr) {
        ForEachPlace(weight, row_places, o, nullptr, [&](int64_t local, int64_t e) {
          BlockEntry& entry = target.entries.blocks[next[table.bucket[local]]++];
          entry.offset = table.offset[local] + share;
          for (int64_t i = 0; i < kBlock; ++i) {
            entry.values[i] = o + i < EndOfBlock(unit) ? weight.values[weight.rows[o + i] + e - first] : 0.0f;
          }
        });
      } else if (target.entries.kernels != nullptr) {
        ForEachPlace(weight, row_places, o, nullptr, [&](int64_t local, int64_t e) {
          if (local % kTaps != 0) return;
          KernelEntry& entry = target.entries.kernels[next[table.bucket[local]]++];
          entry.offset = table.offset[target.entries.mirrored ? local + kTaps - 1 : local] + share;
          for (int64_t i = 0; i < kTaps; ++i) entry.values[i] = weight.values[e + i];
        });
      } else if (target.entries.single != nullptr) {
        ForEachPlace(weight, row_places, o, nullptr, [&](int64_t local, int64_t e) {
          target.entries.single[next[table.bucket[local]]++] = {table.offset[local] + share, weight.values[e]};
        });
      } else {
        const int64_t base = block > 1 ? first : 0;
        ForEachPlace(weight, row_places, o, target.mask, [&](int64_t local, int64_t e) {
          if (local % group == 0) target.places[next[table.bucket[local]]++] = {table.offset[local] + share, static_cast<int32_t>(e - base)};
        });
      }
    }
  }

  int64_t EndOfBlock(int64_t unit) const {
    const int64_t end = (unit + 1) * block;
    return end < weight.channels ? end : weight.channels;
  }
  int64_t Begin(size_t task) const { return static_cast<int64_t>(task) * per_task; }
  int64_t End(size_t task) const {
    const int64_t end = Begin(task) + per_task, units = weight.Lists(block);
    return end < units ? end : units;
  }
};

Failure DescribeWrong(const Context& context, const Weight& weight, int64_t row_places, int64_t place) {
  if (place < 0) {
    const int64_t other = ~place, first = other - other % kBlock;
    return context.Fail(Message() << "output channel " << other << " keeps other places than channel " << first
                                  << ", with which the attribute block puts it together");
  }
  int64_t o = 0;
  while (weight.rows[o + 1] <= place) ++o;
  Message message;
  message << "index[" << place << "] is " << int64_t{weight.index[place]} << ": output channel " << o
          << " needs ascending positions in [" << o * row_places << ", " << (o + 1) * row_places << ")";
  return context.Fail(message);
}

}  // namespace

bool KeepsWholeKernels(const Window& window, const Weight& weight) {
  const Axis axes[] = {window.height, window.width};
  for (const Axis& axis : axes) {
    if (axis.kernel != kKernel || axis.stride != 1 || axis.dilation != 1) return false;
  }
  for (int64_t o = 0; o <= weight.channels; ++o) {
    if (weight.rows[o] % kTaps != 0) return false;
  }
  for (int64_t e = 0; e < weight.live(); e += kTaps) {
    if (weight.index[e] % kTaps != 0 || weight.index[e + kTaps - 1] - int64_t{weight.index[e]} != kTaps - 1) return false;
  }
  return true;
}

int64_t BlockPlaces(const Weight& weight) {
  int64_t places = 0;
  for (int64_t o = 0; o < weight.channels; o += kBlock) places += weight.rows[o + 1] - weight.rows[o];
  return places;
}

size_t EntryBytes(const Weight& weight, int64_t block, bool kernels) {
  if (kernels) return Workspace::Bytes<KernelEntry>(weight.live() / kTaps);
  return block > 1 ? Workspace::Bytes<BlockEntry>(BlockPlaces(weight)) : Workspace::Bytes<Entry>(weight.live());
}

Entries TakeEntries(Workspace& memory, const Weight& weight, int64_t block, bool kernels) {
  if (kernels) return {nullptr, nullptr, memory.Take<KernelEntry>(weight.live() / kTaps), false};
  if (block > 1) return {nullptr, memory.Take<BlockEntry>(BlockPlaces(weight)), nullptr, false};
  return {memory.Take<Entry>(weight.live()), nullptr, nullptr, false};
}

Failure SortEntries(const Context& context, const Weight& weight, int64_t row_places, int64_t block,
                    const SortTable& table, const SortTarget& target) {
  // About 32 tasks of whole chunks.
  const int64_t units = weight.Lists(block);
  const int64_t chunks = (units + table.chunk - 1) / table.chunk;
  const int64_t per_task = (chunks + 31) / 32 * table.chunk;
  const int64_t tasks = (units + per_task - 1) / per_task;
  Workspace memory(context.api(), Workspace::Bytes<int64_t>(tasks) + Workspace::Bytes<int32_t>(table.buckets));
  if (memory.failed()) return context.Fail(Message() << "out of memory");
  int64_t* wrong = memory.Take<int64_t>(tasks);
  int32_t* cursor = memory.Take<int32_t>(table.buckets);
  for (int64_t bucket = 0; bucket < table.buckets; ++bucket) cursor[bucket] = 0;

  const Sorter sorter{weight, row_places, block, table, target, per_task, wrong, cursor, target.first_taps ? kTaps : 1};
  if (Failure failure = context.Parallel(tasks, [&](size_t task) { sorter.Count(task); })) return failure;
  for (int64_t task = 0; task < tasks; ++task) {
    if (wrong[task] != Sorter::kNothing) return DescribeWrong(context, weight, row_places, wrong[task]);
  }
  sorter.Sum();
  return context.Parallel(tasks, [&](size_t task) { sorter.Place(task); });
}

}  // namespace sparcl
