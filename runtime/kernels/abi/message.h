// Error texts without libc: appends strings and numbers to a fixed buffer, cutting what does not fit.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sparcl {

class Message {
 public:
  Message& operator<<(const char* text) {
    while (*text != '\0') Append(*text++);
    return *this;
  }

  Message& operator<<(int64_t number) {
    if (number < 0) Append('-');
    uint64_t rest = number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    char digits[20];
    int count = 0;
    do {
      digits[count++] = static_cast<char>('0' + rest % 10);
      rest /= 10;
    } while (rest != 0);
    while (count > 0) Append(digits[--count]);
    return *this;
  }

  const char* text() const { return text_; }

 private:
  void Append(char letter) {
    if (size_ + 1 < sizeof(text_)) text_[size_++] = letter;
  }

  char text_[320] = {};
  size_t size_ = 0;
};

}  // namespace sparcl
