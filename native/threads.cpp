#include "threads.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace colxtr {

namespace {

// One call of `run`: pieces are taken from `next` until there are none.
struct Job {
    std::size_t n_pieces;
    const Work& work;
    std::atomic<std::size_t> next{0};
    std::mutex mutex;
    std::exception_ptr failure;

    void take_pieces(std::size_t thread) {
        try {
            for (std::size_t piece; (piece = next.fetch_add(1)) < n_pieces;) work(piece, thread);
        } catch (...) {
            next = n_pieces;  // nobody begins another
            const std::lock_guard<std::mutex> guard(mutex);
            if (!failure) failure = std::current_exception();
        }
    }
};

class Pool {
 public:
    std::mutex owner;  // held by the caller that has the pool

    // Hands a job to the workers 1 .. threads - 1.
    void begin(Job& job, std::size_t threads) {
        const std::lock_guard<std::mutex> guard(mutex_);
        for (; started_ + 1 < threads; ++started_)
            std::thread([this, number = started_ + 1] { serve(number); }).detach();
        job_ = &job;
        wanted_ = threads;
        running_ = threads - 1;
        ++round_;
        changed_.notify_all();
    }

    // Returns when no worker is at the job any more.
    void finish() {
        for (int i = 0; i < YIELDS && running_ > 0; ++i) std::this_thread::yield();
        std::unique_lock<std::mutex> lock(mutex_);
        finished_.wait(lock, [this] { return running_ == 0; });
    }

 private:
    static constexpr int YIELDS = 200;  // most jobs end before a sleep would have begun

    void serve(std::size_t number) {
        std::size_t seen = 0;
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            changed_.wait(lock, [&] { return round_ != seen; });
            seen = round_;
            if (number >= wanted_) continue;
            Job& job = *job_;
            lock.unlock();
            job.take_pieces(number);
            lock.lock();
            if (--running_ == 0) finished_.notify_one();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_, finished_;
    Job* job_ = nullptr;
    std::size_t started_ = 0, wanted_ = 0, round_ = 0;
    std::atomic<std::size_t> running_{0};
};

#if defined(__unix__) || defined(__APPLE__)
long this_process() { return static_cast<long>(getpid()); }
#else
long this_process() { return 0; }
#endif

// The pool of this process: a forked child has none of its parent's threads. Never destroyed, for
// its threads wait in it until the process ends.
Pool& pool() {
    struct Owned {
        long process;
        Pool pool;
    };
    static std::atomic<Owned*> current{nullptr};
    const long process = this_process();
    for (;;) {
        Owned* found = current.load();
        if (found && found->process == process) return found->pool;
        Owned* fresh = new Owned{process, {}};
        if (current.compare_exchange_strong(found, fresh)) return fresh->pool;
        delete fresh;
    }
}

}  // namespace

void run(std::size_t n_pieces, std::size_t threads, const Work& work) {
    threads = std::min(threads, n_pieces);
    Job job{n_pieces, work};
    if (threads > 1) {
        Pool& shared = pool();
        std::unique_lock<std::mutex> mine(shared.owner, std::try_to_lock);
        if (mine) {
            shared.begin(job, threads);
            job.take_pieces(0);
            shared.finish();
            if (job.failure) std::rethrow_exception(job.failure);
            return;
        }
    }
    for (std::size_t piece = 0; piece < n_pieces; ++piece) work(piece, 0);
}

}  // namespace colxtr
