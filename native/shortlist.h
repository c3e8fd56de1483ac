// The first glance at the documents in the probed lists: no token is decompressed, its centroid
// stands for it.
//
// For every document and query token the largest level of a centroid in whose list the document
// has a token. Kept a range of ordinals at a time, so that the rows that are raised at random stay
// in a near cache; lists ascend by ordinal, and each goes on where the last range ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lists.h"
#include "workspace.h"

namespace colxtr {

// The documents with a token in the lists, the best at a glance first: a document is the better,
// the larger the sum over query tokens of max(level, expected times the level of the last centroid
// probed). They are given out some at a time; those of equal sums go together.
class Shortlist {
 public:
    struct Document {
        std::uint32_t ordinal, sum;
    };

    // `first`: how many documents to begin with. `allowed`: a bit for each ordinal, the lowest of a
    // byte first: whether the document counts; null if all do. The workspace must outlive the
    // shortlist, and is read in `next`.
    Shortlist(const Query& query, const Collection& collection, const std::vector<Stretch>& lists,
              float expected, std::size_t first, const std::uint8_t* allowed, Workspace& room);

    // Goes on to the next documents whose sums are at least `least`: at first until there have been
    // `first`, later until there have been GROWTH times as many as before. False if there are none.
    static constexpr std::size_t GROWTH = 3;
    bool next(std::uint32_t least);

    // These documents, and a bit for each ordinal. Neither depends on the number of threads, but
    // for the order.
    const std::vector<Document>& documents() const { return documents_; }
    const std::vector<std::uint8_t>& bits() const { return bits_; }

 private:
    // What a thread saw: the workspace's.
    struct Seen {
        const std::uint32_t *ordinals, *sums;
        std::size_t count;
    };

    std::vector<Seen> parts_;
    const std::uint8_t* allowed_;
    std::vector<std::uint32_t> with_;   // documents with each sum
    std::size_t wanted_, n_given_ = 0;  // documents
    std::size_t floor_;                 // sums from here on have been given out
    std::vector<Document> documents_;
    std::vector<std::uint8_t> bits_;
};

}  // namespace colxtr
