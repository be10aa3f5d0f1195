/* The forecast kernels written by hand: the same arithmetic on the same points, vectorised.

   A yardstick for the compiled kernel, for the structure of one scenario: training compute under
   six bounds, two paths of algorithms, a requirement of normal and two-piece normal parts. Draws lie
   along the vector lanes; functions are inlined polynomials, so that each loop over W draws becomes
   vector code with neither calls nor branches.

   Logarithms that are added are one logarithm of a product, as in the kernel; paths are kept in the
   units that the exponential wants, and in the end in log10 FLOP. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#ifndef W
#define W 16
#endif
#define INPUTS 28
#define MOST_NODES 256
#define LN2 0.69314718056f
#define LOG2E 1.44269504089f
#define LOG10_2 0.30102999566f
#define LANES _Pragma("omp simd") for (int i = 0; i < W; i++)

typedef float lanes[W] __attribute__((aligned(4 * W)));

/* location, scale, is_log, column: of each input in the order of `enum input`; column: its row in
   directions (row, 32). year: (node,). weight, middle, below, above: (component,), the last two one
   over the square root of two times the spread. path: (component,), 0 or 1. */
struct problem {
  int32_t nodes, components;
  const float *location, *scale;
  const int32_t *is_log, *column;
  const uint32_t *directions, *shift;
  const float *year, *weight, *middle, *below, *above;
  const int32_t *path;
  float since[2], limit_years, sharpness, product_level, product_age, product_half_life;
};

enum input { ALGORITHMS = 0, POST = 4, SHARE = 8, LIMIT = 9, COMPUTE = 17, PRICE = 21, CEILING = 25, PRODUCT = 26 };

static inline float as_float(int32_t i) { float f; memcpy(&f, &i, 4); return f; }
static inline int32_t as_int(float f) { int32_t i; memcpy(&i, &f, 4); return i; }

/* 2^y - 1 for the part of y beyond an integer, and that integer as a power of two; y > -126. */
static inline float power_parts(float y, float *power) {
  float n = rintf(y), f = y - n;
  *power = as_float(((int32_t)n + 127) << 23);
  float p = 1.5403530e-4f;
  p = p * f + 1.3333558e-3f;
  p = p * f + 9.6181291e-3f;
  p = p * f + 5.5504109e-2f;
  p = p * f + 2.4022651e-1f;
  p = p * f + 6.9314718e-1f;
  return p * f;
}

static inline float exp2_(float y) {
  float power, p = power_parts(fmaxf(y, -126.0f), &power);
  return power + power * p;
}

static inline float exp_(float x) { return exp2_(x * LOG2E); }

static inline float expm1_(float x) {
  float power, p = power_parts(fmaxf(x * LOG2E, -126.0f), &power);
  return power * p + (power - 1.0f);
}

static inline float log_(float x) { /* Cephes logf */
  int32_t bits = as_int(x), e = (bits - 0x3f3504f3) >> 23;
  float f = as_float(bits - (e << 23)) - 1.0f, z = f * f;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  return p * f * z - 0.5f * z + f + (float)e * LN2;
}

static inline float erf_(float x) { /* the rational function of Eigen */
  x = fminf(fmaxf(x, -4.0f), 4.0f);
  float s = x * x, p = -2.72614225801306e-10f, q = -1.45660718464996e-05f;
  p = p * s + 2.77068142495902e-08f;
  p = p * s - 2.10102402082508e-06f;
  p = p * s - 5.69250639462346e-05f;
  p = p * s - 7.34990630326855e-04f;
  p = p * s - 2.95459980854025e-03f;
  p = p * s - 1.60960333262415e-02f;
  q = q * s - 2.13374055278905e-04f;
  q = q * s - 1.68282697438203e-03f;
  q = q * s - 7.37332916720468e-03f;
  q = q * s - 1.42647390514189e-02f;
  return x * p / q;
}

