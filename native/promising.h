// The end of a search that chooses itself how many documents it scores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "collection.h"
#include "query.h"
#include "top.h"

namespace colxtr {

struct Promise {
    std::size_t k;
    std::size_t first;  // documents, before it is asked whether to go on
    double unlikely;    // standard deviations
};

// The k best by MaxSim of documents that are given with estimates of it, the largest first, equals
// by ordinal. MaxSim exceeds its estimate by about as much for one document as for another: once
// the next one must exceed its own by `unlikely` standard deviations more than the mean of those
// before, to come among the k best, it and all that follow stay out; this is asked when there are
// twice as many as before. Of a query with levels more than 2 k are skimmed only; then the k best
// of them are scored, but no fewer than ten, and k / 2 at a time while the next might, as above,
// come among the k best.
std::vector<Scored> best_promising(const Query& query, const Collection& collection,
                                   const std::uint64_t* ordinals, const float* estimates,
                                   std::size_t count, const Promise& promise);

}  // namespace colxtr
