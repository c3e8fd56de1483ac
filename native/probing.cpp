#include "probing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "bits.h"
#include "kernels.h"
#include "rows.h"
#include "threads.h"

namespace colxtr {

namespace {

// docs/log.md, "Groups of centroids", has what these were chosen by.
constexpr float SHARE = 0.01f;              // of the groups, that a token looks into
constexpr float SHARE_PER_PROBE = 0.0025f;  // more of them for each probe
constexpr float SHARE_OF_MANY = 0.03f;      // for as many probes as need more, and all above
constexpr std::size_t PER_PROBE = 16;       // centroids at the least that it then meets, for each
constexpr float MOST_SHARE = 0.25f;  // beyond it all are met without groups, and for more tokens
constexpr std::size_t MOST_TOKENS = 1024;
// A group is judged by the product with its centre, and by so many times what products with its
// centroids spread about that.
constexpr float SPREAD_WEIGHT = 1.5f;

constexpr std::size_t CENTRES = 512;  // multiplied together
constexpr std::size_t PIECE = 64;     // groups that a thread looks into before it takes others
constexpr std::size_t STEPS = 256;    // by which estimates are told apart

std::size_t visited(std::size_t n_groups, std::size_t n_centroids, std::size_t n_probe) {
    const double share = std::min(SHARE_OF_MANY, SHARE + SHARE_PER_PROBE * n_probe);
    const double wanted = PER_PROBE * static_cast<double>(n_probe) / n_centroids;
    return static_cast<std::size_t>(std::ceil(n_groups * std::max(share, wanted)));
}

// What the best centroid of each group may have as a product with each token: (size, stride).
Buffer<float> estimate(const ProbeGroups& groups, const ProbingTokens& tokens,
                       std::size_t threads) {
    Buffer<float> estimates(up_to_tile(groups.size()) * tokens.stride);
    std::vector<float> spread(tokens.stride);
    const float weight = SPREAD_WEIGHT / std::sqrt(static_cast<float>(tokens.dim));
    for (std::size_t i = 0; i < tokens.stride; ++i) spread[i] = weight * tokens.lengths[i];
    run((groups.size() + CENTRES - 1) / CENTRES, threads, [&](std::size_t piece, std::size_t) {
        const std::int8_t* values[CENTRES];
        const float* bases[CENTRES];
        float gains[CENTRES], weights[CENTRES];
        const std::size_t first = piece * CENTRES, count = std::min(CENTRES, groups.size() - first);
        for (std::size_t r = 0; r < up_to_tile(count); ++r) {
            const std::size_t group = first + std::min(r, count - 1);
            values[r] = groups.centres() + group * tokens.dim;
            gains[r] = groups.centre_scales()[group];
            weights[r] = groups.spreads()[group];
            bases[r] = spread.data();
        }
        ScoredRows rows;
        rows.values = values;
        rows.gains = gains;
        rows.weights = weights;
        rows.bases = bases;
        kernels().score(rows, count, tokens.dim, tokens.strips, tokens.stride / STRIP,
                        estimates.data() + first * tokens.stride);
    });
    return estimates;
}

// For each token, (stride), an estimate that about `wanted` groups exceed, and no fewer.
std::vector<float> least_estimates(const Buffer<float>& estimates, std::size_t n_groups,
                                   const ProbingTokens& tokens, std::size_t wanted) {
    const std::size_t stride = tokens.stride;
    Buffer<float> factors(stride);  // from estimates to steps of a 255th of the token's length
    for (std::size_t i = 0; i < tokens.count; ++i)
        if (tokens.lengths[i] > 0) factors[i] = (STEPS - 1) / tokens.lengths[i];
    std::vector<std::uint8_t> steps(n_groups * stride);
    kernels().to_levels(estimates.data(), n_groups, stride, factors.data(), steps.data());
    std::vector<std::array<std::uint32_t, STEPS>> with(stride);
    for (std::size_t g = 0; g < n_groups; ++g)
        for (std::size_t i = 0; i < stride; ++i) ++with[i][steps[g * stride + i]];
    std::vector<float> least(stride, std::numeric_limits<float>::infinity());
    for (std::size_t i = 0; i < tokens.count; ++i) {
        if (factors[i] <= 0) continue;
        std::size_t step = STEPS, count = 0;
        while (step > 1 && count < wanted) count += with[i][--step];
        least[i] = (static_cast<float>(step) - 0.5f) / factors[i];
    }
    return least;
}

// What one thread meets.
class Prober {
 public:
    Prober(const ProbeGroups& groups, const ProbingTokens& tokens, std::size_t n_probe)
        : groups_(groups),
          tokens_(tokens),
          nearest_(tokens.count, Top(n_probe)),
          floors_(tokens.count * STRIP, -std::numeric_limits<float>::infinity()),
          products_(up_to_tile(tokens.count) * groups.most_strips() * STRIP),
          gains_(up_to_tile(tokens.count), 1.0f) {}

    // Lets the tokens meet the centroids of those groups of which their estimates exceed the least.
    // What is read of a group is asked for while the one before it is met.
    void visit(std::size_t first, std::size_t end, const float* estimates, const float* least) {
        find_visitors(first, end, estimates, least);
        std::size_t next = first;
        const auto step = [&] {
            while (next < end && !has_visitors(next - first)) ++next;
            if (next < end) ask_for(groups_[next]);
        };
        step();
        while (next < end) {
            const std::size_t group = next++;
            step();
            meet(groups_[group], lanes_.data() + (group - first) * n_strips());
        }
    }

