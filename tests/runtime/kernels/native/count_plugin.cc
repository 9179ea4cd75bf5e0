// A plugin of QEMU's user-mode emulators that counts what a program executes: all instructions, loads, stores, and
// vector multiply-adds. Declares the part of QEMU's plugin interface (version 1) that it uses, as no package has its header.
#include <stddef.h>
#include <stdint.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#define SPARCL_EXPORT extern "C" __attribute__((visibility("default")))

extern "C" {
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t {
  const char* target_name;
};
typedef uint64_t qemu_plugin_id_t;
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, qemu_plugin_tb*));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void*), void*);
void qemu_plugin_register_vcpu_insn_exec_inline(qemu_plugin_insn*, int add, void* counter, uint64_t amount);
size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb*);
qemu_plugin_insn* qemu_plugin_tb_get_insn(const qemu_plugin_tb*, size_t);
char* qemu_plugin_insn_disas(const qemu_plugin_insn*);
}

SPARCL_EXPORT int qemu_plugin_version;
int qemu_plugin_version = 1;

namespace {

enum Kind { kAll, kLoads, kStores, kMultiplyAdds, kKinds };
const char* const kNames[kKinds] = {"instructions", "loads", "stores", "multiply_adds"};
uint64_t counts[kKinds];
bool arm = false;

bool Begins(const char* text, const char* with) { return std::strncmp(text, with, std::strlen(with)) == 0; }

// A vector multiply-add; on a processor without fused ones its packed product.
bool MultipliesAndAdds(const char* text) {
  if (arm) return Begins(text, "fmla");
  return Begins(text, "vfmadd") ? std::strstr(text, "ps") != nullptr : Begins(text, "mulps");
}

// In AT&T's notation, in which QEMU writes x86, the last operand is the destination: memory there is stored to, elsewhere
// loaded.
void OfMemory(const char* text, bool& loads, bool& stores) {
  if (arm) {
    loads = Begins(text, "ld");
    stores = Begins(text, "st");
    return;
  }
  if (std::strchr(text, '(') == nullptr || Begins(text, "lea") || Begins(text, "nop") || Begins(text, "prefetch")) return;
  const size_t length = std::strlen(text);
  const bool last = text[length - 1] == ')' || text[length - 1] == ' ';
  loads = !last || Begins(text, "cmp") || Begins(text, "test") || std::strchr(text, ',') == nullptr;
  stores = !loads;
}

void Translate(qemu_plugin_id_t, qemu_plugin_tb* block) {
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); ++i) {
    qemu_plugin_insn* instruction = qemu_plugin_tb_get_insn(block, i);
    char* text = qemu_plugin_insn_disas(instruction);
    bool of[kKinds] = {true, false, false, MultipliesAndAdds(text)};
    OfMemory(text, of[kLoads], of[kStores]);
    for (int kind = 0; kind < kKinds; ++kind) {
      if (of[kind]) qemu_plugin_register_vcpu_insn_exec_inline(instruction, 0, &counts[kind], 1);
    }
    std::free(text);
  }
}

void Print(qemu_plugin_id_t, void*) {
  for (int kind = 0; kind < kKinds; ++kind) std::fprintf(stderr, "%s %llu\n", kNames[kind], static_cast<unsigned long long>(counts[kind]));
}

}  // namespace

SPARCL_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t* info, int, char**) {
  arm = std::strcmp(info->target_name, "aarch64") == 0;
  qemu_plugin_register_vcpu_tb_trans_cb(id, Translate);
  qemu_plugin_register_atexit_cb(id, Print, nullptr);
  return 0;
}
