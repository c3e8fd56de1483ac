// The inner loops, as one table of functions per instruction set.
//
// A table knows pointers and sizes, nothing of codecs, segments or queries. Shapes are checked
// by the callers (bindings.cpp); nothing here allocates, throws or touches the C++ library, so
// that no code compiled for a newer machine can be linked into the rest.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#define COLXTR_X86
#elif defined(__aarch64__) || defined(_M_ARM64)
#define COLXTR_NEON
#endif

namespace colxtr {

// Vectors that are multiplied many times are kept in panels of PANEL columns:
// panels[p][d][column], columns beyond the last one zero.
constexpr std::size_t PANEL = 32;

// The tokens of a query, in eight bits, are kept in strips of STRIP columns: strips[s][d /
// 4][column] [d % 4]. Rows of similarities have a value for each column of all strips.
constexpr std::size_t STRIP = 16;

// Callers give room for, and may let `multiply` read, rows up to the next multiple of ROWS.
constexpr std::size_t ROWS = 8;

// Thresholds that `count_above` compares with at a time.
constexpr std::size_t FLOORS = 6;

// Rows of small integers and how their products with a query become similarities.
struct ScoredRows {
    const std::int8_t* const* values =
        nullptr;  // (n_rows), each (dim); not read if there are codes
    // (n_rows), each of dim / width bytes, 8 or more, of a trellis; null for none.
    const std::uint8_t* const* codes = nullptr;
    const std::int8_t* codebook = nullptr;  // of the codes
    std::size_t width = 0;                  // of a codeword: 4 or 8
    const float* gains = nullptr;           // (n_rows)
    const float* weights = nullptr;         // (n_rows); not read without bases
    const float* const* bases = nullptr;    // (n_rows), each with stride values; null for none
};

// The codewords of a codebook in the order in which `search_trellis` meets them. The codeword of a
// byte is chosen by 12 bits: its own and, below them, the upper four of the byte before, the state.
struct Trellis {
    static constexpr std::size_t STATES = 16;
    static constexpr std::size_t TOKENS = 4;         // that are searched at a time
    static constexpr std::size_t MOST_GROUPS = 512;  // of a token, with a byte and a codeword each
    // Groups to each side of the seam that settle in which state a token begins and ends.
    static constexpr std::size_t WINDOW = 8;
    static constexpr int STEPS = 8;    // of a shape's coordinates to one of a codeword's,
    static constexpr int MOST = 2047;  // and as many at the most

    // (state before, low four bits of the byte, state after): 256 * STEPS / 2 * the codeword's
    // square + the state before << 4 | the low four bits.
    const std::int32_t* bases = nullptr;
    // (state before, low four bits of the byte, pair, state after, 2): 256 / 2 ** 4 times the
    // coordinates of the codewords, in pairs.
    const std::int16_t* values = nullptr;
    std::size_t n_pairs = 0;  // 1, 2 or 4
};

// The running best of one row, a candidate per column of a panel; the winner is found at the end.
struct Best {
    float score[PANEL];
    std::uint32_t column[PANEL];
};

struct Kernels {
    const char* name;

    // products[row * stride + column] = <rows[row], column of the panels>; stride = n_panels *
    // PANEL. rows: (n_rows, dim), readable and writable up to the next multiple of ROWS.
    void (*multiply)(const float* rows, std::size_t n_rows, std::size_t dim, const float* panels,
                     std::size_t n_panels, float* products);

    // Lets each row keep what is best among `n_columns` more: best[which[i]] against the products
    // of rows[which[i]] (dim values each) with the columns of the panels, which are called
    // first_column, first_column + 1 and so on.
    void (*improve)(const float* rows, const std::uint32_t* which, std::size_t n_rows,
                    std::size_t dim, const float* panels, std::size_t n_columns,
                    std::uint32_t first_column, Best* best);

    // scores[row * stride + lane] = weights[row] * bases[row][lane]
    //                             + gains[row] * <rows[row], column `lane`>, stride = n_strips *
    // STRIP. rows: (n_rows, dim), dim a multiple of 4. The products are exact integers, and what
    // follows is rounded alike everywhere: all instruction sets give the same bits. `scores` is
    // writable, all else readable, up to the next multiple of ROWS.
    void (*score)(const ScoredRows& rows, std::size_t n_rows, std::size_t dim,
                  const std::int8_t* strips, std::size_t n_strips, float* scores);

