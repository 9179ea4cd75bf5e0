/* The functions of bionic, Android's libc, that glibc has not, or has with another meaning, for the two 64-bit ABIs. All others are plain
 * jumps (stand_ins.py). Versions and numbers are those of bionic's headers. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

/* Gives shim_name the name that a library built for Android asks for. */
#define LIBC(name) __asm__(".symver shim_" #name ", " #name "@LIBC");

/* Streams. Until API 23 the standard ones were elements of an array, which code still names; they have no more in common with glibc's. */
enum { kStream = 152 };
char shim___sF[3 * kStream];
LIBC(__sF)
FILE *shim_stdin, *shim_stdout, *shim_stderr;
LIBC(stdin)
LIBC(stdout)
LIBC(stderr)

static FILE *real(FILE *stream) {
  long at = (char *)stream - shim___sF;
  if (at < 0 || at >= 3 * kStream) return stream;
  return at < kStream ? stdin : at < 2 * kStream ? stdout : stderr;
}

size_t shim_fwrite(const void *from, size_t size, size_t count, FILE *stream) { return fwrite(from, size, count, real(stream)); }
LIBC(fwrite)
int shim_fputc(int character, FILE *stream) { return fputc(character, real(stream)); }
LIBC(fputc)
int shim_fputs(const char *text, FILE *stream) { return fputs(text, real(stream)); }
LIBC(fputs)
int shim_fflush(FILE *stream) { return fflush(stream ? real(stream) : NULL); }
LIBC(fflush)
int shim_fileno(FILE *stream) { return fileno(real(stream)); }
LIBC(fileno)
int shim_getc(FILE *stream) { return getc(real(stream)); }
LIBC(getc)
int shim_vfprintf(FILE *stream, const char *format, va_list arguments) { return vfprintf(real(stream), format, arguments); }
LIBC(vfprintf)
int shim_fprintf(FILE *stream, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int written = vfprintf(real(stream), format, arguments);
  va_end(arguments);
  return written;
}
LIBC(fprintf)

/* Signals: a set has 64 bits here, 1024 in glibc. */
int shim_sigfillset(unsigned long *set) {
  *set = ~0UL;
  return 0;
}
LIBC(sigfillset)
int shim_pthread_sigmask(int how, const unsigned long *set, unsigned long *old) {
  sigset_t wide, before;
  sigemptyset(&wide);
  if (set) memcpy(&wide, set, sizeof *set);
  int failed = pthread_sigmask(how, set ? &wide : NULL, old ? &before : NULL);
  if (old) memcpy(old, &before, sizeof *old);
  return failed;
}
LIBC(pthread_sigmask)

/* Numbers of sysconf. */
long shim_sysconf(int name) {
  static const struct {
    int bionic, glibc;
  } kNames[] = {{6, _SC_CLK_TCK},           {39, _SC_PAGESIZE},   {40, _SC_PAGESIZE},     {96, _SC_NPROCESSORS_CONF},
                {97, _SC_NPROCESSORS_ONLN}, {98, _SC_PHYS_PAGES}, {99, _SC_AVPHYS_PAGES}};
  for (size_t place = 0; place < sizeof kNames / sizeof *kNames; ++place) {
    if (kNames[place].bionic == name) return sysconf(kNames[place].glibc);
  }
  fprintf(stderr, "stand-in: sysconf %d is not known\n", name);
  errno = EINVAL;
  return -1;
}
LIBC(sysconf)

/* Errors and texts. */
int *shim___errno(void) { return &errno; }
LIBC(__errno)
char *shim___gnu_strerror_r(int number, char *text, size_t size) { return strerror_r(number, text, size); }
LIBC(__gnu_strerror_r)
extern int __xpg_strerror_r(int, char *, size_t);
int shim_strerror_r(int number, char *text, size_t size) { return __xpg_strerror_r(number, text, size); }
LIBC(strerror_r)

/* Calls that were compiled with checks. */
size_t shim___strlen_chk(const char *text, size_t size) {
  (void)size;
  return strlen(text);
}
LIBC(__strlen_chk)
char *shim___strchr_chk(const char *text, int character, size_t size) {
  (void)size;
  return strchr(text, character);
}
LIBC(__strchr_chk)
int shim___FD_ISSET_chk(int file, const fd_set *set, size_t size) {
  (void)size;
  return FD_ISSET(file, set);
}
LIBC(__FD_ISSET_chk)
void shim___FD_SET_chk(int file, fd_set *set, size_t size) {
  (void)size;
  FD_SET(file, set);
}
LIBC(__FD_SET_chk)
int shim___open_2(const char *path, int flags) { return open(path, flags); }
LIBC(__open_2)
int shim___vsnprintf_chk(char *to, size_t count, int flags, size_t size, const char *format, va_list arguments) {
  (void)flags;
  (void)size;
  return vsnprintf(to, count, format, arguments);
}
LIBC(__vsnprintf_chk)
int shim___vsprintf_chk(char *to, int flags, size_t size, const char *format, va_list arguments) {
  (void)flags;
  return vsnprintf(to, size, format, arguments);
}
LIBC(__vsprintf_chk)

/* What only Android has. */
int shim___system_property_get(const char *name, char *value) {
  (void)name;
  *value = 0;
  return 0;
}
LIBC(__system_property_get)
void shim_android_set_abort_message(const char *message) { fprintf(stderr, "abort message: %s\n", message); }
LIBC(android_set_abort_message)

/* glibc has it in a static part that no name finds. */
int shim_atexit(void (*function)(void)) { return atexit(function); }
LIBC(atexit)

#ifdef __x86_64__
/* bionic's long double is IEEE quad on both ABIs, glibc's on x86-64 the x87's. */
_Float128 shim_strtold_l(const char *text, char **end, locale_t locale) { return strtof128_l(text, end, locale); }
LIBC(strtold_l)
extern long long llroundf128(_Float128);
long long shim_llroundl(_Float128 number) { return llroundf128(number); }
LIBC(llroundl)
#endif

extern void *shim_table[];
extern const char *shim_names[];
extern int shim_count;

static void unresolved(void) {
  fprintf(stderr, "stand-in: a function was called that glibc has not\n");
  abort();
}

__attribute__((constructor)) static void fill_table(void) {
  shim_stdin = stdin;
  shim_stdout = stdout;
  shim_stderr = stderr;
  void *libraries[] = {dlopen("libc.so.6", RTLD_NOW), dlopen("libm.so.6", RTLD_NOW)};
  for (int number = 0; number < shim_count; ++number) {
    void *found = dlsym(libraries[0], shim_names[number]);
    if (!found) found = dlsym(libraries[1], shim_names[number]);
    if (!found) fprintf(stderr, "stand-in: %s is not in glibc\n", shim_names[number]);
    shim_table[number] = found ? found : (void *)unresolved;
  }
}
