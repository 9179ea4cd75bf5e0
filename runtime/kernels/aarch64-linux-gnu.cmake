# For -DCMAKE_TOOLCHAIN_FILE=: arm64 with Debian's cross-compiler (apt install g++-aarch64-linux-gnu).
#
# The library takes nothing from the target's system, so what this builds is for Android as well (docs/kernels.md).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
