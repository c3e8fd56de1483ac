#include "promising.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "maxsim.h"
#include "skim.h"

namespace colxtr {

namespace {

constexpr std::size_t FINALISTS = 10;  // fewer do not tell how far off skimmed scores are

// Whether the next document would have to exceed its estimate by more than is likely, judged by
// those before it, to come among the k best.
bool is_unlikely(const std::vector<float>& scores, std::size_t done, const float* estimates,
                 const Promise& promise) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < done; ++i) sum += double{scores[i]} - estimates[i];
    const double mean = sum / static_cast<double>(done);
    for (std::size_t i = 0; i < done; ++i) {
        const double off = double{scores[i]} - estimates[i] - mean;
        squares += off * off;
    }
    const double deviation = std::sqrt(squares / static_cast<double>(done));
    std::vector<float> best(scores.begin(), scores.begin() + static_cast<std::ptrdiff_t>(done));
    const auto kth = best.begin() + static_cast<std::ptrdiff_t>(promise.k - 1);
    std::nth_element(best.begin(), kth, best.end(), std::greater<float>());
    return double{*kth} - estimates[done] > mean + promise.unlikely * deviation;
}

using Score = void (*)(const Query&, const Collection&, const std::uint64_t*, std::size_t, float*);

// Scores documents in their order, `first` of them and then `more` (0: as many as so far), as long
// as the next one might come among the k best; returns how many.
std::size_t score_likely(Score score, const Query& query, const Collection& collection,
                         const std::vector<std::uint64_t>& ordinals, const float* estimates,
                         std::size_t first, std::size_t more, const Promise& promise,
                         std::vector<float>& scores) {
    scores.resize(ordinals.size());
    std::size_t done = 0, next = std::max(promise.k, first);
    do {
        next = std::min(next, ordinals.size());
        score(query, collection, ordinals.data() + done, next - done, scores.data() + done);
        done = next;
        next += more ? more : done;
    } while (done < ordinals.size() && !is_unlikely(scores, done, estimates, promise));
    return done;
}

std::vector<Scored> best_of(const std::vector<std::uint64_t>& ordinals,
                            const std::vector<float>& scores, std::size_t count, std::size_t k) {
    Top top(k);
    for (std::size_t i = 0; i < count; ++i) top.offer({scores[i], ordinals[i]});
    return top.sorted();
}

}  // namespace

std::vector<Scored> best_promising(const Query& query, const Collection& collection,
                                   const std::uint64_t* ordinals, const float* estimates,
                                   std::size_t count, const Promise& promise) {
    const bool skims = query.has_levels() && count > 2 * promise.k;
    std::vector<std::uint64_t> some(ordinals, ordinals + count);
    std::vector<float> scores;
    std::size_t done = score_likely(skims ? skim : maxsim, query, collection, some, estimates,
                                    promise.first, 0, promise, scores);
    if (skims) {
        std::vector<float> skimmed;
        const std::vector<Scored> ranked = best_of(some, scores, done, done);
        some.clear();
        for (const Scored& each : ranked)
            some.push_back(each.number), skimmed.push_back(each.score);
        const std::size_t more = std::max<std::size_t>(1, promise.k / 2);
        done = score_likely(maxsim, query, collection, some, skimmed.data(), FINALISTS, more,
                            promise, scores);
    }
    return best_of(some, scores, done, promise.k);
}

}  // namespace colxtr