    // The first row with a value above that lane's floor and not above its ceiling, or n_rows;
    // `lanes` has a bit for each such lane. rows: STRIP values at rows + row * stride.
    std::size_t (*find_between)(const float* rows, std::size_t n_rows, std::size_t stride,
                                const float* floors, const float* ceilings, std::uint32_t* lanes);

    // counts[f][lane] += rows whose value is above floors[f][lane], for FLOORS floors; rows as
    // above.
    void (*count_above)(const float* rows, std::size_t n_rows, std::size_t stride,
                        const float (*floors)[STRIP], std::uint32_t (*counts)[STRIP]);

    // into[row] = the sum of rows[row][d] * matrix[d] over d, added in this order; matrix: (dim,
    // dim), dim a multiple of 8.
    void (*transform)(const float* rows, std::size_t n_rows, std::size_t dim, const float* matrix,
                      float* into);

    // sums[row] = sum over lanes of weights[lane] * max(rows[row][lane], floors[lane]), added in
    // one order everywhere; stride is a multiple of STRIP.
    void (*sum_maxima)(const float* rows, std::size_t n_rows, std::size_t stride,
                       const float* floors, const float* weights, float* sums);

    // codes[token][group]: bytes that begin in the state in which they end, the best by WINDOW, and
    // whose codewords y are then the nearest to a shape x, by the sum of 4 y^2 - x y; of equals, at
    // the last group that differs, the lowest state before, then the lowest low bits. shapes:
    // (TOKENS, n_groups, 2 * n_pairs), -16 times x.
    void (*search_trellis)(const Trellis& trellis, const std::int16_t* shapes, std::size_t n_groups,
                           std::uint8_t* codes);

    // into[row][i] = max(into[row][i], rows[row * stride + i]), row by row; stride is a multiple of
    // STRIP.
    void (*maxima)(const float* rows, std::size_t n_rows, std::size_t stride, float* const* into);

    // into[row][lane] = rows[row][lane] * factors[lane], rounded to the nearest integer, equally
    // near ones to the even, not below 1 and not above 255; stride is a multiple of STRIP, here and
    // below.
    void (*to_levels)(const float* rows, std::size_t n_rows, std::size_t stride,
                      const float* factors, std::uint8_t* into);

    // Raises rows[ordinal - first] to at least `levels`, (stride), for the ordinals at `begin` and
    // after it, which are packed integers of `width` bits, up to `end` or the first one that is not
    // in first .. first + n_rows - 1, differences modulo 2^64; returns where it stopped. Appends
    // the numbers of the rows that began with 0 to touched[0 .. *n_touched - 1], which has room for
    // n_rows + 1. No level is 0.
    std::size_t (*raise_levels)(const std::uint8_t* ordinals, unsigned width, std::size_t begin,
                                std::size_t end, std::uint64_t first, std::uint64_t n_rows,
                                const std::uint8_t* levels, std::size_t stride, std::uint8_t* rows,
                                std::uint32_t* touched, std::size_t* n_touched);

    // sums[i] = 1 + the sum over lanes of what rows[which[i]][lane] has above floors[lane].
    void (*sum_levels)(const std::uint8_t* rows, const std::uint32_t* which, std::size_t n,
                       std::size_t stride, const std::uint8_t* floors, std::uint32_t* sums);

    // Which of the rows, each (stride), come in some lane within margins[lane] of the largest level
    // that any row has there, and to at least least[lane]: their numbers, ascending; returns how
    // many. `largest`: room for stride levels.
    std::size_t (*find_near)(const std::uint8_t* const* rows, std::size_t n_rows,
                             std::size_t stride, const std::uint8_t* margins,
                             const std::uint8_t* least, std::uint8_t* largest,
                             std::uint32_t* found);

    // IEEE half precision to single; n is a multiple of 8, `from` aligned to 2.
    void (*half_to_float)(const std::uint16_t* from, std::size_t n, float* into);
};

// The table in use: the newest instruction set of this machine, unless one was chosen.
const Kernels& kernels();

// Names of the instruction sets that this machine runs, the slowest first.
std::size_t available(const char** names, std::size_t room);

// False if the machine does not run it.
bool use(const char* name);

}  // namespace colxtr
