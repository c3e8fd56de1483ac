// The arrays of one segment, as they lie in its file (docs/index-format.md).
//
// Checks once what would send a kernel out of bounds; what is too long to check at opening
// (ordinals, positions) is checked where it is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "bits.h"
#include "codec.h"
#include "list_table.h"
#include "packing.h"

namespace colxtr {

// The file contradicts itself: becomes CorruptIndexError.
struct Corrupt : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Segment {
    std::string name;  // of its file, for errors
    std::size_t n_tokens = 0, n_documents = 0, n_lists = 0, code_bytes = 0;
    std::uint64_t first_ordinal = 0;                  // of its documents, in the whole index
    const std::uint32_t* list_centroids = nullptr;    // (n_lists), ascending
    const std::uint64_t* list_offsets = nullptr;      // (n_lists + 1): list positions
    const std::uint64_t* document_offsets = nullptr;  // (n_documents + 1)
    Packed ordinals;                                  // (n_tokens), by list position
    Packed positions;                                 // (n_tokens), by document and token
    const std::uint8_t* codes = nullptr;              // (n_tokens, code_bytes), by list position
    const std::uint8_t* gains = nullptr;              // (n_tokens), by list position; or null
    const std::uint8_t* lengths = nullptr;            // likewise

    ListTable lists;                    // by list position
    bool numbered_by_centroid = false;  // list i is that of centroid i, for all lists there are

    // Throws Corrupt, with the name.
    [[noreturn]] void damaged(const char* what) const;
    void require(bool holds, const char* what) const {
        if (!holds) damaged(what);
    }

    // Checks the arrays, then finds out what follows them here.
    void prepare(const Codec& codec);

    const std::uint8_t* code(std::size_t position) const { return codes + position * code_bytes; }
    std::uint8_t gain(std::size_t position) const { return gains ? gains[position] : 0; }
    std::uint8_t length(std::size_t position) const { return lengths ? lengths[position] : 0; }

    // The document (within the segment) that owns the token at a list position.
    std::size_t ordinal(std::size_t position) const {
        const std::size_t found = ordinals[position];
        require(found < n_documents, "an ordinal is not below n_documents");
        return found;
    }

    // The list position of a token, counted through all documents.
    std::size_t position(std::size_t token) const {
        const std::size_t found = positions[token];
        require(found < n_tokens, "a position is not below n_tokens");
        return found;
    }

    // The centroid whose list holds a list position.
    std::uint32_t centroid(std::size_t position) const {
        const std::size_t list = lists[position];
        return numbered_by_centroid ? static_cast<std::uint32_t>(list) : list_centroids[list];
    }

    // Asks for what `position` will read of a document's tokens.
    COLXTR_PREFETCH void prefetch_positions(std::size_t document) const {
        const std::size_t first = document_offsets[document] * positions.width / 8;
        const std::size_t last = document_offsets[document + 1] * positions.width / 8;
        for (std::size_t byte = first; byte <= last; byte += 64)
            prefetch_line(positions.bytes + byte);
    }

    // Asks for what `code` and `gain` will read of a token in the order of its list.
    COLXTR_PREFETCH void prefetch_code(std::size_t position) const {
        prefetch_line(code(position));
        if (gains) prefetch_line(gains + position);
    }

    // Asks for what `code`, `gain` and `centroid` will read, without waiting for it.
    COLXTR_PREFETCH void prefetch(std::size_t position) const {
        const std::uint8_t* first = code(position);
        for (std::size_t byte = 0; byte < code_bytes; byte += 64) prefetch_line(first + byte);
        prefetch_line(first + code_bytes - 1);
        if (gains) prefetch_line(gains + position);
        lists.prefetch(position);
    }
};

}  // namespace colxtr
