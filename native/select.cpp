// A bracket is drawn round each column's wanted value, from a sample, and narrowed by counting, in
// all columns of a strip at once, what is above a few thresholds in it. The few values that are
// left in the bracket are collected and one of them is the answer: always the exact one, the sample
// decides only how many are left.
#include "select.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "bits.h"
#include "buffer.h"
#include "kernels.h"
#include "threads.h"

namespace colxtr {

namespace {

constexpr std::size_t SAMPLE = 1024;      // rows
constexpr std::size_t SAMPLE_ROUNDS = 4;  // a bracket shrinks to a seventh in each
constexpr std::size_t FEW = 1024;         // values that are collected rather than narrowed down
constexpr std::size_t ROUNDS = 8;         // after which all that is left is collected
constexpr std::size_t ROWS_PER_PIECE = 4096;
constexpr float LARGEST = std::numeric_limits<float>::max();
constexpr float NONE = -std::numeric_limits<float>::infinity();

using Lanes = float[STRIP];
using Counts = std::uint32_t[STRIP];

// At least `rank` values are above `low`, fewer above `high`: the wanted one is in between, or
// equal to `high`.
struct Bracket {
    float low = -LARGEST, high = LARGEST;
    std::size_t rank = 0, above_low = 0, above_high = 0;

    // Takes in that `above` values are above `threshold`.
    void learn(float threshold, std::size_t above) {
        if (above >= rank) {
            if (threshold >= low) low = threshold, above_low = above;
        } else if (threshold <= high) {
            high = threshold, above_high = above;
        }
    }
};

using Brackets = std::array<Bracket, STRIP>;

// STRIP columns of the matrix.
class Strip {
 public:
    Strip(const std::vector<Rows>& parts, std::size_t stride, std::size_t first,
          std::size_t threads)
        : stride_(stride), threads_(threads) {
        for (const Rows& part : parts)
            for (std::size_t row = 0; row < part.count; row += ROWS_PER_PIECE)
                pieces_.push_back({part.values + row * stride + first,
                                   std::min(ROWS_PER_PIECE, part.count - row)});
    }

    // Counts the values above FLOORS thresholds a column and narrows the brackets.
    void narrow(const Lanes (&floors)[FLOORS], Brackets& brackets) const {
        std::vector<Buffer<std::uint32_t>> counts;
        for (std::size_t t = 0; t < std::min(threads_, pieces_.size()); ++t)
            counts.emplace_back(FLOORS * STRIP);
        run(pieces_.size(), counts.size(), [&](std::size_t piece, std::size_t thread) {
            kernels().count_above(pieces_[piece].values, pieces_[piece].count, stride_, floors,
                                  reinterpret_cast<Counts*>(counts[thread].data()));
        });
        for (std::size_t f = 0; f < FLOORS; ++f)
            for (std::size_t lane = 0; lane < STRIP; ++lane) {
                std::size_t above = 0;
                for (const auto& each : counts) above += each[f * STRIP + lane];
                brackets[lane].learn(floors[f][lane], above);
            }
    }

    // All values in the brackets, column by column.
    std::array<std::vector<float>, STRIP> inside(const Brackets& brackets) const {
        Lanes low, high;
        for (std::size_t lane = 0; lane < STRIP; ++lane) {
            low[lane] = brackets[lane].rank ? brackets[lane].low : LARGEST;
            high[lane] = brackets[lane].high;
        }
        std::array<std::vector<float>, STRIP> found;
        for (const Rows& piece : pieces_)
            for (std::size_t row = 0; row < piece.count; ++row) {
                std::uint32_t lanes = 0;
                row += kernels().find_between(piece.values + row * stride_, piece.count - row,
                                              stride_, low, high, &lanes);
                for (; lanes; lanes &= lanes - 1) {
                    const std::size_t lane = lowest_bit(lanes);
                    found[lane].push_back(piece.values[row * stride_ + lane]);
                }
            }
        return found;
    }

    // Rows at even distances: (SAMPLE, STRIP).
    Buffer<float> sample(std::size_t n_rows) const {
        Buffer<float> rows(SAMPLE * STRIP);
        std::size_t taken = 0, passed = 0;
        for (const Rows& piece : pieces_) {
            for (; taken < SAMPLE; ++taken) {
                const std::size_t row = taken * n_rows / SAMPLE;
                if (row >= passed + piece.count) break;
                std::copy_n(piece.values + (row - passed) * stride_, STRIP,
                            rows.data() + taken * STRIP);
            }
            passed += piece.count;
        }
        return rows;
    }

