#include "promising.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "maxsim.h"
#include "skim.h"

namespace colxtr {

namespace {

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

std::vector<Scored> best_of(const std::uint64_t* ordinals, const float* scores, std::size_t count,
                            std::size_t k) {
    Top top(k);
    for (std::size_t i = 0; i < count; ++i) top.offer({scores[i], ordinals[i]});
    return top.sorted();
}

}  // namespace

std::vector<Scored> best_promising(const Query& query, const Collection& collection,
                                   const std::uint64_t* ordinals, const float* estimates,
                                   std::size_t count, const Promise& promise) {
    const bool skims = query.has_levels() && count > promise.finalists;
    const auto score = skims ? skim : maxsim;
    std::vector<float> scores(count);
    std::size_t done = 0, next = std::max(promise.k, promise.first);
    do {
        next = std::min(next, count);
        score(query, collection, ordinals + done, next - done, scores.data() + done);
        done = next;
        next = 2 * done;
    } while (done < count && !is_unlikely(scores, done, estimates, promise));
    if (!skims) return best_of(ordinals, scores.data(), done, promise.k);
    std::vector<std::uint64_t> finalists;
    for (const Scored& each :
         best_of(ordinals, scores.data(), done, std::max(promise.k, promise.finalists)))
        finalists.push_back(each.number);
    maxsim(query, collection, finalists.data(), finalists.size(), scores.data());
    return best_of(finalists.data(), scores.data(), finalists.size(), promise.k);
}

}  // namespace colxtr
