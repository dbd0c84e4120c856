// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_TRAINING_RECORDER_HPP
#define LORMA_ANALYSIS_TRAINING_RECORDER_HPP

/// Follows an adapter along its training.
///
///   lorma::analysis::TrainingRecorder recorder;
///   recorder.record(step, loss, adapter, gradients);          // or with W0, for the weight itself
///   recorder.write_csv(file);

#include <cmath>
#include <iomanip>
#include <limits>
#include <ostream>
#include <vector>

#include "lorma/analysis/adapter_rank.hpp"
#include "lorma/analysis/multiplier_spectrum.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// One moment of training. What was not asked for is NaN, ranks -1.
struct TrainingRecord {
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

  long step = 0;
  double loss = unknown;
  double effective_rank = unknown;  ///< of I(BA)
  double condition = unknown;       ///< of I(BA)
  Index rank_of_change = -1;        ///< of W - W0
  double effective_rank_of_change = unknown;
  double gradient_A = unknown;  ///< ||dA||_F
  double gradient_B = unknown;  ///< ||dB||_F
  double update_A = unknown;    ///< ||A - A before||_F, since the last record
  double update_B = unknown;    ///< ||B - B before||_F
  double update_W = unknown;    ///< ||W - W before||_F
};

/// Takes a record where it is asked to, and writes all of them as a table.
class TrainingRecorder {
 public:
  const std::vector<TrainingRecord>& records() const { return records_; }

  /// Cost: the spectrum of I(BA), cheap for c I + M, O(n^3) for others.
  template <typename AdapterType, typename Gradients>
  void record(long step, double loss, const AdapterType& adapter, const Gradients& gradients) {
    const Eigen::VectorXd sigma =
        detail::multiplier_singular_values("TrainingRecorder::record", adapter);
    record_factors(step, loss, adapter.A(), adapter.B(), gradients);
    records_.back().effective_rank = detail::effective_rank_of(sigma);
    records_.back().condition = detail::condition_of(sigma);
  }

  /// The same with the merged weight: rank of its change and size of its update. Cost: a merge,
  /// delta_rank and the singular values of a d x k matrix more.
  template <typename AdapterType, typename Gradients, typename Derived>
  void record(long step, double loss, const AdapterType& adapter, const Gradients& gradients,
              const Eigen::MatrixBase<Derived>& W0) {
    record(step, loss, adapter, gradients);
    const Matrix<double> start = W0.template cast<double>();
    record_change(delta_rank(adapter, W0), adapter.merge(W0).template cast<double>() - start);
  }

  /// An additive baseline (LoRA), W = W0 + s B A: it has no I(BA). Factors B (d x r), A (r x k).
  template <typename DerivedA, typename DerivedB, typename Gradients>
  void record_additive(long step, double loss, const Eigen::MatrixBase<DerivedA>& A,
                       const Eigen::MatrixBase<DerivedB>& B, double scale,
                       const Gradients& gradients) {
    const Matrix<double> left = scale * B.template cast<double>();
    const Matrix<double> right = A.template cast<double>();
    const Index rank = detail::rank_of_product<typename DerivedA::Scalar>(
        "TrainingRecorder::record_additive", left, right);
    record_factors(step, loss, A, B, gradients);
    record_change(rank, left * right);
  }

  void write_csv(std::ostream& out) const {
    out << "step,loss,effective_rank,condition,rank_of_change,effective_rank_of_change,"
           "gradient_A,gradient_B,update_A,update_B,update_W\n";
    for (const TrainingRecord& r : records_) {
      out << r.step << std::setprecision(9);
      for (const double x : {r.loss, r.effective_rank, r.condition}) out << ',' << Cell{x, ""};
      out << ',';
      if (r.rank_of_change >= 0) out << r.rank_of_change;
      for (const double x : {r.effective_rank_of_change, r.gradient_A, r.gradient_B, r.update_A,
                             r.update_B, r.update_W}) {
        out << ',' << Cell{x, ""};
      }
      out << '\n';
    }
  }

  /// An array of objects; what is unknown or not finite is null.
  void write_json(std::ostream& out) const {
    out << '[' << std::setprecision(9);
    const char* separator = "\n";
    for (const TrainingRecord& r : records_) {
      out << separator << "{\"step\":" << r.step << ",\"loss\":" << Cell{r.loss}
          << ",\"effective_rank\":" << Cell{r.effective_rank}
          << ",\"condition\":" << Cell{r.condition} << ",\"rank_of_change\":";
      if (r.rank_of_change >= 0) {
        out << r.rank_of_change;
      } else {
        out << "null";
      }
      out << ",\"effective_rank_of_change\":" << Cell{r.effective_rank_of_change}
          << ",\"gradient_A\":" << Cell{r.gradient_A} << ",\"gradient_B\":" << Cell{r.gradient_B}
          << ",\"update_A\":" << Cell{r.update_A} << ",\"update_B\":" << Cell{r.update_B}
          << ",\"update_W\":" << Cell{r.update_W} << '}';
      separator = ",\n";
    }
    out << "\n]\n";
  }

 private:
  /// A number, or what stands for one that is not finite.
  struct Cell {
    double value;
    const char* otherwise = "null";

    friend std::ostream& operator<<(std::ostream& out, const Cell& cell) {
      if (std::isfinite(cell.value)) return out << cell.value;
      return out << cell.otherwise;
    }
  };

  /// ||now - before||_F, NaN at first; keeps `now`.
  template <typename M>
  static double step_from(Matrix<double>& before, const M& now) {
    Matrix<double> current = now.template cast<double>();
    const bool known = before.rows() == current.rows() && before.cols() == current.cols();
    const double size = known ? (current - before).stableNorm() : TrainingRecord::unknown;
    before = std::move(current);
    return size;
  }

  template <typename A, typename B, typename Gradients>
  void record_factors(long step, double loss, const A& a, const B& b, const Gradients& gradients) {
    TrainingRecord r;
    r.step = step;
    r.loss = loss;
    r.gradient_A = gradients.dA.template cast<double>().stableNorm();
    r.gradient_B = gradients.dB.template cast<double>().stableNorm();
    r.update_A = step_from(A_, a);
    r.update_B = step_from(B_, b);
    records_.push_back(r);
  }

  void record_change(Index rank, const Matrix<double>& change) {
    TrainingRecord& r = records_.back();
    r.rank_of_change = rank;
    r.effective_rank_of_change = effective_rank(change);
    r.update_W = step_from(change_, change);
  }

  std::vector<TrainingRecord> records_;
  Matrix<double> A_, B_, change_;
};

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