static inline float normal_(uint32_t bits) { /* Giles 2010, the tail from the integer */
  int upper = (int32_t)bits < 0;
  int32_t least = (int32_t)(upper ? ~bits : bits);
  float t = ((float)least + 0.5f) * 0x1p-32f, x = 1.0f - 2.0f * t;
  float w = -log_(4.0f * t * (1.0f - t)), c = w - 2.5f, d = sqrtf(fmaxf(w, 0.0f)) - 3.0f;
  float p = 2.81022636e-08f, q = -0.000200214257f;
  p = p * c + 3.43273939e-07f;
  p = p * c - 3.5233877e-06f;
  p = p * c - 4.39150654e-06f;
  p = p * c + 0.00021858087f;
  p = p * c - 0.00125372503f;
  p = p * c - 0.00417768164f;
  p = p * c + 0.246640727f;
  p = p * c + 1.50140941f;
  q = q * d + 0.000100950558f;
  q = q * d + 0.00134934322f;
  q = q * d - 0.00367342844f;
  q = q * d + 0.00573950773f;
  q = q * d - 0.0076224613f;
  q = q * d + 0.00943887047f;
  q = q * d + 1.00167406f;
  q = q * d + 2.83297682f;
  float z = 1.41421356237f * x * (w < 5.0f ? p : q);
  return upper ? z : -z;
}

/* The Sobol' points of one block of W draws, ever one block further. */
struct walk { uint32_t lane[INPUTS + 2][W] __attribute__((aligned(64))), base[INPUTS + 2], flip[INPUTS + 2][32], block; };

static void start(struct walk *walk, const struct problem *p, int count) {
  int low = __builtin_ctz(W);
  walk->block = 0;
  for (int j = 0; j < count; j++) {
    const uint32_t *d = p->directions + 32 * p->column[j];
    walk->base[j] = p->shift[p->column[j]];
    for (int i = 0; i < W; i++) {
      walk->lane[j][i] = 0;
      for (int b = 0; b < low; b++) if (i >> b & 1) walk->lane[j][i] ^= d[b];
    }
    uint32_t all = 0;
    for (int b = 0; b + low < 32; b++) walk->flip[j][b] = all ^= d[low + b];
  }
}

static void inputs(const struct walk *walk, const struct problem *p, lanes *x) {
  for (int j = 0; j < INPUTS; j++) {
    const uint32_t base = walk->base[j], *lane = walk->lane[j];
    const float location = p->location[j], scale = p->scale[j];
    if (p->is_log[j]) LANES x[j][i] = exp_(location + scale * normal_(base ^ lane[i]));
    else LANES x[j][i] = location + scale * normal_(base ^ lane[i]);
  }
}

static void step(struct walk *walk, int count) {
  int turned = __builtin_ctz(++walk->block);
  for (int j = 0; j < count; j++) walk->base[j] ^= walk->flip[j][turned];
}

/* slope t + amplitude expm1(rate t): growth from now on. */
struct growth { lanes slope, amplitude, rate; };

static inline void growth_of(struct growth *g, const lanes now, const lanes later, const lanes half_life, float unit) {
  LANES {
    float rate = -LN2 / half_life[i], slope = LOG10_2 / later[i];
    g->rate[i] = rate;
    g->slope[i] = unit * slope;
    g->amplitude[i] = unit * (LOG10_2 / now[i] - slope) / rate;
  }
}

static inline float grown(const struct growth *g, float t, int i) {
  return g->slope[i] * t + g->amplitude[i] * expm1_(g->rate[i] * t);
}

/* What a block of draws needs at every year. Paths are in log2 of FLOP to the power s. */
struct world {
  lanes level, below_price, below_ceiling, limit[4], limit_slope[4], since[2][2], cap[2], product_slope, product_excess;
  struct growth algorithms, post, compute, price;
  float rate;
};

