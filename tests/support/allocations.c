// An allocator that ONNX Runtime takes for all sessions of the process, and that counts what they hold.
//
// ONNX Runtime hands its C API to a library of custom operators, and to nothing else that Python can load; this one
// has no operators. Slots of OrtApi never move (runtime/kernels/abi/ort_abi.h has others). One thread.
#include <stdint.h>
#include <stdlib.h>

enum { kCreateEnv = 3, kCreateMemoryInfo = 68, kRegisterAllocator = 176 };
enum { kApiVersion = 17, kWarning = 2, kDeviceAllocator = 0, kDefaultMemory = 0 };
enum { kAlignment = 256 };

typedef struct { const void *const *(*get_api)(uint32_t); } ApiBase;
typedef struct Allocator {
  uint32_t version;
  void *(*alloc)(struct Allocator *, size_t);
  void (*release)(struct Allocator *, void *);
  const void *(*info)(const struct Allocator *);
  void *(*reserve)(struct Allocator *, size_t);
} Allocator;

static void *memory_info;
static int64_t held, most;

static void *take(Allocator *self, size_t size) {
  (void)self;
  void *block = NULL;
  if (size == 0 || posix_memalign(&block, kAlignment, size + kAlignment) != 0) return NULL;
  *(size_t *)block = size;
  held += (int64_t)size;
  if (held > most) most = held;
  return (char *)block + kAlignment;
}

static void give_back(Allocator *self, void *data) {
  (void)self;
  if (data == NULL) return;
  char *block = (char *)data - kAlignment;
  held -= (int64_t)*(size_t *)block;
  free(block);
}

static const void *info(const Allocator *self) {
  (void)self;
  return memory_info;
}

// Called by SessionOptions.register_custom_ops_library.
void *RegisterCustomOps(void *options, const ApiBase *base) {
  (void)options;
  static Allocator allocator = {kApiVersion, take, give_back, info, take};
  if (memory_info != NULL) return NULL;
  const void *const *api = base->get_api(kApiVersion);
  void *environment;
  void *status = ((void *(*)(int, const char *, void **))api[kCreateEnv])(kWarning, "allocations", &environment);
  if (status == NULL)
    status = ((void *(*)(const char *, int, int, int, void **))api[kCreateMemoryInfo])(
        "Cpu", kDeviceAllocator, 0, kDefaultMemory, &memory_info);
  if (status == NULL)
    status = ((void *(*)(void *, Allocator *))api[kRegisterAllocator])(environment, &allocator);
  return status;
}

// Begin to count anew: what is held already does not count.
void begin(void) { held = most = 0; }

int64_t largest(void) { return most; }
