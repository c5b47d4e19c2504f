/* The guest: a program without a C library. It relies on 64-bit arithmetic, on pages that appear when they
 * are touched, on a stack that grows, and on a page of device registers. */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

/* ---- The device page ---- */

#define UART_DATA (*(volatile u8 *)0x10000000)   /* write: send a character */
#define UART_STATUS (*(volatile u8 *)0x10000005) /* bit 5: ready to send */
#define POWER_OFF (*(volatile u32 *)0x10000100)  /* write: the machine stops with this code */

static void uart(const char *text) {
  for (; *text != 0; text++) {
    while ((UART_STATUS & 0x20) == 0) continue;
    UART_DATA = *text;
  }
}

/* ---- The kernel: the number of the call in a7, its arguments from a0 on ---- */

/* The program starts here: a0 is its argument, a1 its heap. What main returns is the exit code. */
asm(".globl _start\n"
    "_start: call main\n"
    "  li a7, 93\n"
    "  ecall\n");

long write(long file, const char *text, u64 bytes);
asm("write: li a7, 64\n"
    "  ecall\n"
    "  ret\n");

/* Store to, or load from, an address that may be bad: 0, or the cause of the fault. Call 1000 tells the
 * kernel where to go on, with the cause in a0, instead of ending the program. */
long try_store(u64 address);
long try_load(u64 address);
asm("try_store: mv t0, a0\n"
    "  la a0, 1f\n"
    "  li a7, 1000\n"
    "  ecall\n"
    "  sb zero, 0(t0)\n"
    "  li a0, 0\n"
    "1: ret\n"
    "try_load: mv t0, a0\n"
    "  la a0, 1f\n"
    "  li a7, 1000\n"
    "  ecall\n"
    "  lb zero, 0(t0)\n"
    "  li a0, 0\n"
    "1: ret\n");

/* ---- Text ---- */

static char line[96];
static int length;

static void text(const char *from) {
  while (*from != 0 && length < (int)sizeof line) line[length++] = *from++;
}

static void number(u64 value) {
  char digits[20];
  int count = 0;
  do digits[count++] = '0' + value % 10;
  while ((value /= 10) != 0);
  while (count > 0 && length < (int)sizeof line) line[length++] = digits[--count];
}

static void say(const char *before, u64 value, const char *after) {
  text(before);
  number(value);
  text(after);
}

static void end(void) {
  text("\n");
  write(1, line, length);
  length = 0;
}

/* ---- Work ---- */

#define SIEVE_BYTES (300 * 1024)

static void primes(u8 *composite) {
  u64 count = 1; /* 2 */
  u64 last = 2;
  for (u64 n = 3; n < SIEVE_BYTES; n += 2) {
    if (composite[n]) continue;
    count++;
    last = n;
    for (u64 multiple = n * n; multiple < SIEVE_BYTES; multiple += 2 * n) composite[multiple] = 1;
  }
  say("primes below ", SIEVE_BYTES, ": ");
  say("", count, ", the last one ");
  say("", last, "");
  end();
}

/* Knuth's generator of 64 bits; .data: the seed has bytes in the file. */
static u64 seed = 42;

static u64 random(void) {
  seed = seed * 6364136223846793005ul + 1442695040888963407ul;
  return seed;
}

/* Of two halves, the smaller by recursion and the larger by the loop. */
static void quicksort(u64 *from, u64 *to) {
  while (to - from > 1) {
    u64 pivot = from[(to - from) / 2];
    u64 *low = from;
    u64 *high = to - 1;
    for (;;) {
      while (*low < pivot) low++;
      while (*high > pivot) high--;
      if (low >= high) break;
      u64 swap = *low;
      *low++ = *high;
      *high-- = swap;
    }
    if (low - from < to - low) {
      quicksort(from, low);
      from = low;
    } else {
      quicksort(low, to);
      to = low;
    }
  }
}

#define COUNT 3000
static u64 values[COUNT]; /* .bss: pages without bytes in the file */