static void world_of(struct world *w, const struct problem *p, const lanes *x) {
  w->rate = p->sharpness * 2.302585093f;
  const float unit = w->rate * LOG2E;
  growth_of(&w->algorithms, x[ALGORITHMS], x[ALGORITHMS + 1], x[ALGORITHMS + 2], unit);
  growth_of(&w->post, x[POST], x[POST + 1], x[POST + 2], unit);
  growth_of(&w->compute, x[COMPUTE + 1], x[COMPUTE + 2], x[COMPUTE + 3], unit);
  growth_of(&w->price, x[PRICE + 1], x[PRICE + 2], x[PRICE + 3], unit);
  LANES {
    float money = p->product_level + LOG10_2 / x[PRODUCT][i] * p->product_age + x[SHARE][i];
    w->below_price[i] = unit * (money + x[PRICE][i]);
    w->below_ceiling[i] = unit * (money + x[CEILING][i]);
    w->level[i] = unit * x[COMPUTE][i];
    w->product_slope[i] = unit * LOG10_2 / x[PRODUCT + 1][i];
    w->product_excess[i] = unit * LOG10_2 / x[PRODUCT][i] - w->product_slope[i];
    w->cap[0][i] = unit * x[ALGORITHMS + 3][i];
    w->cap[1][i] = unit * x[POST + 3][i];
  }
  for (int q = 0; q < 2; q++) LANES {
    w->since[q][0][i] = unit * LOG10_2 / x[ALGORITHMS][i] * p->since[q];
    w->since[q][1][i] = unit * LOG10_2 / x[POST][i] * p->since[q];
  }
  for (int q = 0; q < 4; q++) LANES {
    float slope = unit * LOG10_2 / x[LIMIT + 2 * q + 1][i];
    w->limit_slope[q][i] = slope;
    w->limit[q][i] = unit * x[LIMIT + 2 * q][i] - slope * p->limit_years;
  }
}

/* Effective compute of lane i at t; slowed: the product's, of t; both: for both kinds of algorithms, else the first. */
static inline void paths(const struct world *w, float t, float slowed, int i, const int both, float *first, float *second) {
  const float rate = w->rate;
  float richer = w->product_slope[i] * t + w->product_excess[i] * slowed;
  float a = w->level[i] + grown(&w->compute, t, i);
  float b = w->below_price[i] + richer + grown(&w->price, t, i), c = w->below_ceiling[i] + richer;
  float d = w->limit[0][i] + w->limit_slope[0][i] * t, e = w->limit[1][i] + w->limit_slope[1][i] * t;
  float f = w->limit[2][i] + w->limit_slope[2][i] * t, g = w->limit[3][i] + w->limit_slope[3][i] * t;
  float least = fminf(fminf(fminf(a, b), fminf(c, d)), fminf(fminf(e, f), g));
  float made = grown(&w->algorithms, t, i), trained = grown(&w->post, t, i), found[2] = {0};
  float excess = exp2_(least - a) + exp2_(least - b) + exp2_(least - c) + exp2_(least - d) +
                 exp2_(least - e) + exp2_(least - f) + exp2_(least - g);
  for (int q = 0; q < 1 + both; q++) {
    float y = w->since[q][0][i] + made, z = w->since[q][1][i] + trained;
    float capped = (1.0f + exp2_(-fabsf(y - w->cap[0][i]))) * (1.0f + exp2_(-fabsf(z - w->cap[1][i])));
    float sum_of_least = least + fminf(y, w->cap[0][i]) + fminf(z, w->cap[1][i]);
    found[q] = (sum_of_least - log_(excess * capped) * LOG2E) * (LN2 / rate);
  }
  *first = found[0];
  *second = found[1];
}

/* Sum over draws of P(reached by each year), (node,). count: a multiple of 64 W. */
void smooth(const struct problem *p, size_t count, double *out) {
  static struct walk walk;
  static struct world world;
  static lanes sum[MOST_NODES];
  lanes x[INPUTS], effective[2];
  const float slowing = -LN2 / p->product_half_life; /* the same for all draws */
  float slowed[MOST_NODES];
  start(&walk, p, INPUTS);
  for (int k = 0; k < p->nodes; k++) {
    slowed[k] = expm1f(slowing * p->year[k]) / slowing;
    out[k] = 0;
    LANES sum[k][i] = 0;
  }
  for (size_t block = 0; block < count / W; block++) {
    inputs(&walk, p, x);
    step(&walk, INPUTS);
    world_of(&world, p, x);
    for (int k = 0; k < p->nodes; k++) {
      const float t = p->year[k], slow = slowed[k];
      LANES paths(&world, t, slow, i, 1, &effective[0][i], &effective[1][i]);
      for (int m = 0; m < p->components; m++) {
        const float middle = p->middle[m], below = p->below[m], above = p->above[m], half = 0.5f * p->weight[m];
        const float *own = effective[p->path[m]];
        LANES {
          float distance = own[i] - middle;
          sum[k][i] += half + half * erf_(distance * (distance < 0 ? below : above));
        }
      }
    }
    if (block % 64 == 63)
      for (int k = 0; k < p->nodes; k++) {
        float total = 0;
        _Pragma("omp simd reduction(+ : total)") for (int i = 0; i < W; i++) total += sum[k][i];
        out[k] += total;
        LANES sum[k][i] = 0;
      }
  }
}

