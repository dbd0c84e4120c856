// SPDX-License-Identifier: Apache-2.0
// lorma on the caller's threads: an executor over a pool of std::jthreads. Work is cut by size, not
// by thread, so the results are the same to the bit for every number of threads.
#include <condition_variable>
#include <iostream>
#include <lorma/lorma.hpp>
#include <mutex>
#include <random>
#include <stop_token>
#include <thread>
#include <vector>

/// `threads` threads, the caller's among them; one parallel_for at a time.
class Pool {
 public:
  explicit Pool(lorma::Index threads) : threads_(threads) {
    for (lorma::Index i = 1; i < threads; ++i) {
      workers_.emplace_back([this](const std::stop_token& stop) { serve(stop); });
    }
  }

  lorma::Executor executor() {
    return {threads_,
            [this](lorma::Index count, lorma::IndexedTask task) { parallel_for(count, task); }};
  }
  lorma::Index calls() const { return calls_; }

 private:
  void parallel_for(lorma::Index count, const lorma::IndexedTask& task) {
    std::unique_lock lock(mutex_);
    ++calls_;
    task_ = &task;
    count_ = count;
    next_ = 0;
    finished_ = 0;
    work_.notify_all();
    take_tasks(lock);
    done_.wait(lock, [this] { return finished_ == count_; });
  }
  void serve(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (work_.wait(lock, stop, [this] { return next_ < count_; })) take_tasks(lock);
  }
  /// The lock is held but while a task runs.
  void take_tasks(std::unique_lock<std::mutex>& lock) {
    while (next_ < count_) {
      const lorma::Index i = next_++;
      lock.unlock();
      (*task_)(i);
      lock.lock();
      if (++finished_ == count_) done_.notify_one();
    }
  }

  lorma::Index threads_;
  std::mutex mutex_;
  std::condition_variable_any work_;
  std::condition_variable done_;
  const lorma::IndexedTask* task_ = nullptr;
  lorma::Index count_ = 0;
  lorma::Index next_ = 0;
  lorma::Index finished_ = 0;
  lorma::Index calls_ = 0;
  std::vector<std::jthread> workers_;  // last, so that they stop before what they use is gone
};

struct Step {
  Eigen::MatrixXf H, dX, dA, dB;
  bool operator==(const Step&) const = default;
};

int main() {
  const Eigen::MatrixXf W0 = Eigen::MatrixXf::Random(240, 320),
                        X = Eigen::MatrixXf::Random(320, 100);
  lorma::Adapter<float, lorma::CyclicPermutation> adapter(240, 8, 16.0F);
  std::mt19937_64 urbg(7);
  adapter.initialize(urbg);

  Step expected;
  for (const lorma::Index threads : {1, 2, 3, 7}) {
    Pool pool(threads);
    lorma::Tape<float> tape;
    tape.workspace().set_executor(pool.executor());
    Step step;
    step.H = adapter.forward(W0, X, tape);
    auto g = adapter.backward(W0, step.H, tape);
    step.dX = g.dX;
    step.dA = g.dA;
    step.dB = g.dB;
    if (threads == 1) expected = step;
    const bool shared = threads == 1 || pool.calls() > 0;
    std::cout << threads << " threads: " << pool.calls() << " loops shared, results "
              << (step == expected ? "equal to the bit\n" : "differ\n");
    if (!shared || !(step == expected)) return 1;
  }
  return 0;
}
