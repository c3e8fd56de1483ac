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
#include <vector>

#include "collection.h"
#include "lists.h"
#include "query.h"
#include "top.h"
#include "workspace.h"

namespace colxtr {

struct Pooling {
    bool all_lists = false;   // every list, whatever was probed
    bool own_lists = false;   // each query token sees the lists that it probed, not all of them
    std::size_t k_prime = 0;  // tokens that each query token keeps of those it sees; 0 for all
    bool thresholds = true;   // false if nobody will ask for them
    // How many documents are looked at first, the best at a glance (shortlist.h), if there are more
    // than GLANCED tokens for each of them; 0 for all. Then others (Shortlist::next), until the
    // best of those left would have to exceed what a glance tells by `unlikely` standard deviations
    // more than the mean of those before, to come among the `sought` best by `best_expected`. Not
    // with `all_lists`, and only of a query that has levels.
    std::size_t shortlist = 0, sought = 1;
    float unlikely = 0;
    // A bit for each ordinal, the lowest of a byte first: whether the document counts; null if all
    // do. The tokens of the others are passed over.
    const std::uint8_t* allowed = nullptr;
};

class Shortlist;

class Candidates {
 public:
    static constexpr float EXPECTED = 0.8f;  // docs/log.md, "what was not probed"
    // With fewer tokens in the lists for each document of a shortlist, a glance saves nothing.
    static constexpr std::size_t GLANCED = 4;

    // The query must outlive them.
    Candidates(const Query& query, const Collection& collection, const Pooling& pooling);
    ~Candidates();
    Candidates(const Candidates&) = delete;
    Candidates& operator=(const Candidates&) = delete;

    const std::vector<std::uint64_t>& ordinals() const;  // of the documents, in the whole index

    // m_i, (n_tokens of the query): minus infinity for a token that saw none, or if all are kept.
    std::vector<float> thresholds() const;

    // The k best documents by mean_i max(best_i, m_i); 0 for m_i where the query token saw nothing.
    // `retrieved_only`: without those of which no query token kept a token.
    std::vector<Scored> best_imputed(std::size_t k, bool retrieved_only) const;

    // The k best documents by mean_i max(best_i, e_i), e_i = EXPECTED times the product of query
    // token i with the last centroid that it probes: about what MaxSim of a document will be whose
    // best token lies in a list that nobody probed. Without probes as `best_lower_bounds`.
    std::vector<Scored> best_expected(std::size_t k) const;

    // The k best documents by mean_i best_i, which is at most MaxSim, and MaxSim with `all_lists`.
    std::vector<Scored> best_lower_bounds(std::size_t k, bool retrieved_only) const;

    // The documents of which some query token kept a token.
    std::vector<std::uint64_t> retrieved() const;

 private:
    class Part;
    struct Work;

    void pool(const Work& work, std::size_t n_documents, const std::uint8_t* allowed);
    void pool_promising(const Work& work, Shortlist& shortlist, const Pooling& pooling);
    bool keeps(std::size_t document, const std::vector<float>& floors) const;
    std::vector<Scored> best_by(const float* floors, std::size_t k, bool retrieved_only) const;
    std::vector<float> just_below_thresholds() const;
    std::vector<float> expected_floors() const;

    const Query& query_;
    Lease lease_;
    std::vector<std::size_t> seen_;  // (n_tokens of the query): tokens that it sees
    std::vector<Part> parts_;        // joined in the first
    std::vector<float> thresholds_;  // (stride), in columns
    std::vector<float> expected_;    // of each document, after a glance; else empty
};

}  // namespace colxtr
