// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_PEFT_METHODS_HPP
#define LORMA_MODEL_PEFT_METHODS_HPP

/// Methods of PEFT that multiply: each is a LoRMA adapter by its own definition, except DEFT
/// without `para`, which also adds something.
///
///   (IA)^3   outputs or inputs scaled: W = diag(l) W0 or W0 diag(l); CyclicPermutation, A = e0
///   RoAd     pairs of outputs rotated and scaled; CyclicPermutation, A = e0, eh, e-h
///   HRA      reflections of the inputs: W = W0 (I - 2 u1 u1^T) ... ; Identity, Post
///   DEFT     W = (I - Q R^T) W0 + Q C; Identity, Pre, and Q C added, with `para` C = 0
///
/// Where outputs are scaled or rotated, so is their bias. Sources: PEFT 0.21's merge of
/// each; Schreiber, Van Loan, "A storage-efficient WY representation for products of Householder
/// transformations" (1989).

#include <array>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/model/adapter_files.hpp"
#include "lorma/model/change.hpp"
#include "lorma/model/compiled.hpp"

#ifdef LORMA_MODEL_BODIES
#include "lorma/model/module_patterns.hpp"
#include "lorma/model/peft_config.hpp"
#endif

namespace lorma::inline LORMA_ABI::model {

/// What a directory of the method `type` (IA3, ROAD, HRA, DEFT) does to its base, including the
/// whole tensors that it brings along. Throws Error as read_peft_lora does.
LORMA_MODEL_FUNCTION std::vector<Change> read_peft_method(const std::filesystem::path& directory,
                                                          const std::string& type,
                                                          std::vector<std::string>& remarks);

#ifdef LORMA_MODEL_BODIES
namespace detail {

using lorma::detail::in_quotes;

/// One module of a method on its way to a Change.
struct MethodModule {
  const SafetensorsFile& file;
  const lorma::detail::JsonFields& config;
  const std::string& name;
  const lorma::detail::PeftTensors::Parts& parts;

