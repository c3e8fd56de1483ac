// The candidates of one query: the tokens of the probed lists, and the documents that own them.
//
// Each token is decompressed once and compared with all query tokens. Kept are, for each document,
// the largest similarity with each query token, and for each query token its k_prime-th largest
// similarity of all, the threshold m_i. A document's largest pooled similarity was retrieved by
// query token i if and only if it is at least m_i, so max(best, m_i) is XTR's imputed score and no
// list of retrieved tokens is needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "query.h"
#include "segment.h"

namespace colxtr {

// The smallest of the `keep` largest values seen; with `keep` 0, of all.
class Threshold {
   public:
    explicit Threshold(std::size_t keep) : keep_(keep) {}
    void add(float value);
    // Minus infinity if nothing was seen; the smallest value if fewer than `keep` were.
    float value() const;

   private:
    void cut();
    std::size_t keep_;
    float floor_ = -std::numeric_limits<float>::infinity();     // what must be exceeded
    float smallest_ = std::numeric_limits<float>::infinity();  // of all, for `keep` 0
    std::vector<float> values_;                                 // never more than 2 * keep_
};

class Pool {
   public:
    // k_prime: tokens retrieved per query token; 0 for all. The query must outlive the pool.
    Pool(const Query &query, std::size_t k_prime);

    // Adds the tokens of some of the segment's lists. `probed`, if given, is (n_lists, n_tokens):
    // which query tokens look into which list; all do without it. Lists of one segment must come
    // in one call.
    void add(const Segment &segment, const std::uint32_t *lists, std::size_t n_lists,
             const bool *probed);

    const Codec &codec() const { return query_.codec(); }
    std::size_t n_tokens() const { return query_.n_tokens(); }
    std::size_t n_documents() const { return ordinals_.size(); }
    const std::vector<std::uint64_t> &ordinals() const { return ordinals_; }  // in the whole index
    void best(float *into) const;       // (n_documents, n_tokens); minus infinity where none
    void thresholds(float *into) const;  // (n_tokens)

   private:
    std::size_t slot(const Segment &segment, std::size_t position);
    void accumulate(const Segment &segment, std::size_t count, Query::Scratch &scratch,
                    const bool *const *probed);

    const Query &query_;
    std::vector<Threshold> thresholds_;
    std::vector<std::uint64_t> ordinals_;
    std::vector<float> best_;            // (n_documents, stride)
    std::vector<std::uint32_t> slots_;   // of the documents of the segment at hand
};

}  // namespace colxtr
