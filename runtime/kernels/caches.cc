#include "caches.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace sparcl {

namespace {

// Where the machine does not say: a small core of a phone.
constexpr Caches kUnknown = {32 * 1024, 256 * 1024};

// Instruction caches do not count. `level` from 1; the largest wins, should there be several.
void Note(int64_t level, int64_t bytes, Caches& found) {
  int64_t& size = level == 1 ? found.first : found.second;
  if (level <= 2 && bytes > size) size = bytes;
}

#if defined(__x86_64__) || defined(__i386__)

// Intel lists its caches in leaf 4 and AMD, in the same form, in leaf 0x8000001D.
void ReadLeaf(unsigned leaf, Caches& found) {
  constexpr unsigned kMost = 8, kNone = 0, kInstructions = 2;
  if (__get_cpuid_max(leaf & 0x80000000u, nullptr) < leaf) return;
  for (unsigned number = 0; number < kMost; ++number) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    __cpuid_count(leaf, number, a, b, c, d);
    const unsigned type = a & 31u;
    if (type == kNone) return;
    if (type == kInstructions) continue;
    const int64_t ways = (b >> 22) + 1, partitions = (b >> 12 & 1023u) + 1, line = (b & 4095u) + 1, sets = int64_t{c} + 1;
    Note(a >> 5 & 7u, ways * partitions * line * sets, found);
  }
}

void ReadSystem(Caches& found) {
  ReadLeaf(4, found);
  ReadLeaf(0x8000001Du, found);
}

#elif defined(__aarch64__) && defined(__linux__)

// Linux and Android say it in files; programs may not read the processor's own registers. Called without libc, as the
// whole library is (docs/kernels.md, "Free of libc").
long Call(long number, long first, long second, long third, long fourth) {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = first;
  register long x1 asm("x1") = second;
  register long x2 asm("x2") = third;
  register long x3 asm("x3") = fourth;
  asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory", "cc");
  return x0;
}

// The first characters of a file, ended by a 0; none where it cannot be read.
void ReadFile(const char* path, char (&text)[16]) {
  constexpr long kOpenAt = 56, kClose = 57, kRead = 63, kHere = -100, kReadOnly = 0;
  text[0] = '\0';
  const long file = Call(kOpenAt, kHere, reinterpret_cast<long>(path), kReadOnly, 0);
  if (file < 0) return;
  const long count = Call(kRead, file, reinterpret_cast<long>(text), sizeof(text) - 1, 0);
  Call(kClose, file, 0, 0, 0);
  text[count > 0 ? count : 0] = '\0';
}

// "32K" and the like; 0 where there is no number.
int64_t ParseSize(const char* text) {
  int64_t size = 0;
  for (; *text >= '0' && *text <= '9' && size < 1 << 20; ++text) size = 10 * size + (*text - '0');
  return *text == 'K' ? size << 10 : *text == 'M' ? size << 20 : size;
}

struct CacheFiles {
  const char *type, *level, *size;
};

#define SPARCL_CACHE(number)                                      \
  {                                                               \
    "/sys/devices/system/cpu/cpu0/cache/index" #number "/type",   \
        "/sys/devices/system/cpu/cpu0/cache/index" #number "/level", \
        "/sys/devices/system/cpu/cpu0/cache/index" #number "/size"   \
  }

// Core 0 is a small one where cores differ: what fits it fits the large ones.
void ReadSystem(Caches& found) {
  static const CacheFiles kFiles[] = {SPARCL_CACHE(0), SPARCL_CACHE(1), SPARCL_CACHE(2)};
  for (const CacheFiles& files : kFiles) {
    char type[16], level[16], size[16];
    ReadFile(files.type, type);
    ReadFile(files.level, level);
    ReadFile(files.size, size);
    if (type[0] == 'D' || type[0] == 'U') Note(ParseSize(level), ParseSize(size), found);
  }
}

#else

void ReadSystem(Caches&) {}

#endif

// A virtual machine may say nothing, or nonsense.
Caches Read() {
  constexpr int64_t kLeast = 8 * 1024, kMostFirst = 1024 * 1024, kMostSecond = 64 * 1024 * 1024;
  Caches found = {0, 0};
  ReadSystem(found);
  if (found.first < kLeast || found.first > kMostFirst) found.first = kUnknown.first;
  if (found.second < found.first || found.second > kMostSecond) found.second = kUnknown.second;
  return found;
}

// 0: not read yet. Every thread that reads finds the same.
Caches chosen = {0, 0};

void Choose(const Caches& caches) {
  __atomic_store_n(&chosen.second, caches.second, __ATOMIC_RELAXED);
  __atomic_store_n(&chosen.first, caches.first, __ATOMIC_RELEASE);
}

}  // namespace

Caches ChosenCaches() {
  if (__atomic_load_n(&chosen.first, __ATOMIC_ACQUIRE) == 0) Choose(Read());
  return {__atomic_load_n(&chosen.first, __ATOMIC_RELAXED), __atomic_load_n(&chosen.second, __ATOMIC_RELAXED)};
}

}  // namespace sparcl

// For tests and measurements: takes caches of other sizes, in bytes; 0 and 0 take the machine's again. Between runs.
extern "C" __attribute__((visibility("default"))) void SparclUseCaches(int64_t first, int64_t second) {
  sparcl::Choose(first > 0 && second > 0 ? sparcl::Caches{first, second} : sparcl::Read());
}

// Writes the sizes in use, in bytes.
extern "C" __attribute__((visibility("default"))) void SparclCaches(int64_t* first, int64_t* second) {
  const sparcl::Caches caches = sparcl::ChosenCaches();
  *first = caches.first;
  *second = caches.second;
}