  [[noreturn]] void refuse(const std::string& what) const {
    throw FormatError(in_quotes(file.name()) + ": " + in_quotes(name) + ": " + what);
  }
  const StoredTensor& tensor(std::string_view part) const {
    const auto found = parts.find(part);
    if (found == parts.end()) refuse("missing tensor " + in_quotes(name + '.' + std::string(part)));
    return *found->second;
  }
  Matrix<double> matrix(std::string_view part) const {
    const StoredTensor& stored = tensor(part);
    if (stored.shape.size() != 2 || stored.shape[0] < 1 || stored.shape[1] < 1) {
      refuse(std::string(part) + ": expected a matrix, got shape " +
             lorma::detail::shape_text(stored.shape));
    }
    return file.matrix<double>(stored.name);
  }
  Eigen::VectorXd vector(std::string_view part) const {
    const StoredTensor& stored = tensor(part);
    const MatrixStack size = flat(stored.shape);
    if (size.rows * size.cols < 1) refuse(std::string(part) + ": expected numbers, got none");
    return file.matrix<double>(stored.name, size.rows * size.cols, 1);
  }
};

inline LormaLayer method_layer(const std::string& inflation, const std::string& side,
                               const Matrix<double>& B, const Matrix<double>& A) {
  LormaLayer layer;
  layer.inflation = inflation;
  layer.side = side;
  layer.B = B.cast<float>();
  layer.A = A.cast<float>();
  layer.alpha = static_cast<double>(A.rows());
  return layer;
}

/// Adds the changes of a module's weight and, if `outputs` are changed, of the bias that it may
/// have.
inline void add_method(const MethodModule& module, Change weight, bool outputs,
                       std::vector<Change>& changes) {
  weight.tensor = module.name + ".weight";
  if (outputs) {
    Change bias = weight;
    bias.tensor = module.name + ".bias";
    bias.form = WeightForm::vector;
    bias.layout = WeightLayout::out_in;
    bias.is_settled = true;
    bias.is_optional = true;
    for (LormaLayer& layer : bias.multiply) layer.weight = bias.tensor;
    changes.push_back(std::move(bias));
  }
  for (LormaLayer& layer : weight.multiply) layer.weight = weight.tensor;
  changes.push_back(std::move(weight));
}

inline void read_ia3(const MethodModule& module, lorma::detail::ModuleNames& feedforward,
                     std::vector<Change>& changes) {
  const StoredTensor& stored = module.tensor("ia3_l");
  const Eigen::VectorXd l = module.vector("ia3_l");
  const bool kernel = stored.shape.size() > 2;
  const bool row = stored.shape.size() == 2 && stored.shape[0] == 1 && l.size() > 1;
  const bool inputs = kernel || l.size() == 1 ? feedforward.mean(module.name) : row;
  Matrix<double> A = Matrix<double>::Zero(1, l.size());
  A(0, 0) = 1.0;
  Change change;
  change.method = inputs ? "(IA)^3 of inputs" : "(IA)^3";
  change.form = kernel ? WeightForm::kernel : WeightForm::matrix;
  change.is_settled = kernel;
  if (module.config.boolean("fan_in_fan_out") && !kernel) change.layout = WeightLayout::in_out;
  change.multiply = {method_layer("CyclicPermutation", inputs ? "Post" : "Pre", l, A)};
  change.definition = [l, inputs](Matrix<double>& W) {
    W = inputs ? Matrix<double>(W * l.asDiagonal()) : Matrix<double>(l.asDiagonal() * W);
  };
  add_method(module, std::move(change), !inputs, changes);
}

inline void read_road(const MethodModule& module, std::vector<Change>& changes) {
  const std::string variant = module.config.text("variant", "road_1");
  const Index group = module.config.count("group_size");
  const Index half = group / 2;
  const Eigen::VectorXd theta = module.vector("road_theta");
  const Eigen::VectorXd alpha = module.vector("road_alpha");
  const Index size = theta.size();
  Index d = 0;
  if (variant == "road_1") d = 2 * size;
  if (variant == "road_2") d = size;
  if (variant == "road_4" && size % 2 == 0) d = size / 2;
  if (d == 0 || alpha.size() != size || group % 2 != 0 || d % group != 0) {
    module.refuse(
        "expected 'variant' road_1, road_2 or road_4, an even 'group_size' that divides "
        "the outputs and as many angles as it says, got " +
        in_quotes(variant) + ", " + std::to_string(group) + " and " + std::to_string(size));
  }
  // Output i is multiplied by `own`, and its partner in the other half of the group by `other`.
  Eigen::VectorXd own(d), other(d);
  for (Index i = 0; i < d; ++i) {
    const Index within = i % group;
    Index a = i, b = i;
    if (variant == "road_1") a = b = i / group * half + within % half;
    if (variant == "road_4") {
      a = i / group * 2 * group + within;
      b = a + group;
    }
    own(i) = alpha(a) * std::cos(theta(a));
    other(i) = alpha(b) * std::sin(theta(b));
  }
  Matrix<double> B = Matrix<double>::Zero(d, 3);
  B.col(0) = own;
  for (Index i = 0; i < d; ++i) {
    if (i % group < half) {
      B(i, 1) = -other(i);
    } else {
      B(i, 2) = other(i);
    }
  }
  Matrix<double> A = Matrix<double>::Zero(3, d);
  A(0, 0) = A(1, half) = A(2, d - half) = 1.0;
  Change change;
  change.method = "RoAd";
  change.multiply = {method_layer("CyclicPermutation", "Pre", B, A)};
  change.definition = [own, other, group, half](Matrix<double>& W) {
    const Matrix<double> old = W;
    for (Index i = 0; i < W.rows(); ++i) {
      const bool first = i % group < half;
      W.row(i) = own(i) * old.row(i) +
                 (first ? -other(i) : other(i)) * old.row(first ? i + half : i - half);
    }
  };
  add_method(module, std::move(change), true, changes);
}

inline void read_hra(const MethodModule& module, std::vector<Change>& changes) {
  Matrix<double> U = module.matrix("hra_u");
  const bool orthogonal = module.config.boolean("apply_GS");
  const Index r = U.cols();
  if (r != module.config.count("r")) {
    module.refuse("expected " + std::to_string(module.config.count("r")) + " reflections, got " +
                  std::to_string(r));
  }
  // The product of the reflections is I - U T U^T; of orthonormal ones T = 2 I.
  Matrix<double> T = Matrix<double>::Zero(r, r);
  for (Index i = 0; i < r; ++i) {
    if (orthogonal) {
      for (Index j = 0; j < i; ++j) U.col(i) -= U.col(j).dot(U.col(i)) * U.col(j);
    }
    const double norm = U.col(i).norm();
    if (!(norm > 0.0) || !std::isfinite(norm)) {
      module.refuse("hra_u: expected columns of a finite length above 0");
    }
    U.col(i) /= norm;
    T(i, i) = 2.0;
    if (!orthogonal && i > 0) {
      T.col(i).head(i) = -2.0 * (T.topLeftCorner(i, i) * (U.leftCols(i).transpose() * U.col(i)));
    }
  }
  Change change;
  change.method = "HRA, " + std::to_string(r) + " reflections";
  change.form = WeightForm::kernel;
  change.multiply = {method_layer("Identity", "Post", -(U * T), U.transpose())};
  change.definition = [U](Matrix<double>& W) {
    for (Index i = 0; i < U.cols(); ++i) {
      const Eigen::VectorXd along = W * U.col(i);
      W.noalias() -= 2.0 * along * U.col(i).transpose();
    }
  };
  add_method(module, std::move(change), false, changes);
}

inline void read_deft(const MethodModule& module, std::vector<Change>& changes) {
  const Matrix<double> P = module.matrix("deft_P");
  const Index r = P.cols();
  const std::string decomposition = module.config.text("decomposition_method", "relu");
  Matrix<double> Q = P;
  Matrix<double> right = P.cwiseMax(0.0);
  if (decomposition == "qr") {
    if (P.rows() < r) module.refuse("deft_P: expected no more columns than rows");
    Q = lorma::detail::orthonormal(P);
    right = Q;
  } else if (decomposition != "relu") {
    module.config.refuse("decomposition_method", "relu or qr");
  }
  Change change;
  change.method = "DEFT, rank " + std::to_string(r);
  change.is_settled = false;
  if (module.config.boolean("fan_in_fan_out")) change.layout = WeightLayout::in_out;
  change.multiply = {method_layer("Identity", "Pre", -Q, right.transpose())};
  if (module.config.boolean("para")) {
    change.definition = [Q, right](Matrix<double>& W) { W -= Q * (right.transpose() * W); };
  } else {
    const Matrix<double> R = module.matrix("deft_R");
    if (R.rows() != r) {
      module.refuse("deft_R: expected " + std::to_string(r) + " rows, got " +
                    std::to_string(R.rows()));
    }
    const bool scaled = !module.config.find("alpha").is_null();
    const double scale = scaled ? module.config.positive("alpha") / static_cast<double>(r) : 1.0;
    change.add = LoraLayer{module.name, Q.cast<float>(), R.cast<float>(),
                           scale * static_cast<double>(r), scale};
  }
  add_method(module, std::move(change), false, changes);
}

}  // namespace detail

LORMA_MODEL_FUNCTION std::vector<Change> read_peft_method(const std::filesystem::path& directory,
                                                          const std::string& type,
                                                          std::vector<std::string>& remarks) {
  const std::filesystem::path config_path = directory / adapter_config_name;
  const lorma::detail::JsonDocument config = lorma::detail::read_json_object(config_path);
  lorma::detail::refuse_unsupported(config_path, config.value, type);
  const lorma::detail::JsonFields fields(config_path, config.value);
  const auto file = std::make_shared<const SafetensorsFile>(directory / adapter_model_name);
  constexpr std::array<std::string_view, 6> parts = {"ia3_l",      "hra_u",  "road_theta",
                                                     "road_alpha", "deft_P", "deft_R"};
  std::vector<std::string> problems;
  lorma::detail::PeftTensors found(*file, parts, problems);
  found.name_saved(fields, fields.text("bias", "none") != "none");
  if (found.modules().empty() && problems.empty()) {
    problems.emplace_back("expected the tensors of an adapter, got none");
  }
  lorma::detail::throw_problems(directory / adapter_model_name, problems);
  lorma::detail::ModuleNames feedforward(config_path, fields, "feedforward_modules");
  std::vector<Change> changes;
  std::set<std::string> modules;
  for (const auto& entry : found.modules()) {
    const detail::MethodModule module{*file, fields, entry.first, entry.second};
    modules.insert(entry.first);
    if (type == "IA3") detail::read_ia3(module, feedforward, changes);
    if (type == "ROAD") detail::read_road(module, changes);
    if (type == "HRA") detail::read_hra(module, changes);
    if (type == "DEFT") detail::read_deft(module, changes);
  }
  lorma::detail::compare_targets(config_path, fields, modules, remarks);
  detail::add_saved(found.saved(), file, changes);
  return changes;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
