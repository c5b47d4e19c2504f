/*
 * The workloads of `workloads.ts` against the C library's malloc and free: the very same choices, read from a file.
 *
 *     native FILE malloc|aligned
 *
 * The file holds 32-bit words: live, choices, then requests[live], slots[choices], next[choices], shuffled[live].
 * `aligned` allocates with aligned_alloc(4096, bytes), for pages. Each line on stdin is a number of pairs to do next;
 * the answer is a line with the nanoseconds that they took.
 */

#define _POSIX_C_SOURCE 200809L

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void fail(const char *what) {
  fprintf(stderr, "native: %s\n", what);
  exit(1);
}

static uint32_t *read_words(FILE *file, size_t count) {
  uint32_t *words = malloc(count * sizeof *words);
  if (words == NULL || fread(words, sizeof *words, count, file) != count) fail("cannot read the choices");
  return words;
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* One loop for each allocator, as each peer in JavaScript has a copy of its own. Blocks are pointers: the calls stay. */
#define REPLACE(name, allocate)                                                                    \
  static size_t name(void **blocks, const uint32_t *slots, const uint32_t *next, size_t mask,      \
                     size_t cursor, size_t pairs) {                                                \
    for (size_t i = 0; i < pairs; i++) {                                                           \
      uint32_t slot = slots[cursor];                                                               \
      size_t bytes = next[cursor];                                                                 \
      cursor = (cursor + 1) & mask;                                                                \
      free(blocks[slot]);                                                                          \
      void *block = allocate;                                                                      \
      if (block == NULL) fail("exhausted");                                                        \
      blocks[slot] = block;                                                                        \
    }                                                                                              \
    return cursor;                                                                                 \
  }

REPLACE(replace_malloc, malloc(bytes))
REPLACE(replace_aligned, aligned_alloc(4096, bytes))

int main(int argc, char **argv) {
  if (argc != 3) fail("usage: native FILE malloc|aligned");
  int aligned = strcmp(argv[2], "aligned") == 0;
  FILE *file = fopen(argv[1], "rb");
  if (file == NULL) fail("cannot open the choices");
  uint32_t *sizes = read_words(file, 2);
  size_t live = sizes[0];
  size_t choices = sizes[1];
  uint32_t *requests = read_words(file, live);
  uint32_t *slots = read_words(file, choices);
  uint32_t *next = read_words(file, choices);
  uint32_t *shuffled = read_words(file, live);
  void **blocks = calloc(live, sizeof *blocks);
  if (blocks == NULL) fail("no memory");
  for (size_t slot = 0; slot < live; slot++) {
    blocks[slot] = aligned ? aligned_alloc(4096, requests[slot]) : malloc(requests[slot]);
  }
  for (size_t i = 0; i < live >> 1; i++) free(blocks[shuffled[i]]);
  for (size_t i = 0; i < live >> 1; i++) {
    size_t bytes = requests[shuffled[i]];
    blocks[shuffled[i]] = aligned ? aligned_alloc(4096, bytes) : malloc(bytes);
  }
  size_t cursor = 0;
  unsigned long pairs;
  while (scanf("%lu", &pairs) == 1) {
    int64_t start = now();
    cursor = aligned ? replace_aligned(blocks, slots, next, choices - 1, cursor, pairs)
                     : replace_malloc(blocks, slots, next, choices - 1, cursor, pairs);
    printf("%lld\n", (long long)(now() - start));
    fflush(stdout);
  }
  return 0;
}