 private:
    std::size_t stride_, threads_;
    std::vector<Rows> pieces_;
};

void spread(const Brackets& brackets, bool ends, Lanes (&floors)[FLOORS]) {
    for (std::size_t lane = 0; lane < STRIP; ++lane)
        for (std::size_t f = 0; f < FLOORS; ++f) {
            const float share = ends ? static_cast<float>(f) / (FLOORS - 1)
                                     : static_cast<float>(f + 1) / (FLOORS + 1);
            // Not high - low: that may be infinite.
            floors[f][lane] = brackets[lane].low * (1 - share) + brackets[lane].high * share;
        }
}

// Brackets from a sample of the rows, wide enough for nearly all columns.
void estimate(const Strip& whole, std::size_t n_rows, Brackets& brackets) {
    const Buffer<float> rows = whole.sample(n_rows);
    const Strip sample({{rows.data(), SAMPLE}}, STRIP, 0, 1);
    Brackets lower, upper;
    for (std::size_t lane = 0; lane < STRIP; ++lane) {
        float least = LARGEST, most = -LARGEST;
        for (std::size_t row = 0; row < SAMPLE; ++row) {
            const float value = rows[row * STRIP + lane];
            if (value > NONE) least = std::min(least, value), most = std::max(most, value);
        }
        const double share = static_cast<double>(brackets[lane].rank) / static_cast<double>(n_rows);
        const double rank = share * SAMPLE;
        const double margin = 4 * std::sqrt(rank * (1 - share)) + 2;  // four standard deviations
        lower[lane].rank = static_cast<std::size_t>(std::min<double>(SAMPLE, rank + margin));
        upper[lane].rank = static_cast<std::size_t>(std::max(1.0, rank - margin));
        lower[lane].low = upper[lane].low = least - (most - least) * 1e-3f;
        lower[lane].high = upper[lane].high = most;
    }
    Lanes floors[FLOORS];
    for (std::size_t round = 0; round < SAMPLE_ROUNDS; ++round)
        for (Brackets* each : {&lower, &upper}) {
            spread(*each, false, floors);
            sample.narrow(floors, *each);
        }
    for (std::size_t lane = 0; lane < STRIP; ++lane) {
        brackets[lane].low = lower[lane].low;
        brackets[lane].high = upper[lane].high;
    }
}

}  // namespace

void kth_largest(const std::vector<Rows>& parts, std::size_t stride,
                 const std::vector<std::size_t>& ranks, std::size_t threads, float* values) {
    std::size_t n_rows = 0;
    for (const Rows& part : parts) n_rows += part.count;
    for (std::size_t first = 0; first < stride; first += STRIP) {
        const Strip strip(parts, stride, first, threads);
        Brackets brackets;
        for (std::size_t lane = 0; lane < STRIP && first + lane < ranks.size(); ++lane)
            brackets[lane].rank = ranks[first + lane];
        if (n_rows > 4 * SAMPLE) {
            Brackets estimated = brackets;
            estimate(strip, n_rows, estimated);
            Lanes floors[FLOORS];
            spread(estimated, true, floors);
            strip.narrow(floors, brackets);
            for (std::size_t round = 1; round < ROUNDS; ++round) {
                std::size_t most = 0;
                for (const Bracket& b : brackets)
                    if (b.rank && b.low > -LARGEST && b.high < LARGEST)
                        most = std::max(most, b.above_low - b.above_high);
                if (most <= FEW) break;
                spread(brackets, false, floors);
                strip.narrow(floors, brackets);
            }
        }
        std::array<std::vector<float>, STRIP> inside = strip.inside(brackets);
        for (std::size_t lane = 0; lane < STRIP && first + lane < ranks.size(); ++lane) {
            const Bracket& b = brackets[lane];
            float& value = values[first + lane];
            value = NONE;
            if (b.rank == 0) continue;
            std::vector<float>& found = inside[lane];
            if (found.empty()) continue;
            const std::size_t place = std::min(b.rank - b.above_high, found.size()) - 1;
            const auto wanted = found.begin() + static_cast<std::ptrdiff_t>(place);
            std::nth_element(found.begin(), wanted, found.end(), std::greater<float>());
            value = *wanted;
        }
    }
}

}  // namespace colxtr
