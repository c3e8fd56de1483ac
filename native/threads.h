// A pool of threads that lives as long as the process: work of a fraction of a millisecond must
// not pay for starting them.
#pragma once

#include <cstddef>
#include <functional>

namespace colxtr {

using Work = std::function<void(std::size_t piece, std::size_t thread)>;

// Calls work(piece, thread) for all pieces 0 .. n_pieces - 1 on up to `threads` threads, of which
// the caller is number 0, and returns when all are done. A thread gets its pieces in ascending
// order; which, is not fixed. One caller at a time has the pool; another works alone. Rethrows
// the first exception; then some pieces may be left out.
void run(std::size_t n_pieces, std::size_t threads, const Work& work);

}  // namespace colxtr