    std::vector<Top>& nearest() { return nearest_; }

 private:
    std::size_t n_strips() const { return tokens_.stride / STRIP; }

    void find_visitors(std::size_t first, std::size_t end, const float* estimates,
                       const float* least) {
        lanes_.assign((end - first) * n_strips(), 0);
        for (std::size_t strip = 0; strip < n_strips(); ++strip)
            for (std::size_t g = first; g < end; ++g) {
                std::uint32_t lanes = 0;
                g += find_above(estimates + g * tokens_.stride + strip * STRIP, end - g,
                                tokens_.stride, least + strip * STRIP, &lanes);
                if (lanes) lanes_[(g - first) * n_strips() + strip] = lanes;
            }
    }

    bool has_visitors(std::size_t group) const {
        const std::uint32_t* lanes = lanes_.data() + group * n_strips();
        return std::any_of(lanes, lanes + n_strips(), [](std::uint32_t each) { return each; });
    }

    COLXTR_PREFETCH void ask_for(const ProbeGroups::Group& group) const {
        const std::size_t size = group.n_strips * STRIP * tokens_.dim;
        for (std::size_t byte = 0; byte < size; byte += 64) prefetch_line(group.strips + byte);
    }

    void meet(const ProbeGroups::Group& group, const std::uint32_t* lanes_of_strips) {
        visitors_.clear();
        rows_.clear();
        for (std::size_t strip = 0; strip < n_strips(); ++strip)
            for (std::uint32_t lanes = lanes_of_strips[strip]; lanes; lanes &= lanes - 1) {
                visitors_.push_back(strip * STRIP + lowest_bit(lanes));
                rows_.push_back(tokens_.rows + visitors_.back() * tokens_.dim);
            }
        const std::int8_t* last = rows_.back();
        rows_.resize(up_to_tile(rows_.size()), last);
        ScoredRows rows;
        rows.values = rows_.data();
        rows.gains = gains_.data();
        kernels().score(rows, visitors_.size(), tokens_.dim, group.strips, group.n_strips,
                        products_.data());
        for (std::size_t v = 0; v < visitors_.size(); ++v)
            offer(visitors_[v], group, products_.data() + v * group.n_strips * STRIP);
    }

    void offer(std::size_t token, const ProbeGroups::Group& group, float* products) {
        for (std::size_t i = 0; i < group.n_strips * STRIP; ++i) products[i] *= group.scales[i];
        Top& nearest = nearest_[token];
        float* floor = floors_.data() + token * STRIP;
        for (std::size_t s = 0; s < group.n_strips; ++s) {
            std::uint32_t lanes = 0;
            s += find_above(products + s * STRIP, group.n_strips - s, STRIP, floor, &lanes);
            if (!lanes) return;
            for (; lanes; lanes &= lanes - 1) {
                const std::size_t column = s * STRIP + lowest_bit(lanes);
                if (column < group.count) nearest.offer({products[column], group.numbers[column]});
            }
            // Equals are offered too: the lower number comes in.
            std::fill_n(floor, STRIP,
                        std::nextafter(nearest.floor(), -std::numeric_limits<float>::infinity()));
        }
    }

    const ProbeGroups& groups_;
    const ProbingTokens& tokens_;
    std::vector<Top> nearest_;
    std::vector<float> floors_;  // (count, STRIP): the same for all columns
    Buffer<float> products_;
    std::vector<float> gains_;
    std::vector<std::uint32_t> lanes_;  // of the tokens that visit each of some groups, by strips
    std::vector<std::size_t> visitors_;
    std::vector<const std::int8_t*> rows_;
};

}  // namespace

bool groups_help(std::size_t n_groups, std::size_t n_tokens, std::size_t n_centroids,
                 std::size_t n_probe) {
    return n_tokens <= MOST_TOKENS && static_cast<float>(visited(n_groups, n_centroids, n_probe)) <
                                          MOST_SHARE * static_cast<float>(n_groups);
}

std::vector<Top> probe_groups(const ProbeGroups& groups, const ProbingTokens& tokens,
                              std::size_t n_centroids, std::size_t n_probe, std::size_t threads) {
    const Buffer<float> estimates = estimate(groups, tokens, threads);
    const std::vector<float> least = least_estimates(estimates, groups.size(), tokens,
                                                     visited(groups.size(), n_centroids, n_probe));
    std::vector<Prober> probers;
    const std::size_t pieces = (groups.size() + PIECE - 1) / PIECE;
    for (std::size_t t = 0; t < std::min(threads, pieces); ++t)
        probers.emplace_back(groups, tokens, n_probe);
    run(pieces, probers.size(), [&](std::size_t piece, std::size_t thread) {
        const std::size_t end = std::min(groups.size(), (piece + 1) * PIECE);
        probers[thread].visit(piece * PIECE, end, estimates.data(), least.data());
    });
    std::vector<Top> nearest = std::move(probers[0].nearest());
    for (std::size_t i = 0; i < tokens.count; ++i) {
        for (std::size_t t = 1; t < probers.size(); ++t) nearest[i].offer(probers[t].nearest()[i]);
        if (!nearest[i].is_full()) return {};
    }
    return nearest;
}

}  // namespace colxtr
