#!/bin/sh
# Makes guest.elf again. It was made by riscv64-unknown-elf-gcc 12.2.0.
cd "$(dirname "$0")" || exit 1
riscv64-unknown-elf-gcc -march=rv64im_zicsr -mabi=lp64 -mcmodel=medany -O2 -Wall -Wextra \
  -ffreestanding -fno-tree-loop-distribute-patterns -nostdlib -static -s \
  -Wl,--no-relax -Wl,-z,max-page-size=4096 -Wl,--build-id=none -T link.ld -o guest.elf guest.c
