#include "workspace.h"

#include <mutex>

namespace colxtr {

namespace {

constexpr std::size_t MOST_FREE = 16;                     // as many as search at the same time
constexpr std::size_t MOST_BYTES = std::size_t{1} << 27;  // of one that is kept

struct Free {
    std::mutex mutex;
    std::vector<std::unique_ptr<Workspace>> workspaces;
};

Free& free_ones() {
    static Free* const free = new Free;  // never destroyed: a thread may outlive all statics
    return *free;
}

}  // namespace

std::size_t Workspace::bytes() const {
    std::size_t sum = products.bytes() + bases.bytes() + levels.bytes() + known.bytes();
    for (const Part& part : parts)
        sum += part.rows.bytes() + part.best.bytes() + part.levels.bytes() + part.touched.bytes() +
               part.sums.bytes() + part.slots.size() * sizeof(std::uint32_t);
    return sum;
}

Lease::Lease() {
    Free& free = free_ones();
    const std::lock_guard<std::mutex> guard(free.mutex);
    if (free.workspaces.empty()) {
        workspace_ = std::make_unique<Workspace>();
    } else {
        workspace_ = std::move(free.workspaces.back());
        free.workspaces.pop_back();
    }
}

Lease::~Lease() {
    if (workspace_->bytes() > MOST_BYTES) return;
    Free& free = free_ones();
    const std::lock_guard<std::mutex> guard(free.mutex);
    if (free.workspaces.size() < MOST_FREE) free.workspaces.push_back(std::move(workspace_));
}

}  // namespace colxtr