/* Draws that arrive in each year, found by bisection, and those that never do, (node + 1,). Two more
   inputs draw the component of the requirement and its quantile; years are one apart from the second. */
void arrivals(const struct problem *p, size_t count, int64_t *out) {
  static struct walk walk;
  static struct world world;
  lanes x[INPUTS], required;
  int32_t before[W];
  const float slowing = -LN2 / p->product_half_life, back = 1.0f / slowing, next = p->year[1];
  int most = 1;
  while (2 * most <= p->nodes) most *= 2;
  start(&walk, p, INPUTS + 2);
  memset(out, 0, (size_t)(p->nodes + 1) * sizeof *out);
  for (size_t block = 0; block < count / W; block++) {
    inputs(&walk, p, x);
    world_of(&world, p, x);
    const uint32_t *choice = walk.lane[INPUTS], *quantile = walk.lane[INPUTS + 1];
    const uint32_t of_choice = walk.base[INPUTS], of_quantile = walk.base[INPUTS + 1];
    LANES {
      float u = ((float)(of_choice ^ choice[i]) + 0.5f) * 0x1p-32f, z = normal_(of_quantile ^ quantile[i]);
      float bound = 0.0f, r = 1e30f;
      int32_t own = 0;
      for (int m = 0; m < p->components; m++) {
        float spread = 0.70710678f / (z < 0 ? p->below[m] : p->above[m]);
        int mine = u >= bound && u < bound + p->weight[m];
        r = mine ? p->middle[m] + spread * z : r;
        own = mine ? p->path[m] : own;
        bound += p->weight[m];
      }
      required[i] = r;
      for (int j = 0; j < 2; j++) world.since[0][j][i] = own ? world.since[1][j][i] : world.since[0][j][i];
      before[i] = 0;
    }
    step(&walk, INPUTS + 2);
    for (int ahead = most; ahead; ahead /= 2) LANES {
      int32_t k = before[i] + ahead - 1;
      float t = k == 0 ? 0.0f : next + (float)(k - 1), own, none;
      paths(&world, t, expm1_(slowing * t) * back, i, 0, &own, &none);
      int waits = k < p->nodes && own < required[i];
      before[i] += waits ? ahead : 0;
    }
    for (int i = 0; i < W; i++) out[before[i]]++;
  }
}

/* What the core could do: multiply-adds in registers [1/ns], and memory read and written [byte/ns]. */
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

#if defined(__AVX512F__)
#define VECTOR 16
#elif defined(__AVX__)
#define VECTOR 8
#else
#define VECTOR 4
#endif

double multiply_adds_per_ns(void) {
  enum { CHAINS = 12, ROUNDS = 1000000 }; /* more than latency x units, fewer than registers */
  typedef float wide __attribute__((vector_size(4 * VECTOR)));
  wide a[CHAINS], factor = (wide){0} + 0.9999f, term = (wide){0} + 1e-4f;
  for (int c = 0; c < CHAINS; c++) a[c] = (wide){0} + (float)c;
  double begin = now();
  for (int r = 0; r < ROUNDS; r++) {
#define STEP(c) a[c] = a[c] * factor + term;
    STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11)
  }
  double took = now() - begin;
  volatile float kept = 0;
  for (int c = 0; c < CHAINS; c++) kept += a[c][0];
  return (double)CHAINS * ROUNDS * VECTOR / took;
}

double bytes_per_ns(float *to, const float *from, size_t count) {
  double begin = now();
  for (size_t i = 0; i < count; i++) to[i] = 3.0f * from[i] + to[i];
  return 12.0 * (double)count / (now() - begin);
}