static void sort(void) {
  const u64 count = COUNT;
  for (u64 i = 0; i < count; i++) values[i] = random();
  quicksort(values, values + count);
  u64 ordered = 1;
  for (u64 i = 1; i < count; i++) ordered += values[i - 1] <= values[i];
  say("sorted ", ordered, " of ");
  say("", count, ": from ");
  say("", values[0], " to ");
  say("", values[count - 1], "");
  end();
}

struct node {
  struct node *next;
  u64 value;
};

/* Not to be turned into a loop: this is here to use the stack. */
__attribute__((noinline, optimize("no-optimize-sibling-calls")))
static u64 weigh(const struct node *node, u64 place) {
  if (node == 0) return 0;
  u64 rest = weigh(node->next, place + 1);
  return rest + node->value * place;
}

static void list(struct node *nodes, u64 count) {
  struct node *head = 0;
  for (u64 i = 0; i < count; i++) {
    nodes[i].next = head;
    nodes[i].value = i;
    head = &nodes[i];
  }
  say("a list of ", count, " nodes weighs ");
  say("", weigh(head, 1), "");
  end();
}

/* A table of a GiB of which few pages are ever there. */
static void sparse(u64 *table, u64 pages) {
  u64 sum = 0;
  for (u64 i = 1; i <= pages; i++) table[i * 0x1000000 + i] = i * i; /* 128 MiB apart */
  for (u64 i = 1; i <= pages; i++) sum += table[i * 0x1000000 + i];
  say("", pages, " words, 128 MiB apart: their sum is ");
  say("", sum, "");
  end();
}

/* 7^exponent modulo a prime of 62 bits: mul, mulhu and a division of 128 bits by 64, bit by bit. */
static void power(u64 exponent) {
  const u64 modulus = 4611686018427387847ul;
  u64 result = 1;
  u64 base = 7;
  for (u64 left = exponent; left != 0; left >>= 1) {
    for (int square = 0; square < 2; square++) {
      if (!square && !(left & 1)) continue;
      unsigned __int128 product = (unsigned __int128)(square ? base : result) * base;
      u64 high = product >> 64;
      u64 low = product;
      for (int bit = 0; bit < 64; bit++) {
        high = high << 1 | low >> 63;
        low <<= 1;
        if (high >= modulus) high -= modulus;
      }
      if (square) base = high;
      else result = high;
    }
  }
  say("7^", exponent, " modulo ");
  say("", modulus, " is ");
  say("", result, "");
  end();
}

__attribute__((noinline)) static u64 endless(volatile u64 *above) {
  volatile u64 here[64];
  here[0] = *above + 1;
  if (here[0] == 0) return 0;
  return endless(here) + here[0];
}

static const char readonly[] = "constant";

/* Where the compiler must not think that it knows what is there. */
static const char *launder(const char *from) {
  asm("" : "+r"(from) : : "memory");
  return from;
}

/* Calls that the kernel must refuse, and one with bytes on a page that is not there yet. */
static int calls(char *heap) {
  char *end = heap + 0x40000000;
  if (write(1, "straight from the file\n", 23) != 23) return 1;
  if (write(1, heap + 4090, 12) != 12) return 2;
  if (write(1, end - 4, 8) != -14) return 3;
  if (write(1, (char *)-8l, 4) != -14) return 4;
  if (write(2, heap, 1) != -9) return 5;
  return 0;
}

int main(long argument, char *heap) {
  if (argument == 1) return *(volatile char *)0;
  if (argument == 2) return endless(&(volatile u64){0});
  if (argument == 3) POWER_OFF = 5;
  if (argument == 4) return calls(heap);

  uart("Hello from a RISC-V program.\n");
  primes((u8 *)heap);
  sort();
  list((struct node *)(heap + 0x100000), 2000);
  sparse((u64 *)heap, 5);
  power(1000000007);
  say("a store to a constant: cause ", try_store((u64)readonly), ", it is still \"");
  text(launder(readonly));
  text("\"");
  end();
  say("a load from address 0: cause ", try_load(0), "");
  end();
  return 42;
}
