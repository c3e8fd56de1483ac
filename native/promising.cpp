#include "promising.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "maxsim.h"
#include "skim.h"

namespace colxtr {

namespace {

constexpr std::size_t FINALISTS = 15;  // fewer do not tell how far off skimmed scores are

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

// Scores some of the documents, from one to another.
using Score = std::function<void(std::size_t begin, std::size_t end)>;

// Scores documents in their order, `first` of them and then `more` (0: as many as so far), as long
// as the next one might come among the k best; returns how many.
std::size_t score_likely(const Score& score, const float* estimates, std::size_t first,
                         std::size_t more, const Promise& promise,
                         const std::vector<float>& scores) {
    std::size_t done = 0, next = std::max(promise.k, first);
    do {
        next = std::min(next, scores.size());
        score(done, next);
        done = next;
        next += more ? more : done;
    } while (done < scores.size() && !is_unlikely(scores, done, estimates, promise));
    return done;
}

// MaxSim of documents that were skimmed, from one to another; of those that were skimmed whole it
// is known.
void complete(const Query& query, const Collection& collection,
              const std::vector<std::uint64_t>& ordinals, const std::vector<float>& skimmed,
              std::size_t begin, std::size_t end, std::vector<float>& scores) {
    std::vector<std::size_t> places;
    std::vector<std::uint64_t> longer;
    for (std::size_t i = begin; i < end; ++i) {
        scores[i] = skimmed[i];
        if (is_skimmed_whole(query, collection, ordinals[i])) continue;
        places.push_back(i);
        longer.push_back(ordinals[i]);
    }
    std::vector<float> found(longer.size());
    maxsim(query, collection, longer.data(), longer.size(), found.data());
    for (std::size_t i = 0; i < places.size(); ++i) scores[places[i]] = found[i];
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
    std::vector<float> scores(count);
    const auto score = [&](std::size_t begin, std::size_t end) {
        (skims ? skim : maxsim)(query, collection, some.data() + begin, end - begin,
                                scores.data() + begin);
    };
    std::size_t done = score_likely(score, estimates, promise.first, 0, promise, scores);
    if (skims) {
        std::vector<float> skimmed;
        const std::vector<Scored> ranked = best_of(some, scores, done, done);
        some.clear();
        for (const Scored& each : ranked)
            some.push_back(each.number), skimmed.push_back(each.score);
        const std::size_t more = std::max<std::size_t>(1, promise.k / 2);
        scores.resize(done);
        const auto score_whole = [&](std::size_t begin, std::size_t end) {
            complete(query, collection, some, skimmed, begin, end, scores);
        };
        done = score_likely(score_whole, skimmed.data(), FINALISTS, more, promise, scores);
    }
    return best_of(some, scores, done, promise.k);
}

}  // namespace colxtr
