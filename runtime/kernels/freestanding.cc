// The four functions that a compiler may call without being asked. With them the library needs no symbol of libc, so the
// same file loads under glibc, musl and Android's linker. Hidden: nobody else's calls end here.
#include <stddef.h>

#define SPARCL_HIDDEN extern "C" __attribute__((visibility("hidden")))

SPARCL_HIDDEN void* memcpy(void* __restrict to, const void* __restrict from, size_t count) {
  char* out = static_cast<char*>(to);
  const char* in = static_cast<const char*>(from);
  while (count-- > 0) *out++ = *in++;
  return to;
}

SPARCL_HIDDEN void* memmove(void* to, const void* from, size_t count) {
  char* out = static_cast<char*>(to);
  const char* in = static_cast<const char*>(from);
  if (out <= in) {
    while (count-- > 0) *out++ = *in++;
  } else {
    while (count-- > 0) out[count] = in[count];
  }
  return to;
}

SPARCL_HIDDEN void* memset(void* to, int value, size_t count) {
  char* out = static_cast<char*>(to);
  while (count-- > 0) *out++ = static_cast<char>(value);
  return to;
}

SPARCL_HIDDEN int memcmp(const void* left, const void* right, size_t count) {
  const unsigned char* a = static_cast<const unsigned char*>(left);
  const unsigned char* b = static_cast<const unsigned char*>(right);
  for (; count > 0; --count, ++a, ++b) {
    if (*a != *b) return *a < *b ? -1 : 1;
  }
  return 0;
}
